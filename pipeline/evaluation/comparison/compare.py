"""Methods (an encoder with a regressor, or a metric) beside one another on each database: every image gets the mean of
its test predictions over the splits, and groups are left out of that.

Pooling mixes splits with different offsets, which lowers weak methods, so the median over splits stands beside each
pooled figure and the interval belongs to the pooled one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Refusal, engine
from pipeline.evaluation.agreement.intervals import Interval, correlation_interval, difference_interval
from pipeline.evaluation.agreement.measures import srocc, srocc_within
from pipeline.evaluation.agreement.significance import corrected_t, holm

BASELINES = ("random_init", "floor")  # what every method is compared with, beside the best one


class CompareError(Refusal, ValueError):
    """Results that cannot stand beside one another; the message names their files or methods."""


@dataclass(frozen=True, order=True)
class Key:
    """One method on one database in one mode."""

    database: str
    mode: str
    encoder: str
    regressor: str

    @property
    def method(self) -> str:
        """As in messages."""
        return self.encoder if self.regressor == "none" else f"{self.encoder} with {self.regressor}"


def compare(predictions: Sequence[pa.Table], metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Figures of several methods from their predictions tables and metrics (:func:`pipeline.evaluation.evaluate`).

    ``{"methods": [{database, mode, encoder, regressor, kind, srocc, low, high, groups, images, median, ...}], "pairs":
    [{database, mode, first, first_regressor, second, second_regressor, against, srocc, low, high, p, p_holm, t_splits,
    p_splits, p_splits_holm, ...}]}``; where there are strata both have ``within: {value, low, high}``, of the mean
    SROCC inside them. Every method is paired with random_init, with floor (both with their headline regressor) and with
    the method of the best median. Holm's correction runs over all pairs of all databases. Raises
    :class:`CompareError` if two methods of a database were not tested on the same images and splits.
    """
    about = {(m["encoder"], m["database"]): m for m in metrics}
    found = {key: rows for table in predictions for key, rows in _methods(table).items()}
    methods, pairs = [], []
    for key in engine.progress(found, total=len(found), describe="compare, methods"):
        methods.append(_entry(key, found[key], about[key.encoder, key.database]))
    todo = [pair for cell in _cells(found) for pair in _chosen(cell, about)]
    for first, second, against in engine.progress(todo, total=len(todo), describe="compare, pairs"):
        pairs.append(_pair(found, about, first, second, against))
    for p, adjusted in (("p", "p_holm"), ("p_splits", "p_splits_holm")):
        tested = [pair for pair in pairs if pair[p] is not None]
        for pair, value in zip(tested, holm([pair[p] for pair in tested]), strict=True):
            pair[adjusted] = value
    return {"methods": methods, "pairs": pairs}


def pooled(rows: pa.Table) -> dict[str, np.ndarray]:
    """Mean test prediction, opinion, group and stratum ("" if none) of each image, in the order of image_id."""
    rows = rows.set_column(rows.column_names.index("stratum"), "stratum", pc.fill_null(rows["stratum"], ""))
    keys = ["image_id", "group", "mos", "stratum"]
    grouped = rows.group_by(keys).aggregate([("prediction", "mean")]).sort_by("image_id")
    columns = {"prediction": "prediction_mean"} | {key: key for key in keys}
    return {name: np.asarray(grouped[column].to_pylist()) for name, column in columns.items()}


