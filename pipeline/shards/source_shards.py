"""Building the shards of a set of sources: one task a shard.

The set is passed in, so this package does not depend on how sources are drawn. A task is picklable, keeps a shard that
is already right, and writes the same bytes with any engine and any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline import artifacts, images
from pipeline.artifacts import ShardMeta
from pipeline.engine import last_seen
from pipeline.shards import plan, tables, writer


class SourceSet(Protocol):
    """Draws or takes the sources of a set; must be picklable."""

    @property
    def count(self) -> int:
        """Number of images."""

    def make(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Image (uint8 H x W x 3) and recipe (JSON-able) of source ``index``."""

    def inputs(self, indices: range | None = None) -> dict[str, Any]:
        """What decides the pixels of the images ``indices``, JSON-able; for no image: what all of them share."""


@dataclass(frozen=True)
class SourceJob:
    """What all shards of a set of sources have in common. ``folder`` is where they are written."""

    set_name: str
    source_set: SourceSet
    folder: Path
    codec: str

    def tasks(self, per_shard: int) -> list[SourceTask]:
        """One task for each ``per_shard`` sources."""
        return [SourceTask(self, block) for block in plan.blocks(self.source_set.count, per_shard)]


@dataclass(frozen=True)
class SourceTask:
    """One shard of sources."""

    job: SourceJob
    block: plan.Block

    def __str__(self) -> str:
        return f"the {plan.span(self.block)} of {self.job.folder}"


def build_sources(task: SourceTask) -> ShardMeta:
    """Draw the block's sources into its shard, unless the shard is already right."""
    job, path = task.job, task.job.folder / plan.shard_name("sources", task.block.index)
    keys = [plan.source_key(source) for source in task.block.sources]
    inputs = {"set": job.set_name, "maker": job.source_set.inputs(task.block.sources)}
    fingerprint = artifacts.fingerprint({**inputs, **writer.versions(), "keys": keys, "codec": job.codec})
    if artifacts.is_current(path, fingerprint):
        return artifacts.read_meta(path)
    return writer.write_shard(path, fingerprint, _samples(task), job.codec, tables.sources())


def commit_sources(job: SourceJob, shards: Sequence[ShardMeta]) -> None:
    """Write the table of all sources and the manifest, given what ``build_sources`` returned for each task.

    The manifest records enough to draw a drawn set again.
    """
    import pyarrow as pa

    table = job.folder / "sources.parquet"
    parts = [artifacts.read_table(job.folder / name) for shard in shards for name in shard.sidecars]
    artifacts.write_table(table, pa.concat_tables(parts))
    provenance = {
        "set": job.set_name,
        "codec": job.codec,
        "refused": dict(getattr(job.source_set, "reasons", ())),
        "recipe": job.source_set.inputs(range(0)),
        **writer.versions(),
    }
    sidecars = {table.name: artifacts.sha256_file(table)}
    artifacts.commit_manifest(job.folder, shards, plan.SOURCE_PATTERN, provenance, sidecars)


def pixel_sha256(image: np.ndarray) -> str:
    """sha256 (hex) of an image's pixels: uint8, row by row, RGB."""
    return artifacts.sha256_bytes(np.ascontiguousarray(image).data)


def _samples(task: SourceTask) -> Iterator[writer.Sample]:
    job = task.job
    for source in task.block.sources:
        key = plan.source_key(source)
        last_seen.note(f"while making source {source}, key {key}, of {job.folder}")
        image, recipe = job.source_set.make(source)
        images.check(image, f"source {source}")
        record = writer.record(recipe)
        row = {
            "source": source,
            "id": str(recipe.get("name", recipe.get("id", key))),
            "width": image.shape[1],
            "height": image.shape[0],
            "sha256": pixel_sha256(image),
            "phash": images.perceptual_hash(image),
            "recipe": record.decode(),
        }
        yield writer.Sample(key, images.encode(image, job.codec), {"json": record}, row)
