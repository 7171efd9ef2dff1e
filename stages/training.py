"""What the stages that train share: where and how params.yaml has a method run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.devices import Device, cores, resolve_device, resolve_precision
from pipeline.encoder import before, read_card
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


def begun_from(encoder: str) -> tuple[Path | None, dict[str, object]]:
    """The folder of the encoder that a run begins from (None: random weights), and what the run's card says of it."""
    if encoder == RANDOM_INIT:
        return None, {"begun_from": encoder}
    folder = DATA / "models" / encoder
    return folder, {"begun_from": encoder, **before(read_card(folder))}


def workers(params: Params) -> int:
    """How many ranks train on this machine's CPU: as many as `run.workers` asks for, else one, because two are slower
    than one beside a busy neighbour (docs/training.md).
    """
    run = params.run
    return 1 if run.engine == "serial" else min(run.workers or 1, cores())
