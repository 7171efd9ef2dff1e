"""Photographs that give dead leaves their colours: those that come with packages, or a folder of the user's."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import sha256_file
from pipeline.sources.errors import SourceError
from pipeline.sources.image_files import image_files
from pipeline.sources.photographs import Photograph, packaged

EMBEDDED = (
    ("china", "sklearn", "datasets/images/china.jpg"),
    ("flower", "sklearn", "datasets/images/flower.jpg"),
    ("grace_hopper", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
"""Name, package and path in its wheel; none of these photographs is in the set ``photos``."""


def embedded() -> tuple[Photograph, ...]:
    """The three photographs of ``EMBEDDED``."""
    return packaged(EMBEDDED)


def folder(root: Path) -> tuple[Photograph, ...]:
    """Every image under ``root``, by relative path. ``SourceError`` if there is none."""
    paths = image_files(root)
    if not paths:
        raise SourceError(f"palettes: {root} has no images")
    return tuple(Photograph(path.relative_to(root).as_posix(), path, sha256_file(path)) for path in paths)
