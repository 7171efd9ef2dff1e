"""The images of a folder, in the same order on every file system."""

from __future__ import annotations

from pathlib import Path

from pipeline import images
from pipeline.sources.errors import SourceError


def image_files(root: Path) -> list[Path]:
    """All image files under ``root`` at any depth, by relative path.

    ``SourceError`` if it is no folder or holds what cannot be read: a link that leads nowhere, a pipe.
    """
    if not root.is_dir():
        raise SourceError(f"sources: {root} is not a folder")
    listing = images.list_images([root])
    if listing.failed:
        problems = [f"{path} ({problem})" for path, problem in listing.failed.items()]
        raise SourceError(f"sources: {len(problems)} files of {root} cannot be read: {', '.join(problems[:10])}")
    return sorted(listing.files, key=lambda path: path.relative_to(root).as_posix())
