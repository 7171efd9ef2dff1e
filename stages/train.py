"""train@{set}: an encoder that tells the classes of a set apart (data/models/{set}/)."""

from __future__ import annotations

import numpy as np

from pipeline.artifacts import folder_lock
from pipeline.params import Params
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from pipeline.training.launch import devices
from pipeline.training.job import Job
from pipeline.training.trainer import train
from stages import DATA, LOCKS, cores, entry


def run(params: Params, set_name: str) -> None:
    """Train the encoder of a set on all but its last `probe.sources` sources."""
    shards = ShardSet(DATA / "distorted" / set_name)
    device, ranks = devices(params.run.device)
    checkpoints = DATA / "checkpoints" / set_name
    job = Job(
        data=shards,
        rows=np.flatnonzero(~held_out(shards.sources, params.probe.sources)),
        params=params.train,
        seed=params.seed,
        name=set_name,
        out=DATA / "models" / set_name,
        checkpoints=checkpoints,
        provenance={"trained_on": set_name},
        device=device,
        threads=params.run.threads or cores(),
    )
    with folder_lock(checkpoints, LOCKS):
        train(job, ranks=ranks)


if __name__ == "__main__":
    entry(run, "set")
