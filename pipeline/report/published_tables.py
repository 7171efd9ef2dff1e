"""The page's section of published figures: every table of every source, with ours in the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from pipeline.report import markup, published
from pipeline.report.collect import Content
from pipeline.report.published import Figures
from pipeline.report.results import MODES, line

_MEASURES = ("SROCC", "PLCC", "PLCC_raw", "KROCC")


def beside(content: Content) -> str:
    """The main paper's rows under ours, full and no reference; then all tables, folded."""
    parts = [
        "<p>Each cell is the median SROCC over the splits, with PLCC (after the four-parameter logistic) below. Our "
        "rows come first; a dash is a database that this run did not have.</p>"
    ]
    for mode in reversed(MODES):
        ours = _ours(content, published.SETTINGS[mode])
        if ours:
            theirs = published.by_method(content.published, mode)
            title = MODES[mode].capitalize()
            group = "published: Image Quality Assessment using Synthetic Images, WACVW 2022"
            parts += [f"<h3>{title}</h3>", _table(content, f"{title}: SROCC, PLCC below", ours, theirs, group)]
    return "".join([*parts, _every(content)])


def _every(content: Content) -> str:
    """All of manifests/published.csv: a fold a source, in it a table for each of its tables and settings."""
    folds = []
    for source, tables in published.tables(content.published).items():
        made = []
        for (name, setting), theirs in tables.items():
            databases = {database for row in theirs.values() for database in row}
            ours = {
                encoder: kept
                for encoder, row in _ours(content, setting).items()
                if (kept := {database: told for database, told in row.items() if database in databases})
            }
            measures = [m for m in _MEASURES if any(m in cell for row in theirs.values() for cell in row.values())]
            made.append(_table(content, f"{name}: {setting} ({', '.join(measures)})", ours, theirs, "as printed"))
        count = sum(row.source == source for row in content.published)
        folds.append(f"<details><summary>{escape(source)} ({count} figures)</summary>{''.join(made)}</details>")
    text = (
        "<h3>All tables</h3><p>Every figure as its source prints it, of whatever database and protocol the table "
        "names. Ours stand above theirs where this run was judged on the same database in the same way; no row of "
        "ours means that it was not.</p>"
    )
    return text + "".join(folds)


def _ours(content: Content, setting: str) -> Figures:
    """encoder -> database (as papers write it) -> {"SROCC", "PLCC"} of this run in ``setting``."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for mode, name in published.SETTINGS.items():
        if setting == name:
            for e in content.evaluations:
                if mode in e.modes:
                    found.setdefault(e.encoder, {})[published.known_as(e.database)] = _pair(e.metrics[mode])
    for row in content.compared.get("cross", ()):
        train = published.known_as(row["train"])
        if row["mode"] == "nr" and published.is_cross(setting, train):
            found.setdefault(row["encoder"], {}).setdefault(published.known_as(row["database"]), _pair(row))
    return found


def _pair(told: Mapping[str, float]) -> dict[str, float]:
    return {name.upper(): told[name] for name in ("srocc", "plcc") if told.get(name) is not None}


def _table(content: Content, title: str, ours: Figures, theirs: Figures, group: str) -> str:
    rows = [*ours.values(), *theirs.values()]
    databases = published.in_order(name for row in rows for name in row)
    lines = []
    if ours:
        lines.append(markup.Line("this run", kind="group"))
        lines += [line(content, encoder, _cells(row, databases)) for encoder, row in ours.items()]
        lines.append(markup.Line(escape(group), kind="group"))
    lines += [markup.Line(escape(method), _cells(row, databases)) for method, row in theirs.items()]
    return markup.table(title, databases, lines, corner="encoder or method")


def _cells(row: Mapping[str, Mapping[str, float]], databases: Sequence[str]) -> list[str]:
    return [_cell(row.get(name, {})) for name in databases]


def _cell(told: Mapping[str, float]) -> str:
    values = [f"{told[name]:.3f}".replace("-", "−") for name in _MEASURES if name in told]
    if not values:
        return "–"
    return values[0] + (f'<span class="sub">{" ".join(values[1:])}</span>' if len(values) > 1 else "")
