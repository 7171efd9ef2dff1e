"""Encoders beside one another on one database: every image gets the mean of its test predictions over the splits, and
groups are left out of that.

Pooling mixes splits with different offsets, which lowers weak methods, so the median over splits stands beside each
pooled figure and the interval belongs to the pooled one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.intervals import correlation_interval, difference_interval
from pipeline.evaluation.measures import srocc
from pipeline.evaluation.significance import corrected_t, holm


def compare(predictions: Sequence[pa.Table], metrics: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """Figures of several encoders from their predictions tables and metrics (:func:`pipeline.evaluation.evaluate`).

    ``{"encoders": [{encoder, database, mode, median, srocc, low, high, groups, ...}], "pairs": [{database, mode, first,
    second, srocc, low, high, p, p_holm, t_splits, p_splits, ...}]}``. Holm's correction runs over all pairs. Raises
    ``ValueError`` if two encoders of a database were not tested on the same images and splits.
    """
    entries: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    medians = {(str(m["encoder"]), str(m["database"])): m for m in metrics}
    found = {key: value for table in predictions for key, value in _by_mode(table).items()}
    for (database, mode), names in _cells(found).items():
        for encoder in names:
            rows = found[encoder, database, mode]
            pooled = _pooled(rows)
            figure = asdict(correlation_interval(pooled["prediction"], pooled["mos"], pooled["group"]))
            median = _median(medians.get((encoder, database)), mode)
            entries.append(
                {"encoder": encoder, "database": database, "mode": mode, "median": median} | _renamed(figure)
            )
        pairs += [_pair(found, database, mode, a, b) for a, b in combinations(names, 2)]
    tested = [pair for pair in pairs if pair["p"] is not None]
    for pair, adjusted in zip(tested, holm([pair["p"] for pair in tested]), strict=True):
        pair["p_holm"] = adjusted
    return {"encoders": entries, "pairs": pairs}


def _by_mode(table: pa.Table) -> dict[tuple[str, str, str], pa.Table]:
    test = table.filter(pc.field("part") == "test")
    keys = [test[name].unique().to_pylist() for name in ("encoder", "database", "mode")]
    if len(keys[0]) != 1 or len(keys[1]) != 1:
        raise ValueError(
            f"compare: a predictions table is of one encoder and database, this one of {keys[0]}, {keys[1]}"
        )
    return {(keys[0][0], keys[1][0], mode): test.filter(pc.field("mode") == mode) for mode in keys[2]}


def _cells(found: Mapping[tuple[str, str, str], pa.Table]) -> dict[tuple[str, str], list[str]]:
    cells: dict[tuple[str, str], list[str]] = {}
    for encoder, database, mode in found:
        cells.setdefault((database, mode), []).append(encoder)
    return cells


def _pooled(rows: pa.Table) -> dict[str, np.ndarray]:
    """Mean test prediction, opinion and group of each image, in the order of image_id."""
    grouped = rows.group_by(["image_id", "group", "mos"]).aggregate([("prediction", "mean")]).sort_by("image_id")
    columns = {"prediction": "prediction_mean", "mos": "mos", "group": "group", "image_id": "image_id"}
    return {name: np.asarray(grouped[column].to_pylist()) for name, column in columns.items()}


def _pair(
    found: Mapping[tuple[str, str, str], pa.Table], database: str, mode: str, first: str, second: str
) -> dict[str, Any]:
    a, b = (
        found[name, database, mode].sort_by([("split", "ascending"), ("image_id", "ascending")])
        for name in (first, second)
    )
    if not a.select(["split", "image_id", "mos"]).equals(b.select(["split", "image_id", "mos"])):
        raise ValueError(f"compare: {first} and {second} were not tested on the same images and splits of {database}")
    x, y = _pooled(a), _pooled(b)
    interval, p = difference_interval(x["prediction"], y["prediction"], x["mos"], x["group"])
    pair: dict[str, Any] = {
        "database": database,
        "mode": mode,
        "first": first,
        "second": second,
        "p": p,
        "p_holm": None,
    }
    return pair | _renamed(asdict(interval)) | _over_splits(a, b)


def _over_splits(a: pa.Table, b: pa.Table) -> dict[str, object]:
    """The corrected t over random splits (70/10/20: test/train = 2/7); None where there are fewer than two splits or
    the test parts do not overlap, as in leaving one group out.
    """
    splits, mos = a["split"].to_numpy(), a["mos"].to_numpy()
    first, second = a["prediction"].to_numpy(), b["prediction"].to_numpy()
    parts = [splits == number for number in np.unique(splits)]
    if len(parts) < 2 or len(set(a["image_id"].to_pylist())) == len(a):
        return {"t_splits": None, "p_splits": None}
    differences = [srocc(first[part], mos[part]) - srocc(second[part], mos[part]) for part in parts]
    statistic, p = corrected_t(differences, test=2, train=7)
    return {"t_splits": float(np.clip(statistic, -1e9, 1e9)), "p_splits": p}


def _renamed(interval: dict[str, object]) -> dict[str, object]:
    return {("srocc" if key == "value" else key): value for key, value in interval.items()}


def _median(metrics: Mapping[str, object] | None, mode: str) -> object:
    part = None if metrics is None else metrics.get(mode)
    return part.get("srocc") if isinstance(part, Mapping) else None
