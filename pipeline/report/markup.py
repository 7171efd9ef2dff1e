"""Small pieces of HTML: tables that scroll inside their own box, pictures as data URIs, sheets as grids."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from pipeline.report.sheets import Cell, Sheet

QUALITY = 80  # of the thumbnails' WebP: some 7 kB at 216 x 144


@dataclass(frozen=True)
class Line:
    """A row of a table: heading and cells (HTML), and its kind: empty, ``baseline`` (quiet) or ``group`` (no cells)."""

    head: str
    cells: Sequence[str] = ()
    kind: str = ""


def table(caption: str, columns: Sequence[str], lines: Sequence[Line], *, corner: str = "") -> str:
    """A table in a box of its own that scrolls where it is too wide; ``caption`` and headings are plain text."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (corner, *columns))
    body = []
    for line in lines:
        if line.kind == "group":
            span = f'scope="rowgroup" colspan="{len(columns) + 1}"'
            body.append(f'<tr class="group"><th {span}><span>{line.head}</span></th></tr>')
            continue
        cells = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in line.cells)
        kind = f' class="{line.kind}"' if line.kind else ""
        body.append(f'<tr{kind}><th scope="row">{line.head}</th>{cells}</tr>')
    label = escape(caption)
    return (
        f'<div><p class="cap" aria-hidden="true">{label}</p>'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table aria-label="{label}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div></div>'
    )


def picture(image: np.ndarray, alt: str) -> str:
    """``image`` (uint8 H x W x 3) as an ``<img>`` with its bytes inside."""
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "WEBP", quality=QUALITY, method=5)
    data = base64.b64encode(sink.getvalue()).decode()
    height, width = image.shape[:2]
    return f'<img src="data:image/webp;base64,{data}" width="{width}" height="{height}" alt="{escape(alt)}">'


def figure(content: str, caption: str) -> str:
    """``content`` (HTML) with a caption (HTML)."""
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def tiles(sheet: Sheet) -> str:
    """A sheet without row labels as a grid that takes as many columns as fit."""
    return f'<div class="tiles">{"".join(_cell(cell) for row in sheet.rows for cell in row.cells)}</div>'


def grid(sheet: Sheet) -> str:
    """A sheet with row labels and column headings; on a narrow screen the labels stand over their rows."""
    heads = "".join(f"<div>{escape(name)}</div>" for name in sheet.columns)
    rows = [f'<div class="row head" aria-hidden="true"><div class="name"></div>{heads}</div>']
    for row in sheet.rows:
        note = f'<span class="note">{escape(row.note)}</span>' if row.note else ""
        name = f'<div class="name">{escape(row.label)}{note}</div>'
        cells = "".join(_cell(cell) for cell in row.cells)
        rows.append(f'<div class="row" role="group" aria-label="{escape(row.label)}">{name}{cells}</div>')
    return f'<div class="sheet" style="--n:{len(sheet.columns)}">{"".join(rows)}</div>'


def keys(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values (plain text) as a definition list."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="keys">{rows}</dl>'


def _cell(cell: Cell) -> str:
    caption = " ".join(f"<span>{escape(part)}</span>" for part in cell.caption)
    return figure(picture(cell.image, cell.alt), caption)
