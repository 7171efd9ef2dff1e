"""What KADIS-700k has in place of opinions: each distorted image compared with its pristine one by several metrics.

A task is a few sources with all their samples; the pristine image is prepared once for all of them. Its part of the
table is written by the commit protocol, so a rerun measures only what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import artifacts
from pipeline.artifacts import ArtifactError, ShardMeta, Written, column
from pipeline.engine import last_seen
from pipeline.labels import PRISTINE
from pipeline.metrics import METRICS
from pipeline.shards.reader import ShardSet

SOURCES = 4  # of a task: 504 samples, six seconds of a core at 256 x 256
PATTERN = r"quality-\d{5}\.parquet(\.meta\.json)?"
COLUMNS = ("key", "source", "label", "type", "level")  # of the sample tables


def quality_schema(metrics: Sequence[str]) -> pa.Schema:
    """The columns of a table of ``metrics``; its metadata has the hash of each metric's definition."""
    better = {name: "higher" if METRICS[name].higher_is_better else "lower" for name in metrics}
    comment = "against the pristine image, {} is better; NaN where the image is too small for it"
    values = [column(name, pa.float32(), comment.format(better[name])) for name in metrics]
    return pa.schema(
        [
            column("key", pa.string(), "key of the sample in its shard: {source:06d}-{label:03d}"),
            column("source", pa.int32(), "number of the source in its set"),
            column("label", pa.int16(), "0 pristine, else 5 * (type - 1) + level; from 126 on a composite"),
            column("type", pa.int8(), "KADIS type 1..25; 0 for the pristine image, 26 for a composite"),
            column("level", pa.int8(), "1..5; 0 for the pristine image; of a composite the number of its types"),
            *values,
        ],
        metadata={name: METRICS[name].sha256 for name in metrics},
    )


@dataclass(frozen=True)
class QualityJob:
    """What all tasks of a set have in common: its shards, the metrics, and the folder of the parts."""

    set_name: str
    shards: Path
    manifest_sha256: str  # of the shards: a worker opens each state of the folder once
    metrics: tuple[str, ...]
    folder: Path

    def tasks(self, shards: ShardSet) -> list[QualityTask]:
        """One task for each :data:`SOURCES` sources, in their order."""
        order = np.lexsort((shards.labels, shards.sources))
        names = np.unique(shards.sources)
        parts = [names[start : start + SOURCES] for start in range(0, len(names), SOURCES)]
        rows = [order[np.isin(shards.sources[order], part)] for part in parts]
        return [QualityTask(self, index, tuple(part.tolist())) for index, part in enumerate(rows)]


@dataclass(frozen=True)
class QualityTask:
    """Part ``index`` of a table: the samples of some sources, as ``rows`` of the shards, by source and label."""

    job: QualityJob
    index: int
    rows: tuple[int, ...]

    def __str__(self) -> str:
        return f"metrics of {len(self.rows)} samples of {self.job.set_name}, part {self.index}"


def measure(task: QualityTask) -> ShardMeta:
    """Write the task's part, unless it is right already; ``ArtifactError`` for a source without its pristine image."""
    job, shards = task.job, _open(task.job.shards, task.job.manifest_sha256)
    path = job.folder / f"quality-{task.index:05d}.parquet"
    schema = quality_schema(job.metrics)
    samples = shards.table.select([*COLUMNS, "crc32"]).take(pa.array(task.rows)).to_pylist()
    fingerprint = artifacts.fingerprint(
        {
            "metrics": {name: METRICS[name].sha256 for name in job.metrics},
            "samples": [[sample["key"], sample["crc32"]] for sample in samples],
        }
    )
    if artifacts.is_current(path, fingerprint):
        return artifacts.read_meta(path)

    def write(temporary: Path) -> Written:
        artifacts.write_table(temporary, pa.Table.from_pylist(list(_rows(task, shards, samples)), schema=schema))
        return Written([sample["key"] for sample in samples], {})

    return artifacts.commit_shard(path, fingerprint, write)


def quality_table(job: QualityJob, parts: Sequence[ShardMeta]) -> pa.Table:
    """The table of all samples, by source and label, given what ``measure`` returned for each task; parts that no task
    wrote are removed.
    """
    artifacts.commit_manifest(job.folder, parts, PATTERN, {"set": job.set_name, "metrics": list(job.metrics)})
    tables = [artifacts.read_table(job.folder / part.name) for part in parts]
    return pa.concat_tables(tables).replace_schema_metadata(quality_schema(job.metrics).metadata)


def _rows(task: QualityTask, shards: ShardSet, samples: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    metrics, pristine = [METRICS[name] for name in task.job.metrics], dict[int, list[Any]]()
    for row, sample in zip(task.rows, samples, strict=True):
        last_seen.note(f"at sample {sample['key']} of {task.job.set_name}")
        image = shards.image(row)
        prepared = [metric.prepare(image) for metric in metrics]
        if sample["label"] == PRISTINE:
            pristine = {sample["source"]: prepared}
        elif sample["source"] not in pristine:
            raise ArtifactError(f"{task.job.shards}: source {sample['source']} has no pristine image to compare with")
        compared = zip(metrics, pristine[sample["source"]], prepared, strict=True)
        values = [metric.compare(reference, version) for metric, reference, version in compared]
        yield {**{name: sample[name] for name in COLUMNS}, **dict(zip(task.job.metrics, values, strict=True))}


@cache
def _open(folder: Path, manifest_sha256: str) -> ShardSet:
    """The shards, opened once in each worker for each state of the folder."""
    return ShardSet(folder)
