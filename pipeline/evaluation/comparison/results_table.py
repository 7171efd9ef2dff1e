"""metrics/compare.json as one long table: a row a figure, for those who filter and join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.artifacts import column

RESULTS = pa.schema(
    [
        column("what", pa.string(), "within a database, difference of two methods, cross-database, or ceiling"),
        column("database", pa.string(), "what was judged on"),
        column("trained_on", pa.string(), "the other database that was fitted on (cross)", nullable=True),
        column("mode", pa.string(), "nr or fr; null for a ceiling", nullable=True),
        column("encoder", pa.string(), "null for a ceiling", nullable=True),
        column("regressor", pa.string(), "ridge, svr; none for a metric; null for a ceiling", nullable=True),
        column("against", pa.string(), "the encoder that is subtracted (difference)", nullable=True),
        column("against_regressor", pa.string(), "its regressor", nullable=True),
        column(
            "measure",
            pa.string(),
            "srocc, srocc_within_pooled: of the images' mean test predictions; median_srocc, plcc, ...: over splits",
        ),
        column("value", pa.float64(), "the figure"),
        column("low", pa.float64(), "lower end of the 95 % interval; null where none is claimed", nullable=True),
        column("high", pa.float64(), "upper end", nullable=True),
        column("groups", pa.int32(), "groups (or blocks of them) left out in turn", nullable=True),
        column("images", pa.int32(), "images judged on", nullable=True),
        column("p", pa.float64(), "two-sided, of no difference, by the jackknife over groups", nullable=True),
        column("p_holm", pa.float64(), "the same after Holm's correction over all pairs", nullable=True),
        column("p_splits", pa.float64(), "by Nadeau and Bengio's corrected t over the splits", nullable=True),
        column("p_splits_holm", pa.float64(), "the same after Holm's correction over all pairs", nullable=True),
    ]
)
_MEDIANS = {"median": "median_srocc"} | {name: name for name in ("plcc", "plcc_raw", "krocc", "rmse", "srocc_within")}


def results_table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> pa.Table:
    """The table (schema :data:`RESULTS`) of ``{"methods", "pairs", "cross", "ceilings"}``."""
    rows = [row for entry in results["methods"] for row in _rows("within", entry, _MEDIANS)]
    for pair in results["pairs"]:
        names = {"encoder": pair["first"], "regressor": pair["first_regressor"]}
        names |= {"against": pair["second"], "against_regressor": pair["second_regressor"]}
        rows += _rows("difference", {**pair, **names}, {})
    for entry in results["cross"]:
        names = {"trained_on": entry["train"]}
        rows += _rows("cross", {**entry, **names}, {name: name for name in list(_MEDIANS)[1:]})
    rows += [row for entry in results["ceilings"] for row in _rows("ceiling", entry, {})]
    return pa.Table.from_pylist(rows, schema=RESULTS)


def _rows(what: str, entry: Mapping[str, Any], others: Mapping[str, str]) -> list[dict[str, Any]]:
    known = {name: entry.get(name) for name in RESULTS.names if name not in ("what", "measure", "value")}
    if what == "within":
        known["against"] = None
    first = {**known, "what": what, "measure": "srocc", "value": entry["srocc"]}
    rows = [first]
    if "within" in entry:
        inside = {name: entry["within"].get(name) for name in ("value", "low", "high", "p")}
        other = dict.fromkeys(("p_holm", "p_splits", "p_splits_holm"))
        rows.append(first | other | inside | {"measure": "srocc_within_pooled"})
    blank = {**known, "low": None, "high": None, "groups": None, "what": what}
    return rows + [{**blank, "measure": m, "value": entry[k]} for k, m in others.items() if entry.get(k) is not None]
