"""The table of results in Markdown, for a README or a card: written from the metrics, between two marks of the file.

No figure of it is written by hand. A file whose block already says the same keeps it, with the date it was written at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import Refusal, artifacts
from pipeline.report import published

BEGIN, END = "<!-- results: written by `synthetic-iqa table` -->", "<!-- end of results -->"
NAMES = {"nr": "No reference", "fr": "Full reference"}
_LAST = ("random_init", "floor", "brisque36", "niqe")  # below the encoders, above the full-reference metrics
_DATABASES = ("biq2021", "tid2013_kodak", "photos")  # first, in this order
_PUBLISHED = (
    "Dead Leaves",
    "Textured Dead Leaves",
    "Danbooru",
    "CONTRIQUE",
    "BRISQUE",
    "NIQE",
    "PSNR",
    "SSIM",
    "FSIM",
    "VSI",
)
Metrics = Mapping[str, Any]
_NOTHING: Metrics = {}


class TableError(Refusal, ValueError):
    """No metrics to make a table of, or a file without the two marks; the message names it."""


@dataclass(frozen=True)
class Results:
    """``evaluations``: (encoder, database) -> metrics; ``intervals``: those and (regressor, mode) -> compare's."""

    evaluations: Mapping[tuple[str, str], Metrics]
    intervals: Mapping[tuple[str, str, str, str], Metrics]


def read_results(metrics: Path, encoders: Sequence[str] = (), databases: Sequence[str] = ()) -> Results:
    """What evaluate and compare left below ``metrics``; ``encoders`` (in their order) and ``databases`` choose some."""
    found = {}
    for path in sorted((metrics / "evaluate").glob("*/*.json")):
        key = (path.parent.name, path.stem)
        if (not encoders or key[0] in encoders) and (not databases or key[1] in databases):
            found[key] = artifacts.read_json(path)
    if not found:
        raise TableError(f"{metrics / 'evaluate'}: no metrics here; `dvc repro evaluate` writes them")
    rank = _order(encoders, {name for name, _ in found})
    ordered = sorted(found, key=lambda key: (rank.index(key[0]), _rank(key[1])))
    compared = metrics / "compare.json"
    methods = artifacts.read_json(compared).get("methods", []) if compared.is_file() else []
    intervals = {(m["encoder"], m["regressor"], m["database"], m["mode"]): m for m in methods}
    return Results({key: found[key] for key in ordered}, intervals)


def render(results: Results, date: str) -> str:
    """The block without its marks: date, protocol, a table for each mode, and published figures of other databases."""
    databases = sorted({d for (_, d), metrics in results.evaluations.items() if metrics.get("splits")}, key=_rank)
    parts = [f"Measured {date}. {_protocol(results, databases)}\n"]
    for mode, title in NAMES.items():
        lines = _mode(results, databases, mode)
        if lines:
            parts += [f"**{title}**\n", *lines, ""]
    parts.append(
        "SROCC, PLCC (after the four-parameter logistic) and SROCC within strata are medians over the splits. Pooled: "
        "of each image's mean test prediction over them, which mixing splits lowers for a fitted method; in brackets "
        "the 95 % interval of that figure (jackknife over groups)."
    )
    if "photos" in databases:
        parts.append("photos has class means for opinions, and too few contents for an interval.")
    return "\n".join([*parts, *_read_from_papers()]) + "\n"


