"""The images of a database table: each file checked against the sha256 that ingest recorded, then decoded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import Refusal, artifacts, images

PLACE = ["image_id", "path", "offset", "bytes", "sha256", "width", "height", "short_side"]  # to read a row's image


class ChangedImageError(Refusal, ValueError):
    """A file that is missing or is not what was ingested; the message names the image and the file."""


class TableImages:
    """The images of a database table, whose paths start at ``root``, by row. Picklable.

    They are as features see them: at the size that the protocol resizes to, where it does.
    """

    def __init__(self, table: pa.Table, root: Path) -> None:
        self.table, self.root = table, Path(root)
        self._rows = table.select(PLACE).to_pylist()

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def keys(self) -> list[str]:
        """The image_id of each row."""
        return [row["image_id"] for row in self._rows]

    @cached_property
    def shapes(self) -> NDArray[np.int32]:
        """int32 [n, 2]: height and width of each image."""
        return np.array([shown_size(row) for row in self._rows], np.int32).reshape(-1, 2)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any image or its order."""
        return artifacts.fingerprint({"images": [[row["image_id"], row["sha256"]] for row in self._rows]})

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 [h, w, 3]; errors as :func:`decode_row`."""
        return decode_row(self.root, self._rows[index])


def decode_row(root: Path, row: Mapping[str, object]) -> NDArray[np.uint8]:
    """The image of one row (columns :data:`PLACE`), uint8 H x W x 3. :class:`ChangedImageError` for a file that is not
    the ingested one, :class:`pipeline.images.ImageError` for one that cannot be decoded.
    """
    size = int(str(row["width"])) * int(str(row["height"]))  # ingest has let it pass under its own cap
    image = images.decode(_read_bytes(root, row), name=str(row["image_id"]), max_pixels=size)
    return image if row["short_side"] is None else images.to_short_side(image, int(str(row["short_side"])))


def shown_size(row: Mapping[str, object]) -> tuple[int, int]:
    """Height and width of the image of one row as :func:`decode_row` gives it."""
    height, width = int(str(row["height"])), int(str(row["width"]))
    side = row["short_side"]
    return (height, width) if side is None else images.short_side_size(height, width, int(str(side)))


def _read_bytes(root: Path, row: Mapping[str, object]) -> bytes:
    """The file of one row, or its member of a tar."""
    path, offset, size = Path(root) / str(row["path"]), row["offset"], row["bytes"]
    try:
        with open(path, "rb") as file:
            file.seek(int(offset) if isinstance(offset, int) else 0)
            data = file.read(int(size) if isinstance(size, int) else -1)
    except OSError as error:
        raise ChangedImageError(f"{row['image_id']}: {path} can't be read ({error.strerror})") from error
    if artifacts.sha256_bytes(data) != row["sha256"]:
        again = "dvc does not look into a folder of yours: dvc repro -f -s ingest@NAME"
        raise ChangedImageError(f"{row['image_id']}: {path} has changed since the database was ingested ({again})")
    return data
