"""Which files are images: one rule for every part that is given files or folders.

Links are followed, to files and to folders. A link back to a folder above it is noticed and not followed. Endings
count in upper and lower case. The format of a file is decided by its bytes, when it is decoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_JPEG = (".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".jfi", ".mpo")
DECODED = (".png", ".apng", *_JPEG, ".webp", ".bmp", ".dib", ".qoi", ".jxl")
REFUSED = (".tif", ".tiff", ".gif", ".heic", ".heif", ".avif", ".jp2")  # listed, so that decoding names them
ENDINGS = (*DECODED, *REFUSED)
_APPLE_DOUBLE = "._"  # macOS writes a file of attributes beside each file: ._1.jpg, no image


@dataclass(frozen=True, slots=True)
class Entry:
    """A file below a folder and the ``problem`` with it; or (``folder``) a folder that cannot be listed."""

    path: Path
    problem: str = ""
    folder: bool = False
    loop: bool = False


@dataclass
class Listing:
    """What :func:`list_images` gives.

    ``files``: in order, each once. ``failed``: path -> why it cannot be read. ``others``: number of files without an
    image's ending. ``loops``: links to a folder above them.
    """

    files: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    others: int = 0
    loops: list[Path] = field(default_factory=list)

    def passed_over(self) -> str:
        """What was neither read nor failed, to be put behind a sentence; empty if there is nothing."""
        text = f"; {self.others} other files left alone" if self.others else ""
        return text + (f"; {len(self.loops)} links back to a folder above them" if self.loops else "")


def is_image_name(name: str, endings: Iterable[str] = ENDINGS) -> bool:
    """Whether a file of this name is listed: its ending, in any case, is one of ``endings``."""
    return os.path.splitext(name)[1].lower() in endings and not os.path.basename(name).startswith(_APPLE_DOUBLE)


def list_images(paths: Iterable[Path], *, endings: Iterable[str] = ENDINGS) -> Listing:
    """The images at ``paths``: files whatever their names, and of folders all below that end in ``endings``.

    Folders are listed in order of their names. A path that is not there, a link that leads nowhere, a pipe, a folder
    that cannot be listed, and an empty folder with an image's ending are in ``failed``.
    """
    listing, endings = Listing(), frozenset(endings)
    listed: dict[Path, None] = {}  # in order, each once
    for given in map(Path, paths):
        for entry in walk(given) if given.is_dir() else [Entry(given, _problem(given))]:
            if entry.loop:
                listing.loops.append(entry.path)
            elif entry.problem and (entry.folder or entry.path == given or is_image_name(entry.path.name, endings)):
                listing.failed[entry.path] = entry.problem
            elif entry.path == given or is_image_name(entry.path.name, endings):
                listed[entry.path] = None
            else:
                listing.others += 1
    listing.files = list(listed)
    return listing


def walk(top: Path) -> Iterator[Entry]:
    """Every file below the folder ``top``, by names; folders only where something is wrong with them."""
    waiting: list[Path | tuple[Path, frozenset[tuple[int, int]]]] = [(top, frozenset())]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Path):
            yield Entry(item, _problem(item))
            continue
        folder, above = item
        try:
            state = os.stat(folder)
            with os.scandir(folder) as scan:
                inside = sorted(((entry.name, _is_folder(entry)) for entry in scan), reverse=True)
        except OSError as error:
            yield Entry(folder, f"folder can't be listed ({(error.strerror or '').lower()})", folder=True)
            continue
        here = (state.st_dev, state.st_ino)
        if here in above:
            yield Entry(folder, "a link back to a folder above it", folder=True, loop=True)
            continue
        if not inside and is_image_name(folder.name):
            yield Entry(folder, "a folder, not an image")
        waiting += [(folder / name, above | {here}) if is_folder else folder / name for name, is_folder in inside]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _problem(path: Path) -> str:
    """Why a path cannot be read as a file; empty if it can, as far as its kind says."""
    if os.path.isfile(path):
        return ""
    if not os.path.lexists(path):
        return "no such file or folder"
    try:
        os.stat(path)
    except FileNotFoundError:
        return "a link that leads nowhere (no such file)"
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return "not a regular file"  # a pipe, which would be waited for, a socket or a device
