"""The image files of a user's folder, in an order that depends on a seed and on nothing else.

An image is a file or a member of an uncompressed tar. Its id is the file's name without folder and ending (Danbooru's
post number), its key is blake2b-8 of seed and id. The smallest keys are the same images in a tree, in tars and in a
list, whatever order the file system has, and a smaller choice is a part of a larger one.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline import images
from pipeline.sources.errors import SourceError


@dataclass(frozen=True, order=True)
class Candidate:
    """An image that may be chosen, ordered by key, then path. ``offset`` and ``size`` are set for members of tars."""

    key: str
    path: str
    id: str
    file: str
    offset: int = -1
    size: int = -1

    def read(self, root: Path, limit: int) -> bytes:
        """The bytes; ``OSError`` if it cannot be read, ``ValueError`` if it is over ``limit`` bytes or cut short."""
        if not (root / self.file).is_file() and (root / self.file).exists():
            raise OSError(f"{self.file}: not a file")  # opening a pipe would wait for a writer
        with open(root / self.file, "rb") as file:
            size = os.fstat(file.fileno()).st_size if self.offset < 0 else self.size
            if size > limit:
                raise ValueError(f"{size} bytes, over the cap of {limit}")
            if self.offset >= 0:
                file.seek(self.offset)
            data = file.read(size)
        if len(data) != size:
            raise ValueError(f"cut short: {len(data)} of {size} bytes")
        return data


def keyed(seed: int, name: str) -> str:
    """The key of an id under a seed, 16 hex digits; a name that is not UTF-8 is hashed by its bytes."""
    return hashlib.blake2b(f"{seed}/{name}".encode(errors="surrogateescape"), digest_size=8).hexdigest()


def base_of(source: Path) -> Path:
    """The folder that the paths of ``source`` (a folder, a tar, a list) are relative to."""
    return source if source.is_dir() else source.parent


def list_candidates(source: Path, seed: int) -> Iterator[Candidate]:
    """Every image of a folder tree (with the tars in it), of a .tar, or of a .txt or .jsonl list, in any order.

    A list has one relative path a line (.txt; # begins a comment) or a JSON string or object with ``path`` (.jsonl).
    ``SourceError`` if ``source`` is none of these or a tar or list cannot be read.
    """
    if source.is_dir():
        places = _tree(source)
    elif source.suffix == ".tar":
        places = _tar(source, source.name)
    elif source.suffix in (".txt", ".jsonl"):
        places = _list(source)
    else:
        raise SourceError(f"sources: {source} is neither a folder nor a .tar, .txt or .jsonl file")
    for path, file, offset, size in places:
        name = PurePosixPath(path).stem
        yield Candidate(keyed(seed, name), path, name, file, offset, size)


def smallest(source: Path, seed: int, count: int, after: Candidate | None) -> list[Candidate]:
    """The ``count`` smallest candidates that come after ``after``, in order: one pass, memory for ``count``."""
    later = (c for c in list_candidates(source, seed) if after is None or c > after)
    return heapq.nsmallest(count, later)


_Place = tuple[str, str, int, int]  # path, file, offset, size


def _tree(root: Path) -> Iterator[_Place]:
    for entry in images.walk(root):
        if entry.folder and not entry.loop:
            raise SourceError(f"sources: {entry.path}: {entry.problem}")
        relative = entry.path.relative_to(root).as_posix()
        if entry.path.suffix == ".tar":
            yield from _tar(entry.path, relative)
        elif images.is_image_name(entry.path.name):
            yield relative, relative, -1, -1


def _tar(path: Path, relative: str) -> Iterator[_Place]:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg() and images.is_image_name(member.name):
                    yield f"{relative}/{member.name}", relative, member.offset_data, member.size
                archive.members = []  # type: ignore[attr-defined]  # else a tar of a million members stays in memory
    except (tarfile.TarError, OSError) as error:
        raise SourceError(f"sources: {path} cannot be read as an uncompressed tar ({error})") from None


def _list(path: Path) -> Iterator[_Place]:
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            entry = _text(path, number, line)
            if not entry or entry.startswith("#"):
                continue
            if path.suffix == ".jsonl":
                entry = _json_path(path, number, entry)
            if entry.startswith("/") or ".." in PurePosixPath(entry).parts:
                raise SourceError(f"sources: {path}, line {number}: {entry!r} leads out of the list's folder")
            yield entry, entry, -1, -1


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise SourceError(f"sources: {path}, line {number}: not UTF-8") from None


def _json_path(path: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    entry = value.get("path") if isinstance(value, dict) else value
    if not isinstance(entry, str):
        raise SourceError(f"sources: {path}, line {number}: neither a JSON string nor an object with a path")
    return entry
