"""Full-reference metrics over a database: every image beside its reference, into a table of one number.

Pixels and their checks are those of :mod:`pipeline.features.extraction`. A reference and its versions are one task of
an engine, so that the reference is prepared once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.databases.pixels import PLACE, decode_row
from pipeline.engine import Engine
from pipeline.features.extraction import Row
from pipeline.features.feature_table import FeatureError, feature_table
from pipeline.metrics import Metric


@dataclass(frozen=True)
class ComparisonTask:
    """A reference and its versions: rows of a database table, whose paths start at ``root``."""

    metric: Metric
    root: Path
    reference: Row
    versions: tuple[Row, ...]

    def __str__(self) -> str:
        return f"{self.metric.name} of {len(self.versions)} versions of {self.reference['image_id']}"


def compare_images(
    database: pa.Table,
    root: Path,
    metric: Metric,
    *,
    encoder: str,
    database_name: str,
    engine: Engine = Engine(),
    provenance: Mapping[str, object] | None = None,
) -> pa.Table:
    """The table of ``metric`` over the images of ``database`` that have a reference, in its order, ``feature`` [1].

    References and images without one have no row: a database without references gives a table without rows. A value
    that is not finite (the metric is not defined on so small an image) is kept, counted and named in the metadata.
    Raises :class:`FeatureError` naming an image whose reference has another size or is not there, or a file that
    changed since ingest.
    """
    compared = _compared(database)
    rows, references = compared.select(PLACE).to_pylist(), _references(database)
    versions: dict[str, list[int]] = {}
    for index, name in enumerate(compared["reference_id"].to_pylist()):
        if name not in references:
            raise FeatureError(f"{rows[index]['image_id']}: its reference {name} is not in {database_name}")
        versions.setdefault(name, []).append(index)
    groups = sorted(versions.items())
    tasks = [
        ComparisonTask(metric, Path(root), references[name], tuple(rows[index] for index in members))
        for name, members in groups
    ]
    values = np.empty((len(rows), 1), dtype=np.float32)
    parts = engine.map(compare_task, tasks, describe=f"features {encoder} {database_name}")
    for (_, members), part in zip(groups, parts, strict=True):
        values[members, 0] = part
    metadata = {
        "weights_sha256": metric.sha256,
        "dim": 1,
        "standardise": False,
        "kind": "metric",
        "higher_is_better": metric.higher_is_better,
        "needs_reference": True,
        "non_finite": [rows[i]["image_id"] for i in np.flatnonzero(~np.isfinite(values[:, 0]))],
        "provenance": dict(provenance or {}),
    }
    return feature_table(compared, values, encoder=encoder, database_name=database_name, metadata=metadata)


def compare_task(task: ComparisonTask) -> list[float]:
    """The metric of each version of the task's reference."""
    prepared = task.metric.prepare(decode_row(task.root, task.reference))
    values = []
    for row in task.versions:
        sizes = [(place["width"], place["height"]) for place in (row, task.reference)]
        if sizes[0] != sizes[1]:
            text = [" x ".join(map(str, size)) for size in sizes]
            raise FeatureError(f"{row['image_id']} is {text[0]}, its reference {task.reference['image_id']} {text[1]}")
        values.append(task.metric.compare(prepared, task.metric.prepare(decode_row(task.root, row))))
    return values


def _compared(database: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    distorted = pc.and_(pc.invert(database["is_reference"]), database["reference_id"].is_valid())
    return database.filter(distorted)


def _references(database: pa.Table) -> dict[str, Row]:
    """image_id -> row, of every reference."""
    rows = database.filter(database["is_reference"]).select(PLACE).to_pylist()
    return {row["image_id"]: row for row in rows}
