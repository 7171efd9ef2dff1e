"""Contact sheets: labelled rows of captioned pictures, for the page and for ``synthetic-iqa sheet``.

A sheet holds thumbnails, so that the 126 classes of a large photograph fit in memory. :func:`draw` makes a picture of
it; the page shows the same sheet as HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from pipeline.images import check
from pipeline.labels import LEVELS
from pipeline.metrics import METRICS
from pipeline.report.tables import readable

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

    from pipeline.distortions import Sample

MAX_SIDE = 16_000  # pixels of a drawn sheet; WebP ends at 16,383
_PAPER, _INK, _MUTED = (250, 249, 246), (29, 33, 38), (94, 101, 110)
_GAP, _MARGIN = 8, 24


@dataclass(frozen=True)
class Cell:
    """One picture: a thumbnail (uint8 H x W x 3), the figures or name under it, and what it shows in words."""

    image: np.ndarray
    caption: tuple[str, ...] = ()
    alt: str = ""


@dataclass(frozen=True)
class Row:
    """A row of cells with a label and a note in smaller type."""

    label: str
    cells: tuple[Cell, ...]
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """A titled grid; ``columns`` are the headings over the cells (may be empty)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class TypeName:
    """The label of a distortion type: its name, group and parameter, and the parameter's five values as text."""

    name: str
    group: str = ""
    parameter: str = ""
    levels: tuple[str, ...] = ()
    stand_in: bool = False


