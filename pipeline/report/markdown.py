"""Tables of results in Markdown, for docs, a README or a card: written from the metrics, between two marks of the file.

No figure in them is written by hand. A block that already says the same is left as it is, with its date.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import Refusal, artifacts
from pipeline.evaluation.comparison.published import in_papers_order, published_figures
from pipeline.report import finetuned_tables
from pipeline.report.evaluations import MODES, Evaluation
from pipeline.report.published_tables import by_method
from pipeline.report.selection_tables import (
    Selections,
    contradictions,
    networks,
    paper_tables,
    read_selections,
    selections,
)
from pipeline.report.selection_tables import path as path_of
from pipeline.report.tables import Cell, Table

BEGIN, END = "<!-- results: written by `synthetic-iqa table` -->", "<!-- end of results -->"
SELECTION_BEGIN, SELECTION_END = (
    "<!-- selections: written by `synthetic-iqa table` -->",
    "<!-- end of selections -->",
)
TUNED_BEGIN, TUNED_END = "<!-- fine-tuned: written by `synthetic-iqa table` -->", "<!-- end of fine-tuned -->"
SHORT_BEGIN, SHORT_END = "<!-- short results: written by `synthetic-iqa table` -->", "<!-- end of short results -->"
_SHORT = (("released", "ridge"), ("random_init", "ridge"), ("floor", "ridge"), ("brisque36", "svr"), ("niqe", "none"))
_BASELINES = ("random_init", "floor", "brisque36", "niqe")  # below the encoders, above the full-reference metrics
_DATABASES = ("biq2021", "tid2013_kodak", "photos")  # first, in this order
_PUBLISHED = (
    "Dead Leaves", "Textured Dead Leaves", "Danbooru", "CONTRIQUE", "BRISQUE", "NIQE", "PSNR", "SSIM", "FSIM", "VSI",
)  # fmt: skip
_PROTOCOL_OF_SELECTIONS = (
    "Ours: a ridge on frozen features of the encoder, trained on types of the synthetic database (five splits by "
    "reference) and judged on every image of the target. Figures are medians over the splits, with the gain over all "
    "types in brackets; pooled is of each image's mean prediction, with intervals over the target's groups. Where the "
    "target's opinions choose the types (greedy) it is no usable method: these opinions are what it is judged on. "
    "Its path is followed by one ridge on all of the source, and may end below all types. A network learns the same "
    "opinions from the encoder's weights, by the same splits. "
    "The paper trains networks that start from ImageNet weights on KADID-10k."
)
Metrics = Mapping[str, Any]
_NOTHING: Metrics = {}


class TableError(Refusal, ValueError):
    """No metrics to make a table of, or a file without marks; the message names it."""


@dataclass(frozen=True)
class Results:
    """``intervals``: (encoder, database, regressor, mode) -> the pooled figures and intervals of compare."""

    evaluations: Sequence[Evaluation]
    intervals: Mapping[tuple[str, str, str, str], Metrics]
    selections: Selections

    @property
    def databases(self) -> list[str]:
        """The databases with a figure, in the order of the tables."""
        return sorted({e.database for e in self.evaluations if e.modes}, key=_rank)


def read_results(metrics: Path, encoders: Sequence[str] = (), databases: Sequence[str] = ()) -> Results:
    """What evaluate, compare, domains, greedy and transfer wrote below ``metrics``; ``encoders`` (in this order) and
    ``databases`` choose among evaluate's.
    """
    evaluations = []
    for path in sorted((metrics / "evaluate").glob("*/*.json")):
        encoder, database = path.parent.name, path.stem
        if (not encoders or encoder in encoders) and (not databases or database in databases):
            evaluations.append(Evaluation(encoder, database, artifacts.read_json(path)))
    selected = read_selections(metrics)
    if not evaluations and not selected.similar:
        raise TableError(f"{metrics / 'evaluate'}: no metrics here; `dvc repro evaluate` writes them")
    order = _order(encoders, {e.encoder for e in evaluations})
    evaluations.sort(key=lambda e: (order.index(e.encoder), _rank(e.database)))
    compared = metrics / "compare.json"
    methods = artifacts.read_json(compared).get("methods", []) if compared.is_file() else []
    intervals = {(m["encoder"], m["database"], m["regressor"], m["mode"]): m for m in methods}
    return Results(evaluations, intervals, selected)


def render(results: Results, date: str) -> str:
    """The block without its marks: date, protocol, a table for each mode, and published figures of other databases.
    Empty where evaluate has not run.
    """
    if not results.evaluations:
        return ""
    parts = [f"Measured {date}. {_protocol(results, results.databases)}\n"]
    for mode, words in MODES.items():
        lines = _mode(results, mode)
        if lines:
            parts += [f"**{words.capitalize()}**\n", *lines, ""]
    parts.append(
        "SROCC, PLCC (after the four-parameter logistic) and SROCC within strata are medians over the splits. Pooled "
        "is the SROCC of each image's mean test prediction; mixing splits lowers it for a fitted method. In brackets "
        "is its 95 % interval (jackknife over groups)."
    )
    if "photos" in results.databases:
        parts.append("photos has class means for opinions, and too few contents for an interval.")
    return "\n".join([*parts, *_read_from_papers()]) + "\n"


def render_short(results: Results, date: str) -> str:
    """The block of a README without its marks: no reference, SROCC and PLCC of at most three databases. Empty where
    evaluate has not run.
    """
    if not results.evaluations:
        return ""
    databases = [d for d in results.databases if any(e.database == d and "nr" in e.modes for e in results.evaluations)]
    databases = databases[:3]
    medians = {
        (e.encoder, regressor, e.database): values
        for e in results.evaluations
        for regressor, values in e.medians("nr").items()
    }
    measures = [(database, key) for database in databases for key in ("srocc", "plcc")]
    lines = _head(f"{database} {key.upper()}" for database, key in measures)
    for encoder, regressor in _SHORT:
        cells = [medians.get((encoder, regressor, database), _NOTHING).get(key) for database, key in measures]
        if any(cell is not None for cell in cells):
            lines.append(_row(_name(encoder, regressor), map(_figure, cells)))
    note = f"Measured {date}. Medians over the splits. {_protocol(results, databases)}"
    return "\n".join([*lines, "", *textwrap.wrap(note, 118)]) + "\n"


def render_selections(results: Results, date: str) -> str:
    """The block of paper 4's tables without its marks; empty where the stage domains has not run."""
    found = results.selections
    judged = [table(*item) for item in found.judged.items() for table in (selections, path_of)]
    tables = [*judged, *networks(found.networks), *paper_tables(found)]
    if not tables:
        return ""
    parts = [f"Measured {date}."]
    parts += [line for table in tables for line in _lines(table)]
    notes = [_PROTOCOL_OF_SELECTIONS, *contradictions()]
    return (
        "\n".join([*parts, "", *(line for note in notes for line in textwrap.wrap(note, 118, break_on_hyphens=False))])
        + "\n"
    )


