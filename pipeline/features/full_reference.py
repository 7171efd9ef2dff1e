"""The loop of a full-reference metric: every image of a database beside its reference, into a table of one number.

Pixels and their checks are those of :mod:`pipeline.features.extraction`. A reference is prepared once for all its
versions; images are compared by a few threads (decoding, OpenCV and numpy let others run).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import engine
from pipeline.databases.pixels import PLACE, decode_row
from pipeline.features.feature_table import FeatureError, feature_table
from pipeline.metrics import Metric


def compare_images(
    database: pa.Table,
    root: Path,
    metric: Metric,
    *,
    encoder: str,
    database_name: str,
    threads: int = 2,
    provenance: Mapping[str, object] | None = None,
) -> pa.Table:
    """The table of ``metric`` over the images of ``database`` that have a reference, in its order, ``feature`` [1].

    References and images without one have no row: a database without references gives a table without rows. A value
    that is not finite (the metric is not defined on so small an image) is kept, counted and named in the metadata.
    Raises :class:`FeatureError` naming an image whose reference has another size or is not there, or a file that
    changed since ingest.
    """
    compared = _compared(database)
    rows, places = compared.select(PLACE).to_pylist(), {row["image_id"]: row for row in _references(database)}
    versions: dict[str, list[int]] = {}
    for index, name in enumerate(compared["reference_id"].to_pylist()):
        versions.setdefault(name, []).append(index)
    out = np.empty((len(rows), 1), dtype=np.float32)
    describe = f"features {encoder} {database_name}"
    with ThreadPoolExecutor(threads) as pool:
        for name, members in engine.progress(sorted(versions.items()), total=len(versions), describe=describe):
            if name not in places:
                raise FeatureError(f"{rows[members[0]]['image_id']}: its reference {name} is not in {database_name}")
            prepared = metric.prepare(decode_row(root, places[name]))
            one = partial(_value, metric, Path(root), places[name], prepared)
            out[members, 0] = list(pool.map(one, [rows[i] for i in members]))
    metadata = {
        "weights_sha256": metric.sha256,
        "dim": 1,
        "standardise": False,
        "kind": "metric",
        "higher_is_better": metric.higher_is_better,
        "needs_reference": True,
        "non_finite": [rows[i]["image_id"] for i in np.flatnonzero(~np.isfinite(out[:, 0]))],
        "provenance": dict(provenance or {}),
    }
    return feature_table(compared, out, encoder=encoder, database_name=database_name, metadata=metadata)


def _compared(database: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    distorted = pc.and_(pc.invert(database["is_reference"]), database["reference_id"].is_valid())
    return database.filter(distorted)


def _references(database: pa.Table) -> list[dict[str, Any]]:
    return list(database.filter(database["is_reference"]).select(PLACE).to_pylist())


def _value(
    metric: Metric, root: Path, reference: Mapping[str, object], prepared: object, row: Mapping[str, object]
) -> float:
    sizes = [(place["width"], place["height"]) for place in (row, reference)]
    if sizes[0] != sizes[1]:
        text = [" x ".join(map(str, size)) for size in sizes]
        raise FeatureError(f"{row['image_id']} is {text[0]}, its reference {reference['image_id']} {text[1]}")
    return metric.compare(prepared, metric.prepare(decode_row(root, row)))