def with_strata(images: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """[n, 2], opinion and number of the stratum, for :func:`within`; None where SROCC within strata is not defined."""
    if srocc_within(images["mos"], images["mos"], images["stratum"]) is None:
        return None
    return np.stack([images["mos"], np.unique(images["stratum"], return_inverse=True)[1]], axis=1)


def within(prediction: np.ndarray, mos: np.ndarray) -> float:
    """SROCC within strata as a statistic of rows that :func:`with_strata` made."""
    found = srocc_within(prediction, mos[:, 0], mos[:, 1])
    return 0.0 if found is None else found


def renamed(interval: Interval) -> dict[str, Any]:
    """An interval of SROCC for JSON."""
    return {("srocc" if key == "value" else key): value for key, value in asdict(interval).items() if key != "level"}


def plain(interval: Interval) -> dict[str, float | None]:
    """An interval of something else for JSON."""
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def medians(metrics: Mapping[str, Any], mode: str, regressor: str) -> Mapping[str, Any]:
    """The medians over splits of one regressor and mode in the metrics of an encoder."""
    part = metrics if metrics["regressor"] == regressor else metrics["others"][regressor]
    found: Mapping[str, Any] = part[mode]
    return found


def _methods(table: pa.Table) -> dict[Key, pa.Table]:
    """The test rows of each method in a table, ordered by split and image."""
    test = table.filter(pc.field("part") == "test")
    names = ("database", "mode", "encoder", "regressor")
    keys = [Key(*row.values()) for row in test.group_by(list(names)).aggregate([]).select(names).to_pylist()]
    found = {}
    for key in sorted(keys):
        mine = test
        for name in names:
            mine = mine.filter(pc.field(name) == getattr(key, name))
        found[key] = mine.sort_by([("split", "ascending"), ("image_id", "ascending")])
    return found


def _entry(key: Key, rows: pa.Table, metrics: Mapping[str, Any]) -> dict[str, Any]:
    images = pooled(rows)
    interval = correlation_interval(images["prediction"], images["mos"], images["group"])
    over_splits = medians(metrics, key.mode, key.regressor)
    about = {"kind": metrics["kind"], "images": len(images["mos"]), "median": over_splits["srocc"]}
    about |= {name: over_splits.get(name) for name in ("plcc", "plcc_raw", "krocc", "rmse", "srocc_within")}
    strata = with_strata(images)
    if strata is not None:
        about["within"] = plain(correlation_interval(images["prediction"], strata, images["group"], statistic=within))
    return asdict(key) | renamed(interval) | about


def _cells(found: Mapping[Key, pa.Table]) -> list[list[Key]]:
    cells: dict[tuple[str, str], list[Key]] = {}
    for key in found:
        cells.setdefault((key.database, key.mode), []).append(key)
    return list(cells.values())


def _chosen(cell: Sequence[Key], about: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[tuple[Key, Key, str]]:
    """The pairs of one database and mode: each method with each baseline and the best, no pair twice."""

    def metrics(key: Key) -> Mapping[str, Any]:
        return about[key.encoder, key.database]

    best = max(cell, key=lambda key: float(medians(metrics(key), key.mode, key.regressor)["srocc"]))
    against = [(key, key.encoder) for name in BASELINES for key in cell if key.encoder == name]
    against = [(key, name) for key, name in against if key.regressor == metrics(key)["regressor"]]
    pairs: dict[frozenset[Key], tuple[Key, Key, str]] = {}
    for second, name in [*against, (best, "best")]:
        for first in cell:
            if first != second:
                pairs.setdefault(frozenset((first, second)), (first, second, name))
    return list(pairs.values())


def _pair(
    found: Mapping[Key, pa.Table],
    about: Mapping[tuple[str, str], Mapping[str, Any]],
    first: Key,
    second: Key,
    against: str,
) -> dict[str, Any]:
    a, b = found[first], found[second]
    if not a.select(["split", "image_id", "mos"]).equals(b.select(["split", "image_id", "mos"])):
        raise CompareError(
            f"compare: {first.method} and {second.method} were not tested on the same images and splits of "
            f"{first.database} ({first.mode}); run evaluate again for both"
        )
    x, y = pooled(a), pooled(b)
    interval, p = difference_interval(x["prediction"], y["prediction"], x["mos"], x["group"])
    pair: dict[str, Any] = {"database": first.database, "mode": first.mode, "against": against}
    pair |= {"first": first.encoder, "first_regressor": first.regressor}
    pair |= {"second": second.encoder, "second_regressor": second.regressor}
    splits = [s for s in about[first.encoder, first.database]["splits"] if s["mode"] == first.mode]
    ratio = sum(s["test"] for s in splits) / max(1, sum(s["train"] for s in splits))
    pair |= renamed(interval) | {"p": p, "p_holm": None} | _over_splits(a, b, ratio) | {"p_splits_holm": None}
    strata = with_strata(x)
    if strata is not None:
        inside, p = difference_interval(x["prediction"], y["prediction"], strata, x["group"], statistic=within)
        pair["within"] = plain(inside) | {"p": p}
    return pair


def _over_splits(a: pa.Table, b: pa.Table, ratio: float) -> dict[str, float | None]:
    """The corrected t over random splits; None where there are fewer than two splits or the test parts do not overlap,
    as in leaving one group out. ``ratio``: test to training images (2/7 of 70/10/20).
    """
    splits, mos = a["split"].to_numpy(), a["mos"].to_numpy()
    first, second = a["prediction"].to_numpy(), b["prediction"].to_numpy()
    parts = [splits == number for number in np.unique(splits)]
    if len(parts) < 2 or len(set(a["image_id"].to_pylist())) == len(a):
        return {"t_splits": None, "p_splits": None}
    differences = [srocc(first[part], mos[part]) - srocc(second[part], mos[part]) for part in parts]
    statistic, p = corrected_t(differences, ratio=ratio)
    return {"t_splits": float(np.clip(statistic, -1e9, 1e9)), "p_splits": p}
