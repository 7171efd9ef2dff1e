"""The form of images between parts, and the error for images that are refused."""

from __future__ import annotations

import numpy as np

from pipeline import Refusal

LUMA = (0.299, 0.587, 0.114)  # weights of R, G and B (ITU-R BT.601)


class ImageError(Refusal, ValueError):
    """An image that is refused; the message names it and says why.

    ``reason`` is one of broken, format, animated, colour mode, too large, profile, transparent.
    """

    def __init__(self, message: str, reason: str = "broken") -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return ImageError, (str(self), self.reason)  # from a worker to the run


def luma(image: np.ndarray) -> np.ndarray:
    """Luma 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) of a uint8 H x W x 3 image: float32 H x W in 0..255."""
    return np.asarray(image.astype(np.float32) @ np.array(LUMA, np.float32))


def check(image: np.ndarray, name: str = "image") -> None:
    """Raise :class:`ImageError` unless ``image`` is a non-empty uint8 array of shape H x W x 3."""
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{name}: expected a numpy array, got {type(image).__name__}")
    if image.dtype != np.uint8:
        raise ImageError(f"{name}: expected dtype uint8, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        shape = " x ".join(map(str, image.shape)) or "a scalar"
        raise ImageError(f"{name}: expected shape H x W x 3 (RGB), got {shape}")
