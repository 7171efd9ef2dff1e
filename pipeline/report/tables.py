"""What a table of the page holds, and how figures and names are written in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell with a smaller second line ``below``, the CSS classes ``kind``, or a ``shade`` of a heat map, 0 to 100."""

    text: str
    below: str = ""
    kind: str = ""
    shade: int = 0


@dataclass(frozen=True)
class Line:
    """A row of a table. ``kind`` is empty, ``baseline`` (quiet) or ``group`` (a heading without cells); ``colour`` is
    the number of the dot before the heading, ``note`` smaller text behind it.
    """

    head: str
    cells: Sequence[str | Cell] = ()
    kind: str = ""
    colour: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption and column headings; ``corner`` heads the first column. All is plain text."""

    caption: str
    columns: Sequence[str]
    lines: Sequence[Line]
    corner: str = ""


def figure(value: float | None) -> str:
    """Three decimals, or a dash where there is no figure."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def signed(value: float) -> str:
    """Three decimals with a sign: +0.012."""
    return f"{value:+.3f}".replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """``0.100 to 0.200``, or a dash where a bound is missing."""
    return "–" if low is None or high is None else f"{figure(low)} to {figure(high)}"


def size(count: int) -> str:
    """A number of bytes in decimal units: 1,260,000 as 1.3 MB."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def readable(name: str) -> str:
    """``white_noise`` as ``white noise``."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """``text`` on one line with a capital and a full stop; empty text stays empty."""
    text = " ".join(text.split())
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def enumeration(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def plain(value: object) -> str:
    """A parameter's value: lists of names without brackets, everything else that is no text as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def method(row: Mapping[str, Any], encoder: str = "encoder", regressor: str = "regressor") -> str:
    """The name of an encoder with its regressor; a ridge need not be named, and a metric has none."""
    name = row.get(regressor)
    return str(row[encoder]) + ("" if name in (None, "", "none", "ridge") else f" + {name}")
