"""joint@{run}: an encoder trained on the classes of a set and on a database's opinions at once (data/models/{run}/)."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.databases.pixels import TableImages
from pipeline.devices import cores
from pipeline.evaluation import Protocol, labelled_split, scored_images
from pipeline.folders import folder_lock
from pipeline.params import Params
from pipeline.shards.decoded import Subset
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from pipeline.training.loop import train
from pipeline.training.methods.joint import Data, Joint
from pipeline.training.methods.regression import OpinionScale
from stages import DATA, LOCKS, entry
from stages.training import training_run


def run(params: Params, name: str) -> None:
    """Train on a set, but for the last `probe.sources` sources, and on the train part of a database's split."""
    line, knobs = params.joint[name], params.joint_training_of(name)
    shards, root = ShardSet(DATA / "distorted" / line.set), params.database_folder(line.database)
    free = np.flatnonzero(~held_out(shards.sources, params.probe.sources))
    validates = held_out(shards.sources[free], max(1, round(knobs.validation * len(np.unique(shards.sources[free])))))

    manifest, given = load_manifest(line.database, root), params.run.paths.splits.get(line.database)
    protocol = Protocol.of(
        params.evaluate,
        manifest,
        seed=params.seed,
        memory=params.run.memory,
        split_file=given,
        validation=knobs.validation,
    )
    scored = scored_images(artifacts.read_table(DATA / "databases" / f"{line.database}.parquet"))
    split = labelled_split(scored, protocol, line.database, line.split)
    opinions = OpinionScale.of(manifest).targets(scored["mos"].to_numpy())
    seen = sorted(scored["image_id"].take(np.concatenate([split.train, split.val])).to_pylist())

    def data(samples: np.ndarray, rows: np.ndarray) -> Data:
        return Data(Subset(shards, samples), TableImages(scored.take(rows), root), opinions[rows])

    training = training_run(
        params,
        name,
        batch=[getattr(knobs, batch) for batch in knobs.batches],
        precision=knobs.precision,
        ema=knobs.ema,
        provenance={"trained_on": line.set if knobs.alpha > 0 else []},
    )
    make = partial(
        Joint,
        training=data(free[~validates], split.train),
        validation=data(free[validates], split.val),
        params=knobs,
        seed=params.seed,
        seen=[{"database": line.database, "split": line.split, "images": seen}],
        cache=params.run.cache,
        readers=max(1, cores() // training.device.ranks) if training.device.kind == "cuda" else 1,
    )
    with folder_lock(training.checkpoints, LOCKS):
        train(training, make)


if __name__ == "__main__":
    entry(run, "name")
