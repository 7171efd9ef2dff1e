"""Every table of published figures, with this run's figures in the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.report import published
from pipeline.report.collect import Content
from pipeline.report.evaluations import MODES
from pipeline.report.published import Figures
from pipeline.report.results import encoder_line
from pipeline.report.tables import Cell, Line, Table, figure

_MEASURES = ("SROCC", "PLCC", "PLCC_raw", "KROCC")


def within(content: Content) -> dict[str, Table]:
    """title -> the main paper's rows under ours, full and no reference."""
    group = "published: Image Quality Assessment using Synthetic Images, WACVW 2022"
    tables = {}
    for mode in reversed(MODES):
        ours = _ours(content, published.SETTINGS[mode])
        if ours:
            title, theirs = MODES[mode].capitalize(), published.by_method(content.published, mode)
            tables[title] = _table(content, f"{title}: SROCC, PLCC below", ours, theirs, group)
    return tables


def every(content: Content) -> dict[str, list[Table]]:
    """All of manifests/published.csv: source (with its number of figures) -> its tables, one for each setting."""
    folds = {}
    for source, tables in published.tables(content.published).items():
        made = []
        for (name, setting), theirs in tables.items():
            databases = {database for row in theirs.values() for database in row}
            ours = {
                encoder: shared
                for encoder, row in _ours(content, setting).items()
                if (shared := {database: values for database, values in row.items() if database in databases})
            }
            measures = [m for m in _MEASURES if any(m in cell for row in theirs.values() for cell in row.values())]
            made.append(_table(content, f"{name}: {setting} ({', '.join(measures)})", ours, theirs, "as printed"))
        count = sum(row.source == source for row in content.published)
        folds[f"{source} ({count} figures)"] = made
    return folds


def _ours(content: Content, setting: str) -> Figures:
    """encoder -> database (as papers write it) -> {"SROCC", "PLCC"} of this run in ``setting``."""
    ours: dict[str, dict[str, Mapping[str, float]]] = {}
    for mode, name in published.SETTINGS.items():
        for e in content.evaluations if setting == name else ():
            if mode in e.modes:
                ours.setdefault(e.encoder, {})[published.known_as(e.database)] = _pair(e.headline(mode))
    for row in content.compared.get("cross", ()):
        if row["mode"] == "nr" and published.is_cross(setting, published.known_as(row["train"])):
            ours.setdefault(row["encoder"], {}).setdefault(published.known_as(row["database"]), _pair(row))
    return ours


def _pair(row: Mapping[str, float]) -> dict[str, float]:
    return {name.upper(): row[name] for name in ("srocc", "plcc") if row.get(name) is not None}


def _table(content: Content, title: str, ours: Figures, theirs: Figures, group: str) -> Table:
    rows = [*ours.values(), *theirs.values()]
    databases = published.in_order(name for row in rows for name in row)
    lines = [encoder_line(content, encoder, _cells(row, databases)) for encoder, row in ours.items()]
    if ours:
        lines = [Line("this run", kind="group"), *lines, Line(group, kind="group")]
    lines += [Line(method, _cells(row, databases)) for method, row in theirs.items()]
    return Table(title, databases, lines, corner="encoder or method")


def _cells(row: Mapping[str, Mapping[str, float]], databases: Sequence[str]) -> list[Cell]:
    """SROCC, or the first measure that there is, and the others below it."""
    cells = []
    for database in databases:
        values = [figure(row[database][name]) for name in _MEASURES if name in row.get(database, {})]
        cells.append(Cell(values[0] if values else "–", " ".join(values[1:])))
    return cells
