"""A small set of sources, a small bank and the two stages that use them: what tests give to the shard builders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.engine import Engine
from pipeline.labels import CLASSES, COMPOSITE, type_and_level
from pipeline.params.sections import DistortParams
from pipeline.seeding import generator
from pipeline.shards.distorted_shards import Bank, DistortJob, DistortTask, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from pipeline.shards.source_shards import SourceJob, build_sources, commit_sources

SERIAL = Engine()


@dataclass(frozen=True)
class NoiseSet:
    """Sources of noise; every other one is two rows higher."""

    count: int
    size: int = 16

    def make(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Image and recipe of source ``index``."""
        height = self.size + 2 * (index % 2)
        image = generator(7, "test/sources", index).integers(0, 256, (height, self.size, 3), dtype=np.uint8)
        return image, {"id": f"noise-{index}", "seed": 7}

    def inputs(self, indices: range | None = None) -> dict[str, Any]:
        """What decides the pixels of every source."""
        return {"kind": "noise", "size": self.size}


@dataclass(frozen=True)
class Made:
    """One of the 126 images of a source."""

    label: int
    type: int
    level: int
    image: np.ndarray
    record: dict[str, Any]


def bank(
    image: np.ndarray, random: np.random.Generator, recipes: Sequence[Sequence[tuple[int, int]]] = ()
) -> Iterator[Made]:
    """126 images and one for each of ``recipes``, each a shift of the source by its own generator's draw."""
    for label, child in enumerate(random.spawn(CLASSES + len(recipes))):
        shift = int(child.integers(1, 255)) if label else 0
        place = type_and_level(label) if label < CLASSES else (COMPOSITE, len(recipes[label - CLASSES]))
        yield Made(label, *place, image + np.uint8(shift), {"parameter": shift})


def source_stage(folder: Path, engine: Engine = SERIAL, *, count: int = 5, size: int = 16, codec: str = "qoi") -> None:
    """As the sources stage does it: two sources a shard."""
    job = SourceJob("noise", NoiseSet(count, size), folder, codec)
    commit_sources(job, engine.map(build_sources, job.tasks(2), describe="sources"))


def distort_job(
    sources: Path,
    folder: Path,
    *,
    seed: int = 11,
    made_by: Bank | None = None,
    shards: int = 2,
    recipes: Sequence[Sequence[tuple[int, int]]] = (),
    **knobs: Any,
) -> DistortJob:
    """As the distort stage makes it: two sources a block and two shards of it, unless ``knobs`` say otherwise."""
    params = DistortParams(**{"block": 2, "shards_per_block": shards, **knobs})
    sha256 = ShardSet(sources).fingerprint
    made_by = made_by or partial(bank, recipes=recipes)
    return DistortJob("noise", seed, params, made_by, {"bank": 1}, sources, sha256, folder, recipes)


def distort_tasks(sources: Path, folder: Path, **knobs: Any) -> list[DistortTask]:
    """The tasks of :func:`distort_job`."""
    return distort_job(sources, folder, **knobs).tasks(ShardSet(sources))


def distort_stage(sources: Path, folder: Path, engine: Engine = SERIAL, **knobs: Any) -> None:
    """Distort the sources of ``sources`` into ``folder``."""
    job, source_set = distort_job(sources, folder, **knobs), ShardSet(sources)
    commit_distorted(job, engine.map(build_distorted, job.tasks(source_set), describe="distort"), source_set)


def both(folder: Path, engine: Engine = SERIAL, **knobs: Any) -> Path:
    """Both stages; returns the folder of the distorted shards."""
    source_stage(folder / "sources", engine, **knobs)
    distort_stage(folder / "sources", folder / "distorted", engine)
    return folder / "distorted"


def content(folder: Path) -> dict[str, str]:
    """sha256 of every file in ``folder`` and below, by its relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
