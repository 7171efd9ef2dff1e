"""Photographs that give dead leaves their colours: those that ship with packages, or a folder of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from pipeline import images
from pipeline.artifacts import sha256_file
from pipeline.sources.listing import SourceError, image_files

PACKAGED = (
    ("china", "sklearn", "datasets/images/china.jpg"),
    ("flower", "sklearn", "datasets/images/flower.jpg"),
    ("grace_hopper", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
PHOTOGRAPHS = (
    ("astronaut", "skimage", "data/astronaut.png"),
    ("chelsea", "skimage", "data/chelsea.png"),
    ("coffee", "skimage", "data/coffee.png"),
    ("rocket", "skimage", "data/rocket.jpg"),
    ("motorcycle", "skimage", "data/motorcycle_left.png"),
)
"""The set `photos`: five more photographs in scikit-image's wheel; `motorcycle` is stereo_motorcycle()[0]."""


@dataclass(frozen=True)
class Photograph:
    """A file that is an image, by name, place and sha256."""

    name: str
    path: Path
    sha256: str

    def pixels(self) -> np.ndarray:
        """Uint8 H x W x 3; the last eight are kept. ``ImageError`` if it cannot be decoded."""
        return _pixels(self.path)


@lru_cache(maxsize=8)
def _pixels(path: Path) -> np.ndarray:
    return images.read(path)


def packaged(entries: tuple[tuple[str, str, str], ...] = PACKAGED) -> tuple[Photograph, ...]:
    """The photographs of ``entries`` (name, package, path in its wheel). Nothing is downloaded."""
    paths = [(name, Path(str(files(package))) / inside) for name, package, inside in entries]
    for name, path in paths:
        if not path.is_file():
            raise SourceError(f"sources: {name} is missing: {path} did not come with its package")
    return tuple(Photograph(name, path, sha256_file(path)) for name, path in paths)


def folder(root: Path) -> tuple[Photograph, ...]:
    """Every image under ``root``, by relative path. ``SourceError`` if there is none."""
    paths = image_files(root)
    if not paths:
        raise SourceError(f"palettes: {root} has no images")
    return tuple(Photograph(path.relative_to(root).as_posix(), path, sha256_file(path)) for path in paths)
