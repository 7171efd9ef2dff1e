"""Reading score files as they were released (text, .xlsx, .mat) into rows of text."""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.databases.manifest import Scores
from pipeline.databases.names import columns_of, fold, near_misses, path_in
from pipeline.databases.table import IngestError
from pipeline.databases.workbook import sheet_rows
from pipeline.file_kinds import file_kind

NUMBERED = "numbered"  # the column that Scores.numbered makes
_MOST_TEXT = 2**26  # bytes; FLIVE's split file of 38,000 rows has about 8 MB
_MOST_MAT = 2**20  # bytes; LIVE's and CLIVE's have some 10,000, and a packed one unpacks to at most 1,000 times as much
_TEXTS, _MATLAB = ("a text file", "data of no known kind"), "a MATLAB file"
_HEADER_WITHIN = 20  # rows of a sheet; CSIQ's header is its fourth
_NUMERIC = frozenset("biuf")

Rows = list[dict[str, str]]


def read_rows(name: str, scores: Scores, folder: Path) -> Rows:
    """The rows of ``scores.file``, with the columns of the files beside it and the numbered names.

    Raises :class:`IngestError` naming a file that is missing, too large or broken, and columns or rows that lack.
    """
    parts = [read_file(name, folder, scores.file, scores.columns, scores.delimiter, scores.sheet)]
    parts += [
        read_file(name, folder, file, columns or None, scores.delimiter) for file, columns in scores.beside.items()
    ]
    if scores.numbered:
        parts.append([{NUMBERED: n} for n in numbered(scores.numbered)])
    lengths = [len(part) for part in parts]
    if len(set(lengths)) > 1:
        files = [scores.file, *scores.beside, *(["numbered names"] if scores.numbered else [])]
        counts = ", ".join(f"{file} ({length})" for file, length in zip(files, lengths, strict=True))
        raise IngestError(f"{name}: files that belong together differ in rows: {counts}")
    rows = [{key: value for row in together for key, value in row.items()} for together in zip(*parts, strict=True)]
    header = list(rows[0]) if rows else wanted(scores)
    if missing := [column for column in wanted(scores) if column not in header]:
        raise IngestError(f"{name}: {scores.file} has no column {', '.join(missing)}; it has {', '.join(header)}")
    return [{key: scores.replace.get(key, {}).get(value, value) for key, value in row.items()} for row in rows]


def wanted(scores: Scores) -> list[str]:
    """The columns that the manifest speaks of, in no file's order."""
    given = (scores.image, scores.reference, scores.mos, scores.mos_std, scores.group, scores.stratum)
    named = [column for text in (*given, scores.official_split) if text is not None for column in columns_of(text)]
    return list(dict.fromkeys([*named, *scores.replace, *scores.leave_out]))


def numbered(patterns: Mapping[str, int]) -> list[str]:
    """Names that no file lists: ``{"jp2k/img{}.bmp": 2}`` is jp2k/img1.bmp, jp2k/img2.bmp."""
    return [pattern.replace("{}", str(n)) for pattern, count in patterns.items() for n in range(1, count + 1)]


def read_file(
    name: str,
    folder: Path,
    file: str,
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    sheet: str | None = None,
) -> Rows:
    """The rows of one file, or of all that fit a pattern (``*`` in its name alone), in the order of their names."""
    rows: Rows = []
    for path in _paths(name, folder, file):
        if path.suffix.lower() == ".mat":
            rows += _mat(name, path, columns or ())
        elif path.suffix.lower() == ".xlsx":
            rows += _sheet(name, path, sheet, columns)
        else:
            rows += _text(name, path, columns, delimiter)
    return rows


def _paths(name: str, folder: Path, file: str) -> list[Path]:
    base, pattern = path_in(folder, str(Path(file).parent)), fold(Path(file).name)
    path = path_in(folder, file)
    if "*" not in pattern and path is not None:
        return [path]
    if "*" in pattern and base is not None:
        if fitting := sorted(path for path in base.iterdir() if fnmatch.fnmatchcase(fold(path.name), pattern)):
            return fitting
    if not folder.is_dir():
        raise IngestError(f"{name}: no folder {folder}")
    near = ", ".join(near_misses(folder, file)) or "no files but images"
    raise IngestError(f"{name}: no score file {file} in {folder}; there are {near}")


