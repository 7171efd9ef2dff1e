"""The page's section about comparisons: paired differences, other databases, and how well anybody could do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipeline.report import markup
from pipeline.report.collect import Content
from pipeline.report.results import MODES, figure

Row = Mapping[str, Any]


def comparisons(content: Content) -> str:
    """Pairs, cross-database figures and ceilings of metrics/compare.json; says so where compare has not run."""
    found = content.compared
    if not found:
        return "<p>The stage compare has not run: no differences, intervals or cross-database figures.</p>"
    text = (
        "<p>Intervals come from leaving out one group at a time, since images of one content stand or fall together; "
        "where there are fewer than six groups none is claimed. The figures are of predictions pooled over the splits. "
        "p is corrected by Holm over the whole table, p over splits by Nadeau and Bengio. A difference counts where "
        "its interval excludes 0.</p>"
    )
    return "".join([text, _pairs(found.get("pairs", ())), _cross(found.get("cross", ())), _ceilings(found)])


def _pairs(pairs: Sequence[Row]) -> str:
    if not pairs:
        return "<p>There were no two methods to compare.</p>"
    parts = []
    for place in dict.fromkeys((p["database"], p["mode"]) for p in pairs):
        lines = [
            markup.Line(
                f"{_method(p, 'first')} − {_method(p, 'second')}",
                [
                    _signed(p["srocc"]),
                    _interval(p),
                    figure(p.get("p_holm")),
                    figure(p.get("p_splits_holm")),
                    _inside(p.get("within") or {}),
                ],
            )
            for p in pairs
            if (p["database"], p["mode"]) == place
        ]
        columns = ("SROCC, difference", "95 %", "p, Holm", "p over splits, Holm", "within strata, 95 %")
        table = markup.table(f"{place[0]}, {MODES[place[1]]}: paired differences", columns, lines, corner="pair")
        title = f"{place[0]}, {MODES[place[1]]}: {len(lines)} paired difference{'s' * (len(lines) != 1)}"
        parts.append(f"<details><summary>{escape(title)}</summary>{table}</details>")
    return "<h3>Differences between methods</h3>" + "".join(parts)


def _cross(rows: Sequence[Row]) -> str:
    if not rows:
        return "<h3>Across databases</h3><p>One database only: there is no other to be judged on.</p>"
    lines, columns = [], ("trained on", "judged on", "SROCC", "95 %", "PLCC", "within strata")
    for row in sorted(rows, key=lambda r: (r["mode"], r["train"], r["database"])):
        name = f"{_method(row, 'encoder')} <span class='note'>{MODES[row['mode']]}</span>"
        cells = [escape(row["train"]), escape(row["database"]), figure(row["srocc"]), _interval(row)]
        lines.append(markup.Line(name, [*cells, figure(row.get("plcc")), figure(row.get("srocc_within"))]))
    note = '<p class="note">Fitted on all of one database, judged on all of another; the encoder is the same.</p>'
    return f"<h3>Across databases</h3>{note}" + markup.table("Cross-database", columns, lines, corner="encoder")


def _ceilings(found: Row) -> str:
    rows = found.get("ceilings", ())
    if not rows:
        return '<p class="note">No database here tells how far its opinions spread, so no ceiling is known.</p>'
    lines = [markup.Line(escape(r["database"]), [figure(r["srocc"]), _interval(r), f"{r['images']:,}"]) for r in rows]
    title = "The best SROCC that the noise of the opinions allows"
    return "<h3>Noise ceiling</h3>" + markup.table(title, ("SROCC", "95 %", "images"), lines, corner="database")


def _method(row: Row, key: str) -> str:
    regressor = row.get("regressor" if key == "encoder" else f"{key}_regressor")
    return escape(str(row[key])) + (f" + {escape(str(regressor))}" if regressor not in (None, "none", "ridge") else "")


def _interval(row: Row) -> str:
    low, high = row.get("low"), row.get("high")
    return "–" if low is None or high is None else f"{figure(low)} to {figure(high)}"


def _inside(told: Row) -> str:
    return f"{_signed(told['value'])}, {_interval(told)}" if "value" in told else "–"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
