"""Reading the cells of an .xlsx sheet as text: what is needed of a score file, and no more.

The format (ECMA-376) is a zip of XML parts. Values are taken as they are stored: no formula is computed, no date or
number format applied.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from pipeline.databases.table import IngestError

_MOST = 2**24  # bytes of one unpacked part: a cell takes about 40, SPAQ's sheet has 11,125 rows of 7
_COLUMNS = 2**14  # Excel's own limit


def sheet_rows(path: Path, sheet: str | None = None) -> list[list[str]]:
    """The rows of ``sheet`` (None: the first) as text, empty cells as ''. :class:`IngestError` names what is wrong."""
    try:
        with zipfile.ZipFile(path) as book:
            names = _sheets(book)
            if not names or (sheet is not None and sheet not in names):
                raise IngestError(f"{path}: no sheet {sheet}; it has {', '.join(names) or 'none'}")
            part = names[sheet] if sheet is not None else next(iter(names.values()))
            shared = _shared(book) if "xl/sharedStrings.xml" in book.namelist() else []
            return [_row(row, shared) for row in _part(book, part).iterfind("{*}sheetData/{*}row")]
    except OSError as error:
        raise IngestError(f"{path}: can't be read ({error.strerror or error})") from None
    except IngestError:
        raise
    except (zipfile.BadZipFile, zlib.error, ElementTree.ParseError, KeyError, ValueError, NotImplementedError) as error:
        raise IngestError(f"{path}: not a readable .xlsx workbook ({error})") from None


def _sheets(book: zipfile.ZipFile) -> dict[str, str]:
    """Sheet name -> part of the zip, in the workbook's order."""
    targets = {
        link.attrib["Id"]: posixpath.normpath(posixpath.join("/xl", link.attrib["Target"])).lstrip("/")
        for link in _part(book, "xl/_rels/workbook.xml.rels").iterfind("{*}Relationship")
    }
    found = {}
    for sheet in _part(book, "xl/workbook.xml").iterfind("{*}sheets/{*}sheet"):
        link = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
        found[sheet.attrib["name"]] = targets[link]
    return found


def _part(book: zipfile.ZipFile, name: str) -> ElementTree.Element:
    with book.open(name) as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise ValueError(f"{name} unpacks to more than {_MOST} bytes")
    text = data.decode("utf-8-sig")
    if "<!DOCTYPE" in text:  # a workbook has none; entities could grow without bound
        raise ValueError(f"{name} declares a document type")
    return ElementTree.fromstring(text)


def _shared(book: zipfile.ZipFile) -> list[str]:
    """The strings that cells refer to by number; a string may be in several runs."""
    return [_text(item) for item in _part(book, "xl/sharedStrings.xml").iterfind("{*}si")]


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
