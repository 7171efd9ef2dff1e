"""A source image and the data that several distortions share, each computed once and on demand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import cv2
import numpy as np

from pipeline import Refusal
from pipeline.distortions.blur_kernels import gaussian_taps
from pipeline.distortions.colorspace import linear_light, rgb_to_lab
from pipeline.distortions.kernels import blur_rows, histogram
from pipeline.distortions.normalise import look_up, round_bytes
from pipeline.distortions.types import Bytes, Floats

Made = TypeVar("Made")

SMALLEST = 64
"""Least height and width: type 20 needs 49, six JPEG 2000 resolutions and the class sizes in pixels make sense from
here.
"""

LARGEST = 8192
"""Greatest height and width."""


class DistortionError(Refusal, ValueError):
    """An image that the bank refuses, or a distortion that failed; the message says which and why."""


def checked(image: np.ndarray) -> Bytes:
    """``image`` as writable C-contiguous uint8 (H, W, 3), copied only where it must be; else ``DistortionError``."""
    if not isinstance(image, np.ndarray):
        raise DistortionError(f"image: expected a numpy array, got {type(image).__name__}")
    if image.dtype != np.uint8:
        raise DistortionError(f"image: expected dtype uint8, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise DistortionError(f"image: expected shape (height, width, 3) in RGB, got {image.shape}")
    if min(image.shape[:2]) < SMALLEST or max(image.shape[:2]) > LARGEST:
        height, width = image.shape[:2]
        raise DistortionError(f"image: height and width must be {SMALLEST}..{LARGEST} pixels, got {height} x {width}")
    if image.flags.c_contiguous and image.flags.writeable:
        return image
    return np.array(image, order="C")


class Prepared:
    """The data that the distortions of one image share. The image (uint8, H x W x 3, RGB) is never written to.

    A byte x has the stretched value (x - ``first``) / ``span``; for a constant image these are 0 and 255.
    """

    def __init__(self, image: np.ndarray) -> None:
        self.image: Bytes = checked(image)
        low, high = int(self.image.min()), int(self.image.max())
        self._kept: dict[str, Any] = {}
        self.first, self.span = (low, high - low) if high > low else (0, 255)

    def keep(self, name: str, make: Callable[[], Made]) -> Made:
        """The result of ``make``, which is called the first time that ``name`` is asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        made: Made = self._kept[name]
        return made

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        height, width, channels = self.image.shape
        return height, width, channels

    @property
    def rows(self) -> Bytes:
        """The image as rows of interleaved samples, (H, 3 W): a view."""
        return self.image.reshape(self.image.shape[0], -1)

    @property
    def unit(self) -> Floats:
        """The stretched value of each byte, float64[256]; outside the image's range it leaves [0, 1]."""
        return (np.arange(256.0) - self.first) / self.span

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each byte occurs over all samples, int64[256]."""
        return np.asarray(histogram(self.image.reshape(-1)))

    @property
    def present(self) -> np.ndarray:
        """Which bytes occur, bool[256]."""
        return self.counts > 0

    @cached_property
    def pristine(self) -> Bytes:
        """The stretched source in bytes (H, W, 3): label 0. The image itself where it already spans 0..255."""
        if (self.first, self.span) == (0, 255):
            return self.image
        return look_up(self.image, round_bytes(self.unit))

    @cached_property
    def planes(self) -> Bytes:
        """The source bytes as planes (3, H, W)."""
        planes = np.empty((3, *self.shape[:2]), np.uint8)
        cv2.split(self.image, [planes[0], planes[1], planes[2]])
        return planes

    @cached_property
    def lab(self) -> Floats:
        """Lab planes (3, H, W) float32 of the stretched source."""
        lab = np.empty((3, *self.shape[:2]), np.float32)
        rgb_to_lab(self.planes, linear_light(np.clip(self.unit, 0.0, 1.0)), lab)
        return lab

    @cached_property
    def smooth_light(self) -> Floats:
        """L blurred with sigma 3 (13 taps), (H, W) float32: what sharpening subtracts."""
        out = np.empty(self.shape[:2], np.float32)
        blur_rows(self.lab[0], gaussian_taps(3.0).astype(np.float32), 1, out)
        return out