def render_finetuned(results: Results, date: str) -> str:
    """The block of paper 3's tables without its marks; empty where no network was fine-tuned."""
    made = finetuned_tables.tables(results.evaluations)
    if not made:
        return ""
    lines = [f"Measured {date}. Medians over the splits.", *(line for table in made for line in _lines(table))]
    return "\n".join(lines) + "\n"


def _lines(table: Table) -> list[str]:
    """A table of the page in Markdown, its caption above it."""
    cells = ((line.head, (c.text if isinstance(c, Cell) else c for c in line.cells)) for line in table.lines)
    return [f"\n**{table.caption}**\n", *_head(table.columns), *(_row(head, row) for head, row in cells)]


BLOCKS: Mapping[tuple[str, str], Callable[[Results, str], str]] = {
    (BEGIN, END): render,
    (SHORT_BEGIN, SHORT_END): render_short,
    (SELECTION_BEGIN, SELECTION_END): render_selections,
    (TUNED_BEGIN, TUNED_END): render_finetuned,
}


def refresh(path: Path, results: Results, date: str) -> bool:
    """Replace the blocks between the marks of ``path``; False if their figures are the same (dates do not count).

    :class:`TableError` where a mark is missing, doubled or in the wrong order: nothing is written then.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: can't be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    marked = {marks: made for marks, made in BLOCKS.items() if marks[0] in text or marks[1] in text}
    if not marked:
        raise TableError(f"{path}: needs one line {BEGIN} and below it one line {END}; the table goes between them")
    changed = text
    for (begin, end), made in marked.items():
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise TableError(f"{path}: needs one line {begin} and below it one line {end}; the table goes between them")
        before, rest = changed.split(begin)
        old, after = rest.split(end)
        block = made(results, date)
        new = f"\n{block}" if block else old  # where nothing was measured, what stands there stays
        changed = f"{before}{begin}{old if _undated(old) == _undated(new) else new}{end}{after}"
    if changed == text:
        return False
    artifacts.write_bytes(path, changed.encode())
    return True


def _undated(text: str) -> str:
    return re.sub(r"^Measured [0-9-]+\.", "", text, flags=re.MULTILINE).strip()


def _order(chosen: Sequence[str], names: set[str]) -> list[str]:
    """``names`` as they were chosen; else the released one, other encoders by name, and baselines."""
    others = sorted(names - {"released", *_BASELINES})
    return list(chosen) or [name for name in ("released", *others, *_BASELINES) if name in names]


def _rank(database: str) -> tuple[int, str]:
    return (_DATABASES.index(database) if database in _DATABASES else len(_DATABASES), database)


def _protocol(results: Results, databases: Iterable[str]) -> str:
    sentences = []
    for database in databases:
        e = next(e for e in results.evaluations if e.database == database and e.modes)
        counts = f"{e.metrics['images']:,} images in {e.metrics['groups']:,} groups"
        protocol = str(e.metrics["protocol"]).replace("_", " ")
        sentences.append(f"{database}: {counts}, {protocol}, {e.splits} splits")
    return "; ".join(sentences) + "."


def _mode(results: Results, mode: str) -> list[str]:
    """The table of one mode, metrics below the encoders; databases and rows that have nothing are left out."""
    rows: dict[tuple[bool, str, str], dict[str, Metrics]] = {}
    for e in results.evaluations:
        for regressor, medians in e.medians(mode).items():
            rows.setdefault((e.is_metric, e.encoder, regressor), {})[e.database] = medians
    shown = [database for database in results.databases if any(database in row for row in rows.values())]
    if not shown:
        return []
    compared = {database for _, database, _, m in results.intervals if m == mode}
    measures = [(d, m) for d in shown for m in _measures(rows.values(), d, d in compared)]
    lines = _head(f"{database} {title}" for database, (_, title) in measures)
    for (_, encoder, regressor), row in sorted(rows.items(), key=lambda item: item[0][0]):
        cells = []
        for database, (key, _) in measures:
            pooled = results.intervals.get((encoder, database, regressor, mode), _NOTHING)
            within = pooled.get("within") or _NOTHING
            cells.append(
                _pooled(pooled.get("srocc"), pooled) if key == "pooled"
                else _pooled(within.get("value"), within) if key == "pooled_within"
                else _figure(row.get(database, _NOTHING).get(key))
            )  # fmt: skip
        lines.append(_row(_name(encoder, regressor), cells))
    return lines


def _measures(rows: Iterable[Mapping[str, Metrics]], database: str, compared: bool) -> list[tuple[str, str]]:
    known = (("srocc", "SROCC"), ("srocc_within", "within"), ("plcc", "PLCC"))
    measured = [pair for pair in known if any(pair[0] in row.get(database, {}) for row in rows)]
    if not compared:
        return measured
    within = [("pooled_within", "within, pooled")] if known[1] in measured else []
    return [*measured[:1], ("pooled", "pooled"), *measured[1:2], *within, *measured[2:]]


def _head(columns: Iterable[str]) -> list[str]:
    names = list(columns)
    return ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]


def _row(name: str, cells: Iterable[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _name(encoder: str, regressor: str) -> str:
    return encoder if regressor == "none" else f"{encoder} + {regressor}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _pooled(value: float | None, row: Metrics) -> str:
    low, high = row.get("low"), row.get("high")
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{_figure(value)}{interval}"


def _read_from_papers() -> list[str]:
    """The main paper's rows that ours are meant to be compared with, SROCC / PLCC on its databases."""
    lines: list[str] = []
    figures = published_figures()
    for mode, words in MODES.items():
        methods = by_method(figures, mode)
        theirs = {name: row for name, row in methods.items() if name.removesuffix("-FR") in _PUBLISHED}
        databases = in_papers_order(name for row in theirs.values() for name in row)
        title = (
            f"**{words.capitalize()}, read from the paper** (Madhusudana et al., WACVW 2022; other databases than ours)"
        )
        lines += [f"\n{title}: SROCC / PLCC\n", *_head(databases)]
        lines += [_row(name, (_pair(row[d]) if d in row else "–" for d in databases)) for name, row in theirs.items()]
    return lines


def _pair(values: Mapping[str, float]) -> str:
    return " / ".join(f"{values[name]:.3f}" for name in ("SROCC", "PLCC") if name in values)
