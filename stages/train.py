"""train@{set}: an encoder that tells the classes of a set apart (data/models/{set}/)."""

from __future__ import annotations

import os
from contextlib import nullcontext

import numpy as np

from pipeline.devices import cores, resolve_device
from pipeline.folders import folder_lock
from pipeline.params import Params
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from pipeline.training.batches import Data
from pipeline.training.job import Job
from pipeline.training.launch import joined
from pipeline.training.mixture import Mixture
from pipeline.training.probe import HeldOut
from pipeline.training.trainer import train
from stages import DATA, LOCKS, entry

PROBED = 4  # sources


def run(params: Params, set_name: str) -> None:
    """Train the encoder of a set on all but its last `probe.sources` sources. Under torchrun, be one of its ranks."""
    shards = ShardSet(DATA / "distorted" / set_name)
    held = held_out(shards.sources, params.probe.sources)
    probed = np.flatnonzero(np.isin(shards.sources, np.unique(shards.sources[held])[:PROBED]))
    data, rows = _images(params, shards, held)
    device = resolve_device(params.run.device)
    local, ranks = os.environ.get("LOCAL_RANK"), device.ranks if device.kind == "cuda" else 1
    share = max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", ranks)))
    job = Job(
        data=data, rows=rows, params=params.train, seed=params.seed, name=set_name,
        out=DATA / "models" / set_name, checkpoints=DATA / "checkpoints" / set_name,
        provenance={"trained_on": set_name, "authentic_set": params.train.authentic_set},
        probe=HeldOut(shards, probed, shards.sources[probed], min(params.probe.folds, PROBED), params.probe.ridge),
        device=device.kind, cache=params.run.cache, threads=params.run.threads or share, readers=share,
    )  # fmt: skip
    with joined(device.kind, None if local is None else int(local)) as rank:
        with folder_lock(job.checkpoints, LOCKS) if rank == 0 else nullcontext():
            train(job, ranks=ranks if local is None else 1)


def _images(params: Params, shards: ShardSet, held: np.ndarray) -> tuple[Data, np.ndarray]:
    """The images to train on and their rows: never those of a source that is probed on."""
    rows, name = np.flatnonzero(~held), params.train.authentic_set
    if name is None:
        return shards, rows
    theirs = ShardSet(DATA / "sources" / name)
    kept_out = held_out(theirs.sources, params.probe.sources) if name in params.trained else np.zeros(len(theirs), bool)
    mixture = Mixture(shards if params.train.authentic == "half" else None, rows, theirs, np.flatnonzero(~kept_out))
    return mixture, np.arange(len(mixture))


if __name__ == "__main__":
    entry(run, "set")
