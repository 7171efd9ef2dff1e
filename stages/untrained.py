"""untrained@{encoder}: what learns nothing, as an encoder's folder (data/models/{encoder}/)."""

from __future__ import annotations

import numpy as np

from pipeline import artifacts
from pipeline.features import baselines
from pipeline.params import Params
from pipeline.seeding import generator
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from stages import DATA, cores, entry

IMAGES = 256  # of each trained set


def run(params: Params, encoder: str) -> None:
    """Write random_init (random weights, batch norm calibrated on the trained sets' images) or a rule such as floor."""
    folder = DATA / "models" / encoder
    if encoder != "random_init":
        artifacts.write_json(folder / "encoder.json", baselines.card(encoder))
        return
    import torch

    from pipeline.encoder import weights
    from pipeline.training.calibrate import calibrate, random_trunk
    from pipeline.training.launch import devices

    torch.set_num_threads(params.run.threads or cores())
    images, seen = [], {}
    for name in params.trained:
        shards = ShardSet(DATA / "distorted" / name)
        rows = np.flatnonzero(~held_out(shards.sources, params.probe.sources))
        chosen = generator(params.seed, f"calibrate/{name}").permutation(rows)[:IMAGES]
        images += [shards.image(int(row)) for row in chosen]
        seen[name] = {"data": shards.fingerprint, "images": len(chosen)}
    trunk = random_trunk(params.train.depth, params.train.width, params.seed).to(devices(params.run.device)[0])
    calibrate(trunk, images)
    weights.save(folder, trunk.cpu(), encoder, {"trained_on": None, "calibrated_on": seen, "seed": params.seed})


if __name__ == "__main__":
    entry(run, "encoder")
