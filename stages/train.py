"""train@{set}: an encoder that tells the classes of a set apart (data/models/{set}/)."""

from __future__ import annotations

import numpy as np

from pipeline.artifacts import folder_lock
from pipeline.params import Params
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from pipeline.training.batches import Data
from pipeline.training.job import Job
from pipeline.training.launch import devices
from pipeline.training.mixture import Mixture
from pipeline.training.trainer import train
from stages import DATA, LOCKS, cores, entry


def run(params: Params, set_name: str) -> None:
    """Train the encoder of a set on all but its last `probe.sources` sources."""
    data, rows = _data(params, set_name)
    device, ranks = devices(params.run.device)
    checkpoints = DATA / "checkpoints" / set_name
    job = Job(
        data=data,
        rows=rows,
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


def _data(params: Params, set_name: str) -> tuple[Data, np.ndarray]:
    """The images to train on and their rows: never those of a source that is probed on."""
    shards = ShardSet(DATA / "distorted" / set_name)
    rows = np.flatnonzero(~held_out(shards.sources, params.probe.sources))
    name = params.train.authentic_set
    if name is None:
        return shards, rows
    authentic = ShardSet(DATA / "sources" / name)
    probed = (
        held_out(authentic.sources, params.probe.sources) if name in params.trained else np.zeros(len(authentic), bool)
    )
    distorted = shards if params.train.authentic == "half" else None
    mixture = Mixture(distorted, rows, authentic, np.flatnonzero(~probed))
    return mixture, np.arange(len(mixture))


if __name__ == "__main__":
    entry(run, "set")
