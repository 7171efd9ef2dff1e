"""Which files of a folder are images, in an order that no file system can change."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline import Refusal

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".qoi", ".jxl")


class SourceError(Refusal, ValueError):
    """A source set that cannot be made; the message names the folder or value and says why."""


def is_image_name(name: str) -> bool:
    """Does the name end like an image that ``images.decode`` may read? (Its bytes decide.)"""
    return name.lower().endswith(SUFFIXES)


def image_files(root: Path) -> list[Path]:
    """All image files under ``root`` at any depth, by relative path; ``SourceError`` if it is no folder."""
    if not root.is_dir():
        raise SourceError(f"sources: {root} is not a folder")
    found = [Path(base) / name for base, _, names in os.walk(root) for name in names if is_image_name(name)]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())
