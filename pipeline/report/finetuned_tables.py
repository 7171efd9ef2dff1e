"""Tables 1 and 2 of paper 3 from the metrics of fine-tuned networks, with the paper's own rows below ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.evaluation.comparison.published import Published, in_papers_order, known_as, published_figures
from pipeline.report.evaluations import Evaluation
from pipeline.report.tables import Line, Table, figure, readable

PAPER = "semi-supervised contrastive IQA"
MODES = {"lp": "LP", "ft": "FT", "lp_ft": "LP-FT"}
OURS_NUMBERED = ("photos", "kadid10k")  # databases whose types have the bank's numbers
TYPES = {"Gaussian blur": 1, "JPEG2000": 9, "JPEG": 10, "White noise": 11}
"""The types of table 2, and their numbers."""
Rows = dict[str, dict[str, str]]  # method -> column -> cell


def tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """Both tables, as far as a network was fine-tuned on a database: encoders by modes by databases, and SROCC inside
    four types. Figures are medians over the splits of the first view of the test images, which the row names.
    """
    tuned = [e for e in evaluations if "mode" in e.metrics]
    first, second = Rows(), Rows()
    for e in tuned:
        medians = e.headline("nr")
        for key in ("srocc", "plcc"):
            first.setdefault(_row(e), {})[f"{known_as(e.database)} {key.upper()}"] = figure(medians.get(key))
        by_type = {row["type"]: row["srocc"] for row in e.by_distortion("nr") if row["level"] is None}
        if e.database in OURS_NUMBERED and by_type:
            cells = {name: figure(by_type.get(number)) for name, number in TYPES.items()}
            second[f"{_row(e)}, {known_as(e.database)}"] = cells
    made = []
    if first:
        theirs = _published("T1", lambda row: f"{row.setting.split('mode=')[-1]}: {row.method} (paper 3)", _measured)
        names = [column.split(" ")[0] for rows in (first, theirs) for row in rows.values() for column in row]
        columns = [f"{name} {key}" for name in in_papers_order(names) for key in ("SROCC", "PLCC")]
        made.append(_table("Table 1: encoders, modes and databases", columns, first, theirs))
    if second:
        theirs = _published("T2", lambda row: f"{row.method} (paper 3), KADID", lambda row: row.database.split(":")[-1])
        made.append(_table("Table 2: SROCC inside a distortion type", list(TYPES), second, theirs))
    return made


def _row(e: Evaluation) -> str:
    mode = str(e.metrics["mode"])
    return f"{MODES[mode]}: {e.metrics['begun_from']}, {readable(e.regressor.removeprefix(f'{mode}_'))}"


def _measured(row: Published) -> str:
    return f"{row.database} {row.metric}"


def _published(table: str, head: Callable[[Published], str], column: Callable[[Published], str]) -> Rows:
    rows = Rows()
    for row in published_figures():
        if row.source.startswith(PAPER) and row.table == table:
            rows.setdefault(head(row), {})[column(row)] = figure(row.value)
    return rows


def _table(title: str, columns: Iterable[str], *parts: Rows) -> Table:
    shown = list(columns)
    lines = [Line(name, [row.get(c, "–") for c in shown]) for rows in parts for name, row in rows.items()]
    return Table(title, shown, lines, corner="mode: encoder, view")