def refresh(path: Path, results: Results, date: str) -> bool:
    """Replace the block between the marks of ``path``; False if it said the same already (whatever its date).

    :class:`TableError` where the marks are missing, doubled or in the wrong order: nothing is written then.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: can't be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise TableError(f"{path}: needs one line {BEGIN} and below it one line {END}; the table goes between them")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    new = f"\n{render(results, date)}"
    if _undated(old) == _undated(new):
        return False
    artifacts.write_bytes(path, f"{before}{BEGIN}{new}{END}{after}".encode())
    return True


def _undated(text: str) -> str:
    return re.sub(r"^\s*Measured [0-9-]+\.", "", text).strip()


def _order(asked: Sequence[str], names: set[str]) -> list[str]:
    """``names`` as they were asked for; else the released one, other encoders by name, and what learns nothing."""
    rest = sorted(names - {"released", *_LAST})
    return list(asked) or [name for name in ("released", *rest, *_LAST) if name in names]


def _rank(database: str) -> tuple[int, str]:
    return (_DATABASES.index(database) if database in _DATABASES else len(_DATABASES), database)


def _protocol(results: Results, databases: Iterable[str]) -> str:
    said = []
    for database in databases:
        found = next(m for (_, d), m in results.evaluations.items() if d == database and m.get("splits"))
        splits = len({entry["split"] for entry in found["splits"]})
        name = str(found["protocol"]).replace("_", " ")
        said.append(f"{database}: {found['images']:,} images in {found['groups']:,} groups, {name}, {splits} splits")
    return "; ".join(said) + "."


def _mode(results: Results, databases: Sequence[str], mode: str) -> list[str]:
    """The table of one mode, metrics below the encoders; databases and rows that have nothing are left out."""
    rows: dict[tuple[bool, str, str], dict[str, Metrics]] = {}
    for (encoder, database), metrics in results.evaluations.items():
        for regressor, medians in by_regressor(metrics).items():
            if mode in medians:
                row = (metrics.get("kind") == "metric", encoder, regressor)
                rows.setdefault(row, {})[database] = medians[mode]
    shown = [database for database in databases if any(database in row for row in rows.values())]
    if not shown:
        return []
    compared = {(d, m) for (_, _, d, m) in results.intervals}
    measures = [(d, m) for d in shown for m in _measures(rows.values(), d, (d, mode) in compared)]
    lines = ["| | " + " | ".join(f"{d} {name}" for d, (_, name) in measures) + " |", "|---|" + "---|" * len(measures)]
    for (_, encoder, regressor), medians in sorted(rows.items(), key=lambda item: item[0][0]):
        cells = []
        for database, (key, _) in measures:
            told = results.intervals.get((encoder, regressor, database, mode), _NOTHING)
            if key == "pooled":
                cells.append(_pooled(told.get("srocc"), told))
            elif key == "pooled_within":
                inside = told.get("within") or _NOTHING
                cells.append(_pooled(inside.get("value"), inside))
            else:
                cells.append(_figure(medians.get(database, _NOTHING).get(key)))
        name = encoder if regressor == "none" else f"{encoder} + {regressor}"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _measures(rows: Iterable[Mapping[str, Metrics]], database: str, compared: bool) -> list[tuple[str, str]]:
    known = [("srocc", "SROCC"), ("srocc_within", "within"), ("plcc", "PLCC")]
    there = [pair for pair in known if any(pair[0] in row.get(database, {}) for row in rows)]
    if not compared:
        return there
    inside = [("pooled_within", "within, pooled")] if ("srocc_within", "within") in there else []
    return [*there[:1], ("pooled", "pooled"), *there[1:2], *inside, *there[2:]]


def by_regressor(metrics: Metrics) -> dict[str, Mapping[str, Any]]:
    """regressor -> {mode: medians} of one metrics file, its headline first; those that were skipped are left out."""
    first = str(metrics.get("regressor", "ridge"))
    found = {first: {mode: metrics[mode] for mode in NAMES if mode in metrics}}
    return found | {name: told for name, told in metrics.get("others", {}).items() if "skipped" not in told}


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _pooled(value: float | None, told: Metrics) -> str:
    low, high = told.get("low"), told.get("high")
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{_figure(value)}{interval}"


def _read_from_papers() -> list[str]:
    """The main paper's rows that ours are meant to be compared with, SROCC / PLCC on its databases."""
    lines: list[str] = []
    rows = published.load()
    for mode, title in NAMES.items():
        theirs = {
            name: row for name, row in published.by_method(rows, mode).items() if name.removesuffix("-FR") in _PUBLISHED
        }
        databases = published.in_order(name for row in theirs.values() for name in row)
        if not theirs:
            continue
        lines += [
            f"\n**{title}, read from the paper** (Madhusudana et al., WACVW 2022; other "
            "databases than ours): SROCC / PLCC\n",
            "| | " + " | ".join(databases) + " |",
            "|---|" + "---|" * len(databases),
        ]
        for name, row in theirs.items():
            cells = (_pair(row[d]) if d in row else "–" for d in databases)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _pair(values: Mapping[str, float]) -> str:
    return " / ".join(f"{values[name]:.3f}" for name in ("SROCC", "PLCC") if name in values)
