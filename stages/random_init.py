"""random_init: the network before training, its batch norms with images' statistics (data/models/random_init/)."""

from __future__ import annotations

from pipeline.devices import resolve_device
from pipeline.encoder import weights
from pipeline.params import RANDOM_INIT, Params
from pipeline.seeding import generator
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet
from pipeline.training.random_init import random_trunk, set_running_statistics
from stages import DATA, entry

IMAGES = 256  # of each set


def run(params: Params) -> None:
    """Write the network that training starts from, with the statistics of images of every set that is probed on."""
    images, seen = [], {}
    for name in params.probe_sets:
        shards = ShardSet(DATA / "distorted" / name)
        rows = (~held_out(shards.sources, params.probe.sources)).nonzero()[0]
        chosen = generator(params.seed, f"calibrate/{name}").permutation(rows)[:IMAGES]
        images += [shards.image(int(row)) for row in chosen]
        seen[name] = {"data": shards.fingerprint, "images": len(chosen)}
    knobs, device = params.training, resolve_device(params.run.device).kind
    trunk = random_trunk(knobs.depth, knobs.width, params.seed).to(device)
    set_running_statistics(trunk, images)
    provenance = {"trained_on": None, "statistics_of": seen, "seed": params.seed}
    weights.save_encoder(DATA / "models" / RANDOM_INIT, trunk.cpu(), RANDOM_INIT, provenance)


if __name__ == "__main__":
    entry(run)
