"""One run: its steps from measured CPU time, its training, its figures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.ablations.changes import CHANGES, HELD_OUT, OLD, STEPS, Change
from benchmarks.ablations.data import Chosen, database, distorted
from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.devices import Device, resolve_precision
from pipeline.encoder import weights
from pipeline.evaluation import Protocol, evaluate
from pipeline.features import extract_features, read_features
from pipeline.params import TrainingParams
from pipeline.seeding import generator
from pipeline.shards.loader import Prefetch
from pipeline.training.calibrate import calibrate, random_trunk
from pipeline.training.labels import class_labels
from pipeline.training.loop import Loop, Run, train
from pipeline.training.methods.contrastive import Contrastive, batch_order
from pipeline.training.probe import probe

COSTLY = {"batch", "width", "crop"}  # the rest moves a step by less than its noise
WARM, TIMED, ROUNDS = 3, 10, 2  # steps not looked at, steps timed, turns
CALIBRATION = 128  # images that the untrained encoder's batch norms see
PROBED = {"probe": ("textured", HELD_OUT), "probe_plain": ("plain", HELD_OUT[:8])}


def steps_of(change: Change, data: Chosen, old: Chosen) -> int:
    """As many steps as take the old recipe's CPU time, for what changes the cost of a step: the two are timed in turn,
    in this process, and of each the lower quartile counts, for other work on the machine makes some steps dearer.
    """
    if not change.train.keys() & COSTLY:
        return STEPS
    costs: dict[str, list[float]] = {"old": [], "new": []}
    for _ in range(ROUNDS):
        costs["old"] += _costs(CHANGES["old"], old)
        costs["new"] += _costs(change, data)
    before, now = (float(np.quantile(costs[name], 0.25)) for name in ("old", "new"))
    return max(1, round(STEPS * before / now))


def _costs(change: Change, data: Chosen) -> list[float]:
    """CPU seconds of each of a few steps, the making of its batch included."""
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(*_run(change, data, steps=TIMED + WARM, seed=0, out=Path(folder)))
        marks = []
        loop.method.prepare(1)
        with loop.history, Prefetch(loop.method.batches(0, TIMED + WARM, 0, 1)) as batches:
            for batch in batches:
                loop.step(batch)
                marks.append(process_time())
    return np.diff(marks)[WARM - 1 :].tolist()


def in_epoch(change: Change, data: Chosen) -> int:
    """Steps in an epoch."""
    params = TrainingParams(**{**OLD, **change.train})
    return batch_order(class_labels(data.labels, params.merge_identical_classes), params, 0).in_epoch


def _run(change: Change, data: Chosen, *, steps: int, seed: int, out: Path) -> tuple[Run, partial[Contrastive]]:
    params = change.params(steps=steps, in_epoch=in_epoch(change, data))
    run = Run(
        name="ablation",
        out=out,
        checkpoints=out / "checkpoints",
        precision=resolve_precision(params.precision, Device("cpu")),
        threads=1,
        ema=params.ema,
        checkpoint_every=10**9,
    )
    return run, partial(Contrastive, images=data, params=params, seed=seed, cache="none")  # the data keeps its images


def run(folder: Path, change: Change, data: Chosen, old: Chosen, seed: int, steps: int | None) -> int:
    """Train into ``folder``, write training.json last; returns the steps (``steps``, or measured where None)."""
    steps = steps or steps_of(change, data, old)
    start = process_time()
    train(*_run(change, data, steps=steps, seed=seed, out=folder))
    seconds = process_time() - start
    loss = artifacts.read_table(folder / "history.parquet")["loss"].to_numpy()
    batch = {**OLD, **change.train}["batch"]
    about = {"seed": seed, "steps": steps, "cpu_seconds": seconds, "images_seen": steps * int(str(batch))}
    last = float(np.mean(loss[-max(1, steps // 20) :]))
    artifacts.write_json(folder / "training.json", {**about, "epochs": steps / in_epoch(change, data), "loss": last})
    return steps


def untrained(folder: Path, data: Chosen, seed: int) -> None:
    """What training with ``seed`` starts from, calibrated on some of ``data``; training.json says 0 steps."""
    trunk = random_trunk(int(str(OLD["depth"])), int(str(OLD["width"])), seed)
    rows = generator(seed, "calibrate").permutation(len(data))[:CALIBRATION]
    start = process_time()
    calibrate(trunk, [data.image(int(row)) for row in rows])
    weights.save_encoder(folder, trunk, "random_init", {})
    about = {"seed": seed, "steps": 0, "cpu_seconds": process_time() - start, "images_seen": 0, "epochs": 0}
    artifacts.write_json(folder / "training.json", {**about, "loss": None})


def probed(work: Path, folder: Path, figure: str) -> Mapping[str, object]:
    """The linear probe on the held-out sources of a family."""
    extractor = weights.load_encoder(folder, precision=resolve_precision("auto", Device("cpu")))
    family, who = PROBED[figure]
    shards = distorted(work, family)
    rows = np.flatnonzero(np.isin(shards.sources, who))
    parts = np.array_split(rows, -(-len(rows) // 126))
    features = np.concatenate([extractor.extract([shards.image(int(row)) for row in part]) for part in parts])
    return probe(features, shards.labels[rows], shards.sources[rows])


def correlated(work: Path, folder: Path, name: str, where: Path | None) -> Mapping[str, object]:
    """The metrics of the encoder in ``folder`` on a database, by the database's own protocol."""
    table, root = database(work, name, where)
    extractor = weights.load_encoder(folder, precision=resolve_precision("auto", Device("cpu")))
    features = extract_features(
        table, root, extractor, encoder=folder.name, database_name=name, batch_images=4, decode_threads=1
    )
    path = folder / "features" / f"{name}.parquet"
    artifacts.write_table(path, features, byte_stream_split=["feature"])
    manifest = load_manifest(name, where or Path())
    protocol = Protocol(
        name=manifest.protocol,
        seed=1,
        stratified=manifest.stratified,
        shares_groups=manifest.official_shares_groups,
    )
    predictions, metrics = evaluate(read_features(path), protocol)
    artifacts.write_table(folder / "predictions" / f"{name}.parquet", predictions)
    return metrics
