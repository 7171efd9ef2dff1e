"""A small maker, a small bank and the two stages that use them: what the shard builders are given in the tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline.engine import Engine
from pipeline.labels import CLASSES, type_and_level
from pipeline.seeding import generator
from pipeline.shards import plan
from pipeline.shards.build import (
    Bank,
    DistortTask,
    SourceTask,
    about_sources,
    build_distorted,
    build_sources,
    commit_distorted,
)
from pipeline.shards.reader import ShardSet

SERIAL = Engine()


@dataclass(frozen=True)
class Maker:
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


def bank(image: np.ndarray, random: np.random.Generator) -> Iterator[Made]:
    """126 images, each a shift of the source by its own generator's draw."""
    for label, child in enumerate(random.spawn(CLASSES)):
        shift = int(child.integers(1, 255)) if label else 0
        yield Made(label, *type_and_level(label), image + np.uint8(shift), {"parameter": shift})


def source_stage(folder: Path, engine: Engine = SERIAL, *, count: int = 5, size: int = 16, codec: str = "qoi") -> None:
    """As the sources stage does it: two sources a shard."""
    maker, blocks = Maker(count, size), plan.blocks(count, 2)
    tasks = [SourceTask(maker, block, folder, codec, {"size": size}) for block in blocks]
    shards = engine.map(build_sources, tasks, describe="sources")
    artifacts.commit_manifest(folder, shards, plan.SOURCE_PATTERN, about_sources("noise", codec, maker))


def distort_tasks(
    sources: Path,
    folder: Path,
    *,
    shards: int = 2,
    seed: int = 11,
    codec: str = "qoi",
    pristine: str = "stretched",
    block: int = 2,
    max_failed_sources: int = 0,
    made_by: Bank | None = None,
) -> list[DistortTask]:
    """As the distort stage does it: two sources a block, if it is not said otherwise."""
    source_set = ShardSet(sources)
    hashes = source_set.table["sha256"].to_pylist()
    return [
        DistortTask(
            bank=made_by or bank,
            set_name="noise",
            sources=sources,
            sources_print=source_set.fingerprint,
            rows=tuple((source, hashes[source]) for source in block.sources),
            block=block,
            shards_per_block=shards,
            folder=folder,
            codec=codec,
            pristine=pristine,
            seed=seed,
            parts={"bank": 1},
            max_failed_sources=max_failed_sources,
        )
        for block in plan.blocks(len(source_set), block)
    ]


def distort_stage(sources: Path, folder: Path, engine: Engine = SERIAL, **knobs: Any) -> None:
    """Distort the sources of ``sources`` into ``folder``."""
    tasks = distort_tasks(sources, folder, **knobs)
    commit_distorted(tasks, engine.map(build_distorted, tasks, describe="distort"), ShardSet(sources))


def both(folder: Path, engine: Engine = SERIAL, **knobs: Any) -> Path:
    """Both stages; returns the folder of the distorted shards."""
    source_stage(folder / "sources", engine, **knobs)
    distort_stage(folder / "sources", folder / "distorted", engine)
    return folder / "distorted"


def content(folder: Path) -> dict[str, str]:
    """sha256 of every file in ``folder`` and below, by its relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
