"""Tables of metrics/compare.json: paired differences, other databases, and the limit that the opinions' noise sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.evaluations import MODES
from pipeline.report.tables import Line, Table, figure, interval, method, signed

Compared = Mapping[str, Any]


def pairs(compared: Compared) -> dict[str, Table]:
    """title -> the differences between two methods, for each database and mode."""
    grouped: dict[tuple[str, str], list[Line]] = {}
    for pair in compared.get("pairs", ()):
        within = pair.get("within") or {}
        cells = [
            signed(pair["srocc"]),
            _interval(pair),
            figure(pair.get("p_holm")),
            figure(pair.get("p_splits_holm")),
            f"{signed(within['value'])}, {_interval(within)}" if "value" in within else "–",
        ]
        head = f"{method(pair, 'first', 'first_regressor')} − {method(pair, 'second', 'second_regressor')}"
        grouped.setdefault((pair["database"], pair["mode"]), []).append(Line(head, cells))
    columns = ("SROCC, difference", "95 %", "p, Holm", "p over splits, Holm", "within strata, 95 %")
    tables = {}
    for (database, mode), lines in grouped.items():
        title = f"{database}, {MODES[mode]}"
        table = Table(f"{title}: paired differences", columns, lines, corner="pair")
        tables[f"{title}: {len(lines)} paired difference{'s' * (len(lines) != 1)}"] = table
    return tables


def across(compared: Compared) -> Table:
    """Regressors fitted on all of one database, judged on all of another."""
    lines = []
    for row in sorted(compared.get("cross", ()), key=lambda row: (row["mode"], row["train"], row["database"])):
        cells = [row["train"], row["database"], figure(row["srocc"]), _interval(row)]
        cells += [figure(row.get("plcc")), figure(row.get("srocc_within"))]
        lines.append(Line(method(row), cells, note=MODES[row["mode"]]))
    columns = ("trained on", "judged on", "SROCC", "95 %", "PLCC", "within strata")
    return Table("Cross-database", columns, lines, corner="encoder")


def ceilings(compared: Compared) -> Table:
    """The best SROCC that the noise of each database's opinions allows."""
    rows = compared.get("ceilings", ())
    lines = [Line(row["database"], [figure(row["srocc"]), _interval(row), f"{row['images']:,}"]) for row in rows]
    title = "The best SROCC that the noise of the opinions allows"
    return Table(title, ("SROCC", "95 %", "images"), lines, corner="database")


def _interval(row: Mapping[str, Any]) -> str:
    return interval(row.get("low"), row.get("high"))
