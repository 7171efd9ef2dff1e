"""What the stages that train share: where and how params.yaml has a method run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.devices import Device, cores, resolve_device, resolve_precision
from pipeline.encoder import provenance, read_card, trained_on
from pipeline.params import RANDOM_INIT, Params
from pipeline.training.launch import ranks_for
from pipeline.training.loop import Run
from stages.running import DATA


def training_run(
    params: Params,
    name: str,
    *,
    batch: int | Sequence[int],
    precision: str,
    ema: float | None,
    provenance: Mapping[str, object],
) -> Run:
    """The run ``name``, into data/models: a rank for each GPU, or as many of one CPU core as :func:`workers` says and
    as divide ``batch``, or each of several kinds of images in a step.
    """
    device = resolve_device(params.run.device)
    ranks = device.ranks if device.kind == "cuda" else ranks_for(batch, workers(params))
    return Run(
        name=name,
        out=DATA / "models" / name,
        checkpoints=DATA / "checkpoints" / name,
        device=Device(device.kind, ranks),
        threads=params.run.threads or 1,
        precision=resolve_precision(precision, device),
        ema=ema,
        provenance=provenance,
    )


def begun_from(encoder: str, set_name: str) -> tuple[Path | None, dict[str, object]]:
    """The folder of what a run on ``set_name`` begins from (None: random weights), and what its card says of both: the
    sets that the encoder has seen count as seen, and ``before`` is how it was made.
    """
    if encoder == RANDOM_INIT:
        return None, {"trained_on": set_name, "begun_from": encoder}
    folder = DATA / "models" / encoder
    card = read_card(folder)
    before = {**provenance(card), "sha256": card["sha256"]}
    return folder, {"trained_on": sorted({set_name, *trained_on(card)}), "begun_from": encoder, "before": before}


def workers(params: Params) -> int:
    """How many ranks train on this machine's CPU: as many as `run.workers` asks for, else one, because two are slower
    than one beside a busy neighbour (docs/training.md).
    """
    run = params.run
    return 1 if run.engine == "serial" else min(run.workers or 1, cores())
