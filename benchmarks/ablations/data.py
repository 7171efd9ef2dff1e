"""The images of all runs, made once by the stages' own code."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from pipeline.labels import CLASSES
from pipeline.params import Params, load
from pipeline.shards.decoded import Subset
from pipeline.shards.reader import ShardSet

RELEASED = Path(__file__).parents[2] / "released"
SET = "textured_dead_leaves"
DRAWN: dict[str, dict[str, object]] = {  # what differs from the release's sources
    "release": {},
    "discs": {"r_min": 1.0, "shape": "disc", "supersample": 1},
    "shaded": {"shading": 0.5, "depth_blur": 2.0, "palettes": "drawn"},
}
SOURCES = 256
COMPOSITES = 32  # of each source of the release; a run without composites leaves them out


def released() -> Params:
    """The page that the released encoder was trained with."""
    return load(RELEASED / "params.yaml")


def make(work: Path) -> None:
    """Draw and distort the sources under ``work``/NAME/data, in this process."""
    from stages import distort, sources

    page = released()
    page = page.model_copy(update={"run": page.run.model_copy(update={"engine": "serial"})})
    for name, changed in DRAWN.items():
        drawn = page.sources.model_copy(update={"count": SOURCES, **changed})
        made = page.distort.model_copy(update={"composites": COMPOSITES * (name == "release")})
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(folder):
            for stage in (sources, distort):
                stage.run(page.model_copy(update={"sources": drawn, "distort": made}), SET)


def images(work: Path, name: str, sources: int, composites: bool) -> Subset:
    """The distorted images of the first ``sources`` sources."""
    shards = ShardSet(work / name / "data" / "distorted" / SET)
    chosen = (shards.sources < sources) & ((shards.labels < CLASSES) | composites)
    return Subset(shards, np.flatnonzero(chosen))
