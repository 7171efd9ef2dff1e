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
from pipeline.evaluation.agreement import (
    Interval,
    corrected_t,
    correlation_interval,
    difference_interval,
    holm,
    srocc,
    srocc_within,
)
from pipeline.evaluation.predictions import only_value
from pipeline.evaluation.results import METRIC, results_of

BASELINES = ("random_init", "floor")  # what every method is compared with, beside the best one
_MEDIANS = ("plcc", "plcc_raw", "krocc", "rmse", "srocc_within")


class CompareError(Refusal, ValueError):
    """Results that cannot stand beside one another; the message names their files or methods."""


@dataclass(frozen=True, order=True)
class Method:
    """One encoder with one regressor, on one database in one mode."""

    database: str
    mode: str
    encoder: str
    regressor: str

    @property
    def name(self) -> str:
        """As in messages."""
        return self.encoder if self.regressor == METRIC else f"{self.encoder} with {self.regressor}"


@dataclass(frozen=True)
class Tested:
    """What a method predicted for test parts: ``rows`` by split and image, the medians of the measures over the splits,
    and whether its regressor is the encoder's first.
    """

    rows: pa.Table
    medians: Mapping[str, float]
    headline: bool


def compare(predictions: Sequence[pa.Table], ratios: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
    """Figures of several methods from their predictions tables; ``ratios``: database -> test to training images of its
    splits (protocol.test_to_train).

    ``{"methods": [{database, mode, encoder, regressor, kind, srocc, low, high, groups, images, median, ...}], "pairs":
    [{database, mode, first, first_regressor, second, second_regressor, against, srocc, low, high, p, p_holm, t_splits,
    p_splits, p_splits_holm, ...}]}``; where there are strata both have ``within: {value, low, high}``, of the mean
    SROCC inside them. Every method is paired with random_init, with floor (both with their headline regressor) and with
    the method of the best median, on the splits that both were tested on; two that have none in common are no pair.
    Holm's correction runs over all pairs of all databases. Raises :class:`CompareError` if two methods were tested on
    other images of one split.
    """
    tested = {method: result for table in predictions for method, result in _methods(table).items()}
    methods, pairs = [], []
    for method in engine.progress(tested, total=len(tested), describe="compare, methods"):
        methods.append(_entry(method, tested[method]))
    todo = [pair for cell in _cells(tested) for pair in _chosen(cell, tested)]
    for first, second, against in engine.progress(todo, total=len(todo), describe="compare, pairs"):
        pair = _pair(tested, ratios[first.database], first, second, against)
        pairs += [] if pair is None else [pair]
    for p, adjusted in (("p", "p_holm"), ("p_splits", "p_splits_holm")):
        known = [pair for pair in pairs if pair[p] is not None]
        for pair, value in zip(known, holm([pair[p] for pair in known]), strict=True):
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
    value = srocc_within(prediction, mos[:, 0], mos[:, 1])
    return 0.0 if value is None else value


def srocc_fields(interval: Interval) -> dict[str, Any]:
    """An interval of SROCC for JSON."""
    return {("srocc" if key == "value" else key): value for key, value in asdict(interval).items() if key != "level"}


def value_fields(interval: Interval) -> dict[str, float | None]:
    """An interval of something else for JSON."""
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _methods(table: pa.Table) -> dict[Method, Tested]:
    """The methods of one encoder's table on one database, by name."""
    if not len(table):
        return {}
    encoder, database = (only_value(table, name) for name in ("encoder", "database"))
    test = table.filter(pc.field("part") == "test").sort_by([("split", "ascending"), ("image_id", "ascending")])
    results = results_of(table)
    methods = {}
    for result in results:
        mine = test.filter((pc.field("mode") == result.mode) & (pc.field("regressor") == result.regressor))
        headline = result.regressor == results[0].regressor
        methods[Method(database, result.mode, encoder, result.regressor)] = Tested(mine, result.medians(), headline)
    return dict(sorted(methods.items(), key=lambda item: item[0]))


def _entry(method: Method, tested: Tested) -> dict[str, Any]:
    images = pooled(tested.rows)
    interval = correlation_interval(images["prediction"], images["mos"], images["group"])
    kind = "metric" if method.regressor == METRIC else "features"
    figures: dict[str, Any] = {"kind": kind, "images": len(images["mos"]), "median": tested.medians["srocc"]}
    figures |= {name: tested.medians.get(name) for name in _MEDIANS}
    strata = with_strata(images)
    if strata is not None:
        figures["within"] = value_fields(
            correlation_interval(images["prediction"], strata, images["group"], statistic=within)
        )
    return asdict(method) | srocc_fields(interval) | figures


def _cells(tested: Mapping[Method, Tested]) -> list[list[Method]]:
    cells: dict[tuple[str, str], list[Method]] = {}
    for method in tested:
        cells.setdefault((method.database, method.mode), []).append(method)
    return list(cells.values())


def _chosen(cell: Sequence[Method], tested: Mapping[Method, Tested]) -> list[tuple[Method, Method, str]]:
    """The pairs of one database and mode: each method with each baseline and the best, no pair twice."""
    best = max(cell, key=lambda method: tested[method].medians["srocc"])
    against = [(method, method.encoder) for name in BASELINES for method in cell if method.encoder == name]
    against = [(method, name) for method, name in against if tested[method].headline]
    pairs: dict[frozenset[Method], tuple[Method, Method, str]] = {}
    for second, name in [*against, (best, "best")]:
        for first in cell:
            if first != second:
                pairs.setdefault(frozenset((first, second)), (first, second, name))
    return list(pairs.values())


def _pair(
    tested: Mapping[Method, Tested], ratio: float, first: Method, second: Method, against: str
) -> dict[str, Any] | None:
    a, b = _common_splits(tested[first].rows, tested[second].rows)
    if not len(a):
        return None
    if not a.select(["split", "image_id", "mos"]).equals(b.select(["split", "image_id", "mos"])):
        raise CompareError(
            f"compare: {first.name} and {second.name} were not tested on the same images and splits of "
            f"{first.database} ({first.mode}); run evaluate again for both"
        )
    x, y = pooled(a), pooled(b)
    interval, p = difference_interval(x["prediction"], y["prediction"], x["mos"], x["group"])
    pair: dict[str, Any] = {"database": first.database, "mode": first.mode, "against": against}
    pair |= {"first": first.encoder, "first_regressor": first.regressor}
    pair |= {"second": second.encoder, "second_regressor": second.regressor}
    pair |= srocc_fields(interval) | {"p": p, "p_holm": None} | _over_splits(a, b, ratio) | {"p_splits_holm": None}
    strata = with_strata(x)
    if strata is not None:
        inside, p = difference_interval(x["prediction"], y["prediction"], strata, x["group"], statistic=within)
        pair["within"] = value_fields(inside) | {"p": p}
    return pair


def _common_splits(a: pa.Table, b: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of the splits that both have: an encoder that has seen opinions is judged on fewer."""
    both = pa.array(sorted(set(a["split"].to_pylist()) & set(b["split"].to_pylist())), pa.int32())
    return a.filter(pc.is_in(a["split"], both)), b.filter(pc.is_in(b["split"], both))


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
