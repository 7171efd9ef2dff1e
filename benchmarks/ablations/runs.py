"""One run: its steps from measured CPU time, its training, what the judges say of it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.ablations.changes import CHANGES, WARMUP, Change
from benchmarks.ablations.data import RELEASED, images, released
from pipeline import artifacts
from pipeline.databases import ingest_folder, load_manifest
from pipeline.devices import Device, resolve_precision
from pipeline.encoder import weights
from pipeline.encoder.card import read_card
from pipeline.encoder.pooling import pool_of
from pipeline.evaluation import Protocol, evaluate
from pipeline.features import extract_features, read_features
from pipeline.params import TrainingParams
from pipeline.seeding import generator
from pipeline.shards.decoded import Subset
from pipeline.shards.loader import Prefetch
from pipeline.training.labels import class_labels
from pipeline.training.loop import Loop, Run, train
from pipeline.training.methods.contrastive import Contrastive, batch_order
from pipeline.training.random_init import random_trunk, set_running_statistics

COSTLY = {"batch", "width", "crop", "depth"}  # the rest moves a step by less than its noise
WARM, TIMED, ROUNDS = 2, 6, 2  # steps not looked at, steps timed, turns
CALIBRATION = 128  # images that the untrained encoder's batch norms see


def made(work: Path, name: str, seed: int, length: int) -> Path:
    """Train what is not trained, for the CPU time of ``length`` steps of the release; returns the folder of the
    encoder, in which training.json is written last.
    """
    change, folder = CHANGES[name], work / f"runs_{length}" / f"{name}-{seed}"
    if (folder / "training.json").exists():
        return folder
    data, start = _images(work, change), process_time()
    if change.times:
        steps = steps_of(work, name, data, change.times * length)
        start = process_time()
        train(*_run(change, data, steps=steps, seed=seed, out=folder))
        loss = float(artifacts.read_table(folder / "history.parquet")["loss"].to_numpy()[-max(1, steps // 20) :].mean())
    else:
        steps, loss = 0, None
        _untrained(folder, data, seed)
    about = {"steps": steps, "images": steps * _params(change).batch, "cpu_seconds": process_time() - start}
    weights.save_readout(folder, folder / "readout", pool_of(read_card(RELEASED)))
    artifacts.write_json(folder / "training.json", {**about, "loss": loss})
    return folder


def steps_of(work: Path, name: str, data: Subset, length: int) -> int:
    """As many steps as take the CPU time of ``length`` of the released recipe, for what changes the cost of a step: the
    two are timed in turn, in this process, and of each the lower quartile counts, for other work on the machine makes
    some steps dearer. One look serves all seeds.
    """
    change, path = CHANGES[name], work / "costs" / f"{name}.json"
    if not change.train.keys() & COSTLY:
        return length
    if not path.exists():
        base = _images(work, CHANGES["release"])
        costs: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            costs[0].extend(_costs(CHANGES["release"], base))
            costs[1].extend(_costs(change, data))
        before, now = (float(np.quantile(cost, 0.25)) for cost in costs)
        artifacts.write_json(path, {"release": before, "change": now})
    found = artifacts.read_json(path)
    return max(1, round(length * found["release"] / found["change"]))


def _costs(change: Change, data: Subset) -> list[float]:
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


def _images(work: Path, change: Change) -> Subset:
    return images(work, change.drawn, change.sources, change.composites)


def _params(change: Change, **schedule: float) -> TrainingParams:
    return TrainingParams(**{**released().training.model_dump(), **change.train, **schedule})


def _run(change: Change, data: Subset, *, steps: int, seed: int, out: Path) -> tuple[Run, partial[Contrastive]]:
    knobs = _params(change)
    in_epoch = batch_order(class_labels(data.labels, knobs.merge_identical_classes), knobs, 0).in_epoch
    knobs = _params(change, epochs=steps / in_epoch, warmup=round(WARMUP * steps) / in_epoch)
    run = Run(
        name="ablation",
        out=out,
        checkpoints=out / "checkpoints",
        precision=resolve_precision(knobs.precision, Device("cpu")),
        threads=1,
        ema=knobs.ema,
        checkpoint_every=10**9,
    )
    return run, partial(Contrastive, images=data, params=knobs, seed=seed, cache="none")


def _untrained(folder: Path, data: Subset, seed: int) -> None:
    """What training with ``seed`` starts from, its batch norms with the statistics of some of ``data``."""
    knobs = released().training
    trunk = random_trunk(knobs.depth, knobs.width, seed)
    rows = generator(seed, "calibrate").permutation(len(data))[:CALIBRATION]
    set_running_statistics(trunk, [data.image(int(row)) for row in rows])
    weights.save_encoder(folder, trunk, "random_init", {})


def judged(work: Path, folder: Path, database: str, where: Path) -> None:
    """What is not there yet: the metrics of a run on a database in ``where``, by the database's own protocol."""
    known = work / "databases" / f"{database}.parquet"
    if (folder / f"{database}.json").exists():
        return
    manifest = load_manifest(database, where)
    if not known.exists():
        artifacts.write_table(known, ingest_folder(manifest, where))
    extractor = weights.load_encoder(folder / "readout", precision=resolve_precision("auto", Device("cpu")))
    table = extract_features(
        artifacts.read_table(known), where, extractor, encoder=folder.name, database_name=database, batch_images=16
    )
    features = folder / "features" / f"{database}.parquet"
    artifacts.write_table(features, table, byte_stream_split=["feature"])
    protocol = Protocol.of(released().evaluate, manifest, seed=1, memory=2**31, split_file=None)
    artifacts.write_json(folder / f"{database}.json", evaluate(read_features(features), protocol)[1])
