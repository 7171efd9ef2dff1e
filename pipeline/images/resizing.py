"""Images at another shorter side, as a database's protocol asks for them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.images.arrays import check


def short_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after the shorter of the two becomes ``side``; the other is rounded, to ``side`` at least."""
    if height <= width:
        return side, max(side, round(width * side / height))
    return max(side, round(height * side / width)), side


def to_short_side(image: np.ndarray, side: int) -> np.ndarray:
    """``image`` (uint8 H x W x 3) at :func:`short_side_size`: bicubic, averaging over the source pixels when reducing
    (Pillow's), as SPAQ's protocol of a shorter side of 512 is used. The image itself where the size is right.
    """
    check(image)
    height, width = short_side_size(image.shape[0], image.shape[1], side)
    if (height, width) == image.shape[:2]:
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
