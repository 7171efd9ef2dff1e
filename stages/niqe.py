"""niqe@{name}: a NIQE model fitted on the pristine images of a set (data/models/{name}/)."""

from __future__ import annotations

from pipeline import distortions
from pipeline.metrics import niqe
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from stages import DATA, entry


def run(params: Params, name: str) -> None:
    """Fit NIQE on every source of a set, stretched as the pristine images of the distorted sets are."""
    knobs = params.niqe[name]
    shards = ShardSet(DATA / "sources" / knobs.set)
    pristine = (distortions.pristine(shards.image(row)) for row in range(len(shards)))
    model, patches = niqe.fit(pristine, side=knobs.side, sharpness=knobs.sharpness)
    seen = {"data": shards.fingerprint, "images": len(shards), "patches": patches}
    niqe.save(DATA / "models" / name, model, {"fitted_on": {knobs.set: seen}})


if __name__ == "__main__":
    entry(run, "name")
