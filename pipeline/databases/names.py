"""How names of files are written, and how two spellings of one name meet.

Score files and disks spell the same name differently: ``.jpg`` and ``.JPG``, an accent in one code point or in two (as
archives made on macOS unpack), slashes and backslashes.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from pipeline.images import is_image_name

_FIELD = re.compile(r"\{([^{}:]+)(?::(\d))?\}")
_MOST_LISTED = 50_000  # entries of a folder that are looked at for names like a missing one


def fold(name: str) -> str:
    """What two spellings of one name have in common: case folded, NFC, forward slashes."""
    composed = unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()
    return unicodedata.normalize("NFC", composed)


def clean(name: str) -> str:
    """``name`` with forward slashes and without ``./``; empty if it is empty, absolute or leads out of its folder."""
    path = posixpath.normpath(name.replace("\\", "/"))
    return "" if path in (".", "..") or path.startswith(("/", "../")) else path


def columns_of(text: str) -> list[str]:
    """The columns that a name or a pattern over columns speaks of."""
    return [field[1] for field in _FIELD.finditer(text)] or [text]


def filled(text: str, row: Mapping[str, str]) -> str:
    """What a column's name or a pattern over columns gives for a row."""
    if not _FIELD.search(text):
        return row[text]
    return _FIELD.sub(lambda field: row[field[1]].zfill(int(field[2] or 0)), text)


def path_in(folder: Path, relative: str) -> Path | None:
    """``relative`` below ``folder``, each part as it is written or in the one spelling that the disk has; else None."""
    path = folder
    for part in Path(relative).parts:
        if (path / part).exists():
            path = path / part
            continue
        try:
            same = [entry for entry in os.listdir(path) if fold(entry) == fold(part)]
        except OSError:
            return None
        if len(same) != 1:
            return None
        path = path / same[0]
    return path


def near_misses(folder: Path, relative: str, *, folders: bool = False) -> list[str]:
    """Up to five files (or ``folders``) below ``folder`` whose names are like that of ``relative``, else the first."""
    listed: list[str] = []
    seen = 0
    for base, inner, names in os.walk(folder):
        entries = inner if folders else [name for name in names if not is_image_name(name)]
        listed += [Path(base, name).relative_to(folder).as_posix() for name in entries]
        seen += len(inner) + len(names)
        if seen > _MOST_LISTED:
            break
    by_name: dict[str, str] = {}
    for path in sorted(listed):
        by_name.setdefault(fold(posixpath.basename(path)), path)
    like = difflib.get_close_matches(fold(posixpath.basename(relative)), by_name, n=5, cutoff=0.5)
    return [by_name[name] for name in like] or sorted(listed)[:5]
