"""The papers' figures (manifests/published.csv), and whether ours reproduce them.

A published figure is reproduced only where it lies in our interval.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pipeline.evaluation.agreement.intervals import Interval

COLUMNS = ("source", "table", "setting", "method", "database", "metric", "value")
SETTINGS = {"nr": "NR within-database", "fr": "FR within-database"}
METHODS = {  # (encoder, regressor) -> the papers' name; BRISQUE is an SVR there
    ("dead_leaves", "ridge"): "Dead Leaves",
    ("textured_dead_leaves", "ridge"): "Textured Dead Leaves",
    ("danbooru", "ridge"): "Danbooru",
    ("brisque36", "svr"): "BRISQUE",
    ("niqe", "none"): "NIQE",
    ("psnr", "none"): "PSNR",
    ("ssim", "none"): "SSIM",
    ("ms_ssim", "none"): "MS-SSIM",
    ("gmsd", "none"): "GMSD",
    ("fsim", "none"): "FSIM",
    ("fsimc", "none"): "FSIMc",
    ("vsi", "none"): "VSI",
    ("haarpsi", "none"): "HaarPSI",
    ("mdsi", "none"): "MDSI",
}
_DATABASES = (
    "LIVE",
    "CSIQ",
    "TID2013",
    "KADID",
    "KonIQ",
    "CLIVE",
    "BID",
    "FLIVE",
    "SPAQ",
    "Average",
)  # in the papers' usual order


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


def published_figures() -> list[Published]:
    """All rows of manifests/published.csv, in its order; ``ValueError`` names a row that can't be read."""
    figures = []
    with (files("manifests") / "published.csv").open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"published.csv: columns {reader.fieldnames} are not {', '.join(COLUMNS)}")
        for line, row in enumerate(reader, 2):
            try:
                texts = {name: row[name] for name in COLUMNS[:-1]}
                figures.append(Published(**texts, value=float(row["value"])))
            except (TypeError, ValueError):
                raise ValueError(f"published.csv, line {line}: {row} is not a figure") from None
    return figures


@dataclass(frozen=True)
class PublishedDomains:
    """One type that paper 4 (its table 2 and section 4.5), or the README of its code, selects for a target."""

    source: str
    rule: str
    target: str
    domain: int


def published_domains() -> list[PublishedDomains]:
    """All rows of manifests/published_domains.csv, in its order."""
    with (files("manifests") / "published_domains.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return [PublishedDomains(row["source"], row["rule"], row["target"], int(row["domain"])) for row in rows]


def known_as(database: str) -> str:
    """Our name of a database as the papers write it (kadid10k: KADID); the name itself where no paper has it."""
    plain = re.sub(r"\d+k$", "", database.lower())
    return next((name for name in _DATABASES if name.lower() == plain), database)


def in_papers_order(databases: Iterable[str]) -> list[str]:
    """Databases that no paper has first, then the papers' in their usual order, each once."""
    names = list(dict.fromkeys(databases))
    return [name for name in names if name not in _DATABASES] + [name for name in _DATABASES if name in names]


def setting(mode: str, trained_on: str | None = None) -> str:
    """How published.csv calls the setting of ``mode`` (nr or fr); ``trained_on`` is the database on which the regressor
    was fitted, where that is another one than it is judged on.
    """
    return f"{mode.upper()} cross-database train={known_as(trained_on)}" if trained_on else SETTINGS[mode]


def verdicts(entry: Mapping[str, Any], figures: Iterable[Published]) -> list[dict[str, Any]]:
    """The published SROCCs of an entry's method on its database and in its setting, each with its verdict:
    ``reproduced`` (inside our interval), ``differs`` or ``no interval``.

    ``entry`` is one of compare's methods, or of its cross-database figures (those have ``train``).
    """
    name = METHODS.get((entry["encoder"], entry["regressor"]))
    if name is None:
        return []
    names = {name, f"{name}-FR"} if entry["mode"] == "fr" else {name}
    place = (known_as(entry["database"]), "SROCC", setting(entry["mode"], entry.get("train")))
    interval = Interval(entry["srocc"], entry["low"], entry["high"], entry["groups"])
    return [
        {"source": row.source, "table": row.table, "method": row.method, "value": row.value}
        | {"measure": "srocc", "verdict": interval.verdict(row.value)}
        for row in figures
        if row.method in names and (row.database, row.metric, row.setting) == place
    ]
