"""Every table of published figures, with this run's figures in the same columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipeline.evaluation.comparison.published import SETTINGS, Published, in_papers_order, known_as, setting
from pipeline.report.collect import Content
from pipeline.report.evaluations import MODES
from pipeline.report.results import encoder_line
from pipeline.report.tables import Cell, Line, Table, figure

PAPER = "Image Quality Assessment using Synthetic Images"  # whose tables are shown whole
_MEASURES = ("SROCC", "PLCC", "PLCC_raw", "KROCC")
Figures = Mapping[str, Mapping[str, Mapping[str, float]]]  # method -> database -> {measure: value}


def by_method(rows: Iterable[Published], mode: str) -> Figures:
    """The main paper's figures of ``mode`` (nr or fr); of a figure in two of its tables the first."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        if PAPER in row.source and row.setting == SETTINGS[mode]:
            figures.setdefault(row.method, {}).setdefault(row.database, {}).setdefault(row.metric, row.value)
    return figures


def by_table(rows: Iterable[Published]) -> Mapping[str, Mapping[tuple[str, str], Figures]]:
    """Every figure: source -> (table, setting) -> figures, in the order of the file."""
    sources: dict[str, dict[tuple[str, str], dict[str, dict[str, dict[str, float]]]]] = {}
    for row in rows:
        table = sources.setdefault(row.source, {}).setdefault((row.table, row.setting), {})
        table.setdefault(row.method, {}).setdefault(row.database, {})[row.metric] = row.value
    return sources


def within(content: Content) -> dict[str, Table]:
    """title -> the main paper's rows under ours, full and no reference."""
    group = "published: Image Quality Assessment using Synthetic Images, WACVW 2022"
    tables = {}
    for mode in reversed(MODES):
        ours = _ours(content, SETTINGS[mode])
        if ours:
            title, theirs = MODES[mode].capitalize(), by_method(content.published, mode)
            tables[title] = _table(content, f"{title}: SROCC, PLCC below", ours, theirs, group)
    return tables


def every(content: Content) -> dict[str, list[Table]]:
    """All of manifests/published.csv: source (with its number of figures) -> its tables, one for each setting."""
    folds = {}
    for source, tables in by_table(content.published).items():
        made = []
        for (name, place), theirs in tables.items():
            databases = {database for row in theirs.values() for database in row}
            ours = {
                encoder: shared
                for encoder, row in _ours(content, place).items()
                if (shared := {database: values for database, values in row.items() if database in databases})
            }
            measures = [m for m in _MEASURES if any(m in cell for row in theirs.values() for cell in row.values())]
            made.append(_table(content, f"{name}: {place} ({', '.join(measures)})", ours, theirs, "as printed"))
        count = sum(row.source == source for row in content.published)
        folds[f"{source} ({count} figures)"] = made
    return folds


def _ours(content: Content, place: str) -> Figures:
    """This run's encoders in the setting ``place`` of published.csv; databases as papers write them."""
    ours: dict[str, dict[str, Mapping[str, float]]] = {}
    for mode, name in SETTINGS.items():
        for e in content.evaluations if place == name else ():
            if mode in e.modes:
                ours.setdefault(e.encoder, {})[known_as(e.database)] = _pair(e.headline(mode))
    for row in content.compared.get("cross", ()):
        if row["mode"] == "nr" and place == setting("nr", row["train"]):
            ours.setdefault(row["encoder"], {}).setdefault(known_as(row["database"]), _pair(row))
    return ours


def _pair(row: Mapping[str, float]) -> dict[str, float]:
    return {name.upper(): row[name] for name in ("srocc", "plcc") if row.get(name) is not None}


def _table(content: Content, title: str, ours: Figures, theirs: Figures, group: str) -> Table:
    rows = [*ours.values(), *theirs.values()]
    databases = in_papers_order(name for row in rows for name in row)
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
