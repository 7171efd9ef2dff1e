"""The papers' figures (manifests/published.csv), chosen and named so that ours can stand beside them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files

COLUMNS = ("source", "table", "setting", "method", "database", "metric", "value")
PAPER = "Image Quality Assessment using Synthetic Images"  # whose tables are shown whole
SETTINGS = {"nr": "NR within-database", "fr": "FR within-database"}
_ORDER = ("LIVE", "CSIQ", "TID2013", "KADID", "KonIQ", "CLIVE", "FLIVE", "SPAQ")


Figures = Mapping[str, Mapping[str, Mapping[str, float]]]  # method -> database -> {measure: value}


@dataclass(frozen=True)
class Published:
    """One figure as its source prints it."""

    source: str
    table: str
    setting: str
    method: str
    database: str
    metric: str
    value: float


def load() -> list[Published]:
    """All rows of manifests/published.csv, in its order; ``ValueError`` names a row that can't be read."""
    found = []
    with (files("manifests") / "published.csv").open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"published.csv: columns {reader.fieldnames} are not {', '.join(COLUMNS)}")
        for line, row in enumerate(reader, 2):
            try:
                texts = {name: row[name] for name in COLUMNS[:-1]}
                found.append(Published(**texts, value=float(row["value"])))
            except (TypeError, ValueError):
                raise ValueError(f"published.csv, line {line}: {row} is not a figure") from None
    return found


def known_as(database: str) -> str:
    """Our name of a database as the papers write it (kadid10k: KADID); the name itself where no paper has it."""
    plain = re.sub(r"\d+k$", "", database.lower())
    return next((name for name in _ORDER if name.lower() == plain), database)


def in_order(databases: Iterable[str]) -> list[str]:
    """Ours that no paper has first, then the papers' databases in their usual order."""
    names = list(dict.fromkeys(databases))
    return [name for name in names if name not in _ORDER] + [name for name in _ORDER if name in names]


def by_method(rows: Iterable[Published], mode: str) -> dict[str, dict[str, Mapping[str, float]]]:
    """The main paper's figures of ``mode`` (nr or fr): method -> database -> {"SROCC": ..., "PLCC": ...}.

    Where two of its tables have a figure the first one's is taken.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        if PAPER in row.source and row.setting == SETTINGS[mode]:
            found.setdefault(row.method, {}).setdefault(row.database, {}).setdefault(row.metric, row.value)
    return {method: dict(databases) for method, databases in found.items()}


def tables(rows: Iterable[Published]) -> dict[str, dict[tuple[str, str], Figures]]:
    """Every figure: source -> (table, setting) -> method -> database -> {measure: value}, in the order of the file."""
    found: dict[str, dict[tuple[str, str], dict[str, dict[str, dict[str, float]]]]] = {}
    for row in rows:
        table = found.setdefault(row.source, {}).setdefault((row.table, row.setting), {})
        table.setdefault(row.method, {}).setdefault(row.database, {})[row.metric] = row.value
    return {source: dict(those) for source, those in found.items()}


def is_cross(setting: str, train: str) -> bool:
    """Whether ``setting`` is: regressor fitted on all of ``train`` (the papers' name), judged on another database."""
    return setting == f"NR cross-database train={train}"
