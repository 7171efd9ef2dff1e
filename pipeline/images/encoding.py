"""From pixels to the bytes of a lossless file."""

from __future__ import annotations

import imagecodecs
import numpy as np

from pipeline.images.arrays import check

CODECS = ("qoi", "png", "webp", "jxl")


def encode(image: np.ndarray, codec: str = "qoi") -> bytes:
    """``image`` (uint8 H x W x 3) as a lossless file: ``qoi``, ``png``, ``webp`` or ``jxl``; else ``ValueError``."""
    check(image)
    pixels = np.ascontiguousarray(image)
    if codec == "qoi":
        return bytes(imagecodecs.qoi_encode(pixels))
    if codec == "png":
        return bytes(imagecodecs.png_encode(pixels, level=1))
    if codec == "webp":
        return bytes(imagecodecs.webp_encode(pixels, level=0, lossless=True))
    if codec == "jxl":
        return bytes(imagecodecs.jpegxl_encode(pixels, effort=1, lossless=True))
    raise ValueError(f"codec: {codec!r} is not one of {', '.join(CODECS)}")
