"""untrained@{encoder}: what learns nothing, as an encoder's folder (data/models/{encoder}/)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline import artifacts
from pipeline.devices import cores, resolve_device
from pipeline.features import baselines
from pipeline.metrics import niqe
from pipeline.params import Params
from pipeline.seeding import generator
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from stages import DATA, entry

IMAGES = 256  # of each trained set


def run(params: Params, encoder: str) -> None:
    """Write random_init (batch norm calibrated on the trained sets' images), niqe's model, or the card of a rule."""
    folder = DATA / "models" / encoder
    if encoder == "random_init":
        _random_init(params, folder)
    elif encoder == "niqe":
        shards = ShardSet(DATA / "distorted" / params.niqe.set)
        pristine = np.flatnonzero(shards.labels == 0)
        pictures = (shards.image(int(row)) for row in pristine)
        model, patches = niqe.fit(pictures, side=params.niqe.side, sharpness=params.niqe.sharpness)
        seen = {"data": shards.fingerprint, "images": len(pristine), "patches": patches}
        niqe.save(folder, model, {"fitted_on": {params.niqe.set: seen}})
    else:
        artifacts.write_json(folder / "encoder.json", baselines.card(encoder))


def _random_init(params: Params, folder: Path) -> None:
    import torch

    from pipeline.encoder import weights
    from pipeline.training.calibrate import calibrate, random_trunk

    torch.set_num_threads(params.run.threads or cores())
    images, seen = [], {}
    for name in params.trained:
        shards = ShardSet(DATA / "distorted" / name)
        rows = np.flatnonzero(~held_out(shards.sources, params.probe.sources))
        chosen = generator(params.seed, f"calibrate/{name}").permutation(rows)[:IMAGES]
        images += [shards.image(int(row)) for row in chosen]
        seen[name] = {"data": shards.fingerprint, "images": len(chosen)}
    trunk = random_trunk(params.train.depth, params.train.width, params.seed).to(resolve_device(params.run.device).kind)
    calibrate(trunk, images)
    about = {"trained_on": None, "calibrated_on": seen, "seed": params.seed}
    weights.save_encoder(folder, trunk.cpu(), folder.name, about)


if __name__ == "__main__":
    entry(run, "encoder")
