"""Images that are stored turned or mirrored, made upright (EXIF 2.32, tag 274; JPEG XL counts the same way)."""

from __future__ import annotations

import numpy as np

UPRIGHT = 1
SIDEWAYS = (5, 6, 7, 8)  # height and width change places


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """``pixels`` (H x W x channels) as they are meant to be seen."""
    if orientation in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
