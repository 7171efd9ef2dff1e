"""Reading the cells of an .xlsx sheet as text: what is needed of a score file, and no more.

The format (ECMA-376) is a zip of XML parts. Values are taken as they are stored: no formula is computed, no date or
number format applied. python-calamine 0.9 reads the same cells, but knows no limit: a file of 0.6 MB whose sheet
unpacks to 188 MB takes 397 MiB there, and is refused here.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from pipeline.databases.table import IngestError
from pipeline.file_kinds import file_kind

_MOST = 2**24  # bytes of one unpacked part: a cell takes about 40, SPAQ's sheet has 11,125 rows of 7
_COLUMNS = 2**14  # Excel's own limit


def sheet_rows(path: Path, sheet: str | None = None) -> list[list[str]]:
    """The rows of ``sheet`` (None: the first) as text, empty cells as ''. :class:`IngestError` names what is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            book = _Book(archive)
            if not book.sheets or (sheet is not None and sheet not in book.sheets):
                raise IngestError(f"{path}: no sheet {sheet}; it has {', '.join(book.sheets) or 'none'}")
            part = book.sheets[sheet] if sheet is not None else next(iter(book.sheets.values()))
            return [_row(row, book.strings) for row in book.part(part).iterfind("{*}sheetData/{*}row")]
    except OSError as error:
        raise IngestError(f"{path}: can't be read ({error.strerror or error})") from None
    except IngestError:
        raise
    except (zipfile.BadZipFile, NotImplementedError):
        with open(path, "rb") as file:
            raise IngestError(f"{path}: not a readable .xlsx workbook ({file_kind(file.read(512))})") from None
    except zlib.error:
        raise IngestError(f"{path}: not a readable .xlsx workbook (its data is damaged)") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise IngestError(f"{path}: not a readable .xlsx workbook ({error})") from None


class _Book:
    """The parts of a workbook, found by its relationships (OPC, part 2): their names are the writer's to choose."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {_folded(name): name for name in archive.namelist()}
        book = _needed(self._targets(""), "/officeDocument")
        targets = self._targets(book)
        self.sheets: dict[str, str] = {}  # name -> part, in the workbook's order
        for sheet in self.part(book).iterfind("{*}sheets/{*}sheet"):
            link = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
            self.sheets[sheet.attrib["name"]] = _needed(targets, link)
        shared = targets.get("/sharedStrings")
        self.strings = [_text(item) for item in self.part(shared).iterfind("{*}si")] if shared else []

    def part(self, name: str) -> ElementTree.Element:
        """A part parsed, of at most :data:`_MOST` bytes."""
        with self._archive.open(_needed(self._names, _folded(name))) as file:
            data = file.read(_MOST + 1)
        if len(data) > _MOST:
            raise ValueError(f"{name} unpacks to more than {_MOST} bytes")
        if b"<!DOCTYPE" in data.replace(b"\0", b""):  # a workbook has none; entities could grow without bound
            raise ValueError(f"{name} declares a document type")
        return ElementTree.fromstring(data)

    def _targets(self, source: str) -> dict[str, str]:
        """The parts that ``source`` is related to (empty: the whole file), by id and by the end of their type."""
        folder, name = posixpath.split(source)
        targets: dict[str, str] = {}
        for link in self.part(posixpath.join(folder, "_rels", f"{name}.rels")).iterfind("{*}Relationship"):
            if link.get("TargetMode") != "External":
                part = posixpath.normpath(posixpath.join("/", folder, link.get("Target", ""))).lstrip("/")
                kind = link.get("Type", "")
                targets |= {link.get("Id", ""): part, kind[kind.rfind("/") :]: part}
        return targets


def _needed(parts: Mapping[str, str], name: str) -> str:
    if name not in parts:
        raise ValueError(f"no part {name or 'of a sheet'}")
    return parts[name]


def _folded(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()  # names of parts do not count case


def _text(item: ElementTree.Element) -> str:
    return "".join(t.text or "" for path in ("{*}t", "{*}r/{*}t") for t in item.iterfind(path))


def _row(row: ElementTree.Element, shared: list[str]) -> list[str]:
    cells: list[str] = []
    for cell in row.iterfind("{*}c"):
        at = _column(cell.get("r"), len(cells))
        cells += [""] * (at - len(cells))
        cells[at:] = [_value(cell, shared).strip()]
    return cells


def _column(reference: str | None, following: int) -> int:
    """0 for A1, 27 for AB3; a cell without a reference follows the one before it."""
    if reference is None:
        return following
    letters = re.match(r"[A-Z]{1,3}(?=\d)", reference)
    if letters is None:
        raise ValueError(f"cell {reference!r}")
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    if not following < number <= _COLUMNS:
        raise ValueError(f"cell {reference!r} is out of its row's order")
    return number - 1


def _value(cell: ElementTree.Element, shared: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        inline = cell.find("{*}is")
        return "" if inline is None else _text(inline)
    value = cell.find("{*}v")
    text = "" if value is None else value.text or ""
    if cell.get("t") != "s":
        return text
    number = int(text)
    if not 0 <= number < len(shared):
        raise ValueError(f"cell {cell.get('r')} refers to string {number} of {len(shared)}")
    return shared[number]
