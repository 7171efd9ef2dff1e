"""Photographs as files, and the set ``photos``: five photographs that come with scikit-image's wheel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import images
from pipeline.artifacts import sha256_file
from pipeline.sources.errors import SourceError

PHOTOS = (
    ("astronaut", "skimage", "data/astronaut.png"),
    ("chelsea", "skimage", "data/chelsea.png"),
    ("coffee", "skimage", "data/coffee.png"),
    ("rocket", "skimage", "data/rocket.jpg"),
    ("motorcycle", "skimage", "data/motorcycle_left.png"),
)
"""Name, package and path in its wheel of each photograph of ``photos``."""

FORMAT = 1
"""Raised whenever the pixels of a photograph of ``photos`` change; it enters every fingerprint."""

Recipe = dict[str, Any]


@dataclass(frozen=True)
class Photograph:
    """An image file: its name, path and sha256.

    ``as_stored``: its numbers are taken as they are. ``rocket`` is in Adobe RGB, and the shards made of it are known by
    their sha256.
    """

    name: str
    path: Path
    sha256: str
    as_stored: bool = False

    def pixels(self) -> np.ndarray:
        """Uint8 H x W x 3; the last eight photographs stay decoded. ``ImageError`` if it cannot be decoded."""
        return _pixels(self.path, self.as_stored)


@lru_cache(maxsize=8)
def _pixels(path: Path, as_stored: bool) -> np.ndarray:
    return images.read(path, as_stored=as_stored)


def packaged(entries: tuple[tuple[str, str, str], ...]) -> tuple[Photograph, ...]:
    """The photographs of ``entries`` (name, package, path in its wheel). Nothing is downloaded."""
    paths = [(name, Path(str(files(package))) / inside) for name, package, inside in entries]
    for name, path in paths:
        if not path.is_file():
            raise SourceError(f"sources: {name} is missing: {path} did not come with its package")
    return tuple(Photograph(name, path, sha256_file(path), as_stored=True) for name, path in paths)


@dataclass(frozen=True)
class PhotographSet:
    """Photographs at their own size."""

    photographs: tuple[Photograph, ...]

    @property
    def count(self) -> int:
        """Number of photographs."""
        return len(self.photographs)

    def make(self, index: int) -> tuple[np.ndarray, Recipe]:
        """Photograph ``index`` and its name and sha256; ``IndexError`` outside 0..count-1."""
        if not 0 <= index < self.count:
            raise IndexError(f"sources: image {index} of {self.count}")
        photograph = self.photographs[index]
        recipe = {"kind": "photographs", "index": index, "name": photograph.name, "sha256": photograph.sha256}
        return photograph.pixels().copy(), recipe

    def inputs(self, indices: range | None = None) -> Recipe:
        """What decides the pixels of the images ``indices`` (None: all): the sha256 of each file, in order."""
        indices = range(self.count) if indices is None else indices
        return {
            "format": FORMAT,
            "kind": "photographs",
            "photographs": [self.photographs[index].sha256 for index in indices],
        }


def photos() -> PhotographSet:
    """The set ``photos``."""
    return PhotographSet(packaged(PHOTOS))