def _text(name: str, path: Path, columns: Sequence[str] | None, delimiter: str) -> Rows:
    data = _bytes(name, path, _MOST_TEXT)
    text = data.decode("utf-8-sig", errors="surrogateescape")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        what = file_kind(data[:512])
        reason = f"it is {what}" if what not in _TEXTS else "it is not UTF-8"
        raise IngestError(f"{name}: score file {path} can't be read ({reason})")
    if delimiter == "whitespace":
        cells = [line.split() for line in text.splitlines()]
    else:
        try:
            cells = [
                [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            ]
        except csv.Error:  # a cell of over 128 KiB: an open quote swallows the rest of a file
            raise IngestError(f"{name}: score file {path} can't be read (a quote is opened and not closed)") from None
    cells = [row for row in cells if any(row)]
    header = list(columns) if columns else (cells.pop(0) if cells else [])
    if twice := sorted({cell for cell in header if cell and header.count(cell) > 1}):
        raise IngestError(f"{name}: {path.name} has two columns {', '.join(twice)}")
    uneven = [str(number) for number, row in enumerate(cells, 1) if len(row) != len(header)]
    if uneven:
        raise IngestError(f"{name}: {path.name}: rows {', '.join(uneven[:10])} do not have {len(header)} cells")
    return [dict(zip(header, row, strict=True)) for row in cells]


def _sheet(name: str, path: Path, sheet: str | None, columns: Sequence[str] | None) -> Rows:
    """Rows below the header: the first row that is one (``columns``: has these). Cells beyond the header are left."""
    _bytes(name, path, _MOST_TEXT)
    cells = [row for row in sheet_rows(path, sheet) if any(row)]
    heads = [i for i, row in enumerate(cells[:_HEADER_WITHIN]) if set(columns or row) <= set(row)]
    if not heads:
        raise IngestError(f"{name}: {path.name} has no row with {', '.join(columns or ('a header',))}")
    header = cells[heads[0]]
    if twice := [column for column in columns or () if header.count(column) > 1]:
        raise IngestError(f"{name}: {path.name} has two columns {', '.join(twice)}")
    rows = [row + [""] * (len(header) - len(row)) for row in cells[heads[0] + 1 :]]
    return [{key: value for key, value in zip(header, row, strict=False) if key} for row in rows]


def _mat(name: str, path: Path, variables: Sequence[str]) -> Rows:
    """Vectors of a MATLAB file (before v7.3) as columns: numbers, or cells with a string each."""
    import scipy.io

    data = _bytes(name, path, _MOST_MAT)
    try:
        variables_read = scipy.io.loadmat(path, variable_names=list(variables), chars_as_strings=True)
    except NotImplementedError:
        raise IngestError(f"{name}: {path} is of MATLAB 7.3 (HDF5): save it with `save -v7`") from None
    except Exception:  # whatever a damaged file leads to; the words of SciPy do not help
        what = file_kind(data[:512])
        reason = "it is damaged" if what == _MATLAB else what
        raise IngestError(f"{name}: {path} is not a readable .mat file ({reason})") from None
    if missing := [variable for variable in variables if variable not in variables_read]:
        raise IngestError(f"{name}: {path.name} has no variable {', '.join(missing)}")
    vectors = {variable: _vector(name, path, variable, variables_read[variable]) for variable in variables}
    if len({len(vector) for vector in vectors.values()}) > 1:
        counts = ", ".join(f"{variable} ({len(vector)})" for variable, vector in vectors.items())
        raise IngestError(f"{name}: {path.name}: variables differ in length: {counts}")
    return [dict(zip(vectors, values, strict=True)) for values in zip(*vectors.values(), strict=True)]


def _vector(name: str, path: Path, variable: str, value: Any) -> list[str]:
    """The values of a row or column vector as text, whole numbers without a point."""
    array = np.asarray(value)
    if array.ndim != 2 or 1 not in array.shape:
        raise IngestError(f"{name}: {path.name}: {variable} has the shape {array.shape}, expected a vector")
    cells = array.ravel()
    if array.dtype.kind in _NUMERIC:
        return [f"{int(cell)}" if float(cell).is_integer() else repr(float(cell)) for cell in cells]
    strings = [np.asarray(cell).ravel() for cell in cells]
    if array.dtype != object or not all(len(cell) == 1 and cell.dtype.kind == "U" for cell in strings):
        raise IngestError(f"{name}: {path.name}: {variable} has neither numbers nor a string in each cell")
    return [str(cell[0]).strip() for cell in strings]


def _bytes(name: str, path: Path, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise IngestError(f"{name}: score file {path} can't be read ({error.strerror})") from None
    if len(data) > most:
        raise IngestError(f"{name}: score file {path} has more than {most} bytes")
    return data
