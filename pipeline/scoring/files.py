"""Which files are scored: what was named, and every image below a folder. What can't be one is kept with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ENDINGS = frozenset(  # the last row can't be decoded, and is named rather than passed over
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".qoi", ".jxl")
    + (".tif", ".tiff", ".gif", ".heic", ".heif", ".avif", ".jp2")
)


@dataclass
class Listing:
    """``files`` in order, each once; ``failed``: path -> why it is none; ``others``: without an image's ending."""

    files: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    others: int = 0


def list_images(paths: Sequence[Path]) -> Listing:
    """The images at ``paths``: files as they are named, folders with all that lies below (links to folders too).

    A path that is not there, a folder that can't be listed, and a folder that is named like an image and holds none
    are in ``failed``. A link that leads nowhere is in ``files``: reading it says so.
    """
    listing = Listing()
    found = dict.fromkeys(path for given in paths for path in _at(Path(given), listing))
    listing.files = [path for path in found if path not in listing.failed]
    return listing


def _at(given: Path, listing: Listing) -> Iterator[Path]:
    if given.is_dir():
        yield from _below(given, listing)
    elif os.path.lexists(given):
        yield given
    else:
        listing.failed[given] = "no such file or folder"


def _below(top: Path, listing: Listing) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        listing.failed[Path(str(error.filename))] = f"folder can't be listed ({(error.strerror or '').lower()})"

    for folder, inner, names in os.walk(top, followlinks=True, onerror=unreadable):
        state = os.stat(folder)
        if (state.st_dev, state.st_ino) in seen:  # a link that leads back
            inner.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        inner.sort()
        if not inner and not names and Path(folder).suffix.lower() in ENDINGS:
            listing.failed[Path(folder)] = "a folder, not an image"
        for name in sorted(names):
            if Path(name).suffix.lower() in ENDINGS:
                yield Path(folder) / name
            else:
                listing.others += 1