def type_names() -> dict[int, TypeName]:
    """The 25 types of the bank by number."""
    from pipeline.distortions import TYPES

    return {
        kind.id: TypeName(
            kind.name,
            kind.group,
            kind.parameter,
            tuple(f"{value:g}".replace("-", "−") for value in kind.levels),
            kind.stand_in,
        )
        for kind in TYPES
    }


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """``image`` (uint8 H x W x 3, any aspect) within ``side`` x ``side`` pixels by area averaging; never enlarged."""
    check(image)
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image if scale == 1.0 else cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle ``side`` x ``side`` pixels of ``image`` as they are (all of a shorter side)."""
    check(image)
    top, left = max(0, (image.shape[0] - side) // 2), max(0, (image.shape[1] - side) // 2)
    return image[top : top + side, left : left + side].copy()


def distortion_sheet(
    title: str, samples: Iterable[Sample], names: Mapping[int, TypeName], *, side: int = 216, native: bool = False
) -> Sheet:
    """The sheet of one source: a row a type, a column a level, PSNR and SSIM against the pristine image under each.

    ``samples`` begin with the pristine image (type 0); ``ValueError`` otherwise. With ``native`` a cell is the middle
    of the image at its own pixels, which shows compression and noise as they are; else the whole image, reduced to
    ``side`` pixels.
    """
    cells: dict[tuple[int, int], Cell] = {}
    pristine: _Pristine | None = None
    for sample in samples:
        if sample.type == 0:
            pristine = _Pristine(sample.image)
        elif pristine is None:
            raise ValueError("the first sample of a distortion sheet must be the pristine image")
        else:
            cells[sample.type, sample.level] = _cell(pristine, sample, names[sample.type], side, native)
    rows = []
    for number in sorted({kind for kind, _ in cells}):
        row = tuple(cells[number, level] for level in range(1, LEVELS + 1) if (number, level) in cells)
        kind = names[number]
        note = (
            ", ".join(readable(text) for text in (kind.group, kind.parameter) if text) + " (stand-in)" * kind.stand_in
        )
        rows.append(Row(f"{number}  {readable(kind.name)}", row, note))
    return Sheet(title, tuple(f"level {level}" for level in range(1, LEVELS + 1)), tuple(rows))


def plain_sheet(title: str, pictures: Iterable[tuple[str, np.ndarray]], *, columns: int = 6, side: int = 216) -> Sheet:
    """Captioned pictures row by row: the sources of a set, or any images."""
    cells = [Cell(thumbnail(image, side), (caption,), caption) for caption, image in pictures]
    return Sheet(title, (), tuple(Row("", tuple(cells[i : i + columns])) for i in range(0, len(cells), columns)))


def draw(sheet: Sheet) -> np.ndarray:
    """The sheet as a picture, uint8 H x W x 3; reduced as a whole where a side would be over 16,000 pixels."""
    from PIL import Image, ImageDraw

    sizes = _Layout.of(sheet)
    picture = Image.new("RGB", (sizes.width, sizes.height), _PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((_MARGIN, _MARGIN), _cut(sheet.title, 18, sizes.width - 2 * _MARGIN), _INK, _font(18, bold=True))
    for left, heading in zip(sizes.lefts, sheet.columns, strict=False):
        pen.text((left, sizes.tops[0] - 20), heading, _MUTED, _font(12))
    for row, top in zip(sheet.rows, sizes.tops, strict=True):
        _label(pen, row, top, sizes.label)
        for cell, left in zip(row.cells, sizes.lefts, strict=False):
            picture.paste(Image.fromarray(cell.image), (left, top))
            below = (left, top + cell.image.shape[0] + 4)
            pen.text(below, _cut("  ".join(cell.caption), 11, sizes.cell), _MUTED, _font(11))
    return thumbnail(np.asarray(picture), MAX_SIDE)


@dataclass(frozen=True)
class _Layout:
    """Where things lie: the left edge of each column and the top of each row, in pixels."""

    width: int
    height: int
    label: int
    cell: int
    lefts: tuple[int, ...]
    tops: tuple[int, ...]

    @classmethod
    def of(cls, sheet: Sheet) -> _Layout:
        cells = [cell for row in sheet.rows for cell in row.cells]
        cell = max([150, *(cell.image.shape[1] for cell in cells)])
        count = max([1, *(len(row.cells) for row in sheet.rows)])
        label = 190 if any(row.label for row in sheet.rows) else 0
        lefts = tuple(_MARGIN + label + column * (cell + _GAP) for column in range(count))
        top = _MARGIN + 34 + (22 if sheet.columns else 0)
        tops = []
        for row in sheet.rows:
            tops.append(top)
            top += max([40, *(c.image.shape[0] + 20 * bool(c.caption) for c in row.cells)]) + _GAP
        return cls(lefts[-1] + cell + _MARGIN, top + _MARGIN - _GAP, label - 12, cell, lefts, tuple(tops))


def _cell(pristine: _Pristine, sample: Sample, kind: TypeName, side: int, native: bool) -> Cell:
    decibel, similarity = pristine.psnr(sample.image), pristine.ssim(sample.image)
    image = middle(sample.image, side) if native else thumbnail(sample.image, side)
    value = kind.levels[sample.level - 1 : sample.level]
    alt = f"{readable(kind.name)}, level {sample.level}: PSNR {decibel}, SSIM {similarity}"
    return Cell(image, (*value, decibel, similarity), alt)


class _Pristine:
    """The pristine image, prepared once for the PSNR and the SSIM of its 125 versions."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.prepared = {name: METRICS[name].prepare(image) for name in ("psnr", "ssim")}

    def psnr(self, image: np.ndarray) -> str:
        if np.array_equal(self.image, image):
            return "identical"
        return f"{self._compare('psnr', image):.1f} dB"

    def ssim(self, image: np.ndarray) -> str:
        """Three decimals; a dash below 11 pixels, where SSIM's window does not fit."""
        value = self._compare("ssim", image)
        return "–" if math.isnan(value) else f"{value:.3f}"

    def _compare(self, name: str, image: np.ndarray) -> float:
        metric = METRICS[name]
        return metric.compare(self.prepared[name], metric.prepare(image))


def _label(pen: ImageDraw.ImageDraw, row: Row, top: int, width: int) -> None:
    for text, size, bold, colour in ((row.label, 13, True, _INK), (row.note, 11, False, _MUTED)):
        for line in _wrap(text, size, bold, width):
            pen.text((_MARGIN, top), line, colour, _font(size, bold=bold))
            top += size + 5


def _wrap(text: str, size: int, bold: bool, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and _font(size, bold=bold).getlength(longer) > width:
            yield line
            longer = word
        line = longer
    if line:
        yield line


def _cut(text: str, size: int, width: int) -> str:
    """``text`` shortened in its middle until it fits: the end of a file's name often says most."""
    font, short, kept = _font(size), text, len(text)
    while font.getlength(short) > width and kept > 4:
        kept -= 1
        short = f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"
    return short


@cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it; where it is not installed, Pillow's own font, which has few letters beyond
    ASCII.
    """
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    package = find_spec("matplotlib")  # its folder, without the half second that importing it takes
    if package is None or package.origin is None:
        return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))
    return ImageFont.truetype(str(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / name), size)
