"""SSIM (Wang, Bovik, Sheikh, Simoncelli 2004) and MS-SSIM (Wang, Simoncelli, Bovik 2003), on luma.

The window is the Gaussian of sigma 1.5 in 11 x 11 pixels, where it lies wholly inside the image. SSIM reduces an image
for viewing distance first, as its authors' code does; MS-SSIM does not: it has its own five scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.metrics.pairs import prepared_pair
from pipeline.metrics.planes import luma, reduced, viewing_factor

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM's scales, the finest first (2003, section 3.2)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SIDE = 11
_WINDOW = cv2.getGaussianKernel(_SIDE, 1.5, cv2.CV_64F)


@dataclass(frozen=True)
class Local:
    """A plane with the mean and the variance of every window: float64 H x W, and two of (H - 10) x (W - 10)."""

    plane: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def ssim(reference: np.ndarray, image: np.ndarray) -> float:
    """SSIM of two uint8 H x W x 3 images of one size, at most 1 (equal); NaN where the window fits nowhere."""
    return compare(*prepared_pair(prepare, reference, image))


def ms_ssim(reference: np.ndarray, image: np.ndarray) -> float:
    """MS-SSIM of two uint8 H x W x 3 images of one size, from 0 to 1 (equal); NaN for sides below 161 pixels."""
    return compare_scales(*prepared_pair(prepare_scales, reference, image))


def prepare(image: np.ndarray) -> Local | None:
    """What SSIM needs of one uint8 H x W x 3 image; None if the window does not fit into it."""
    return _local(reduced(luma(image), viewing_factor(image), cv2.BORDER_REFLECT))


def compare(reference: Local | None, image: Local | None) -> float:
    """SSIM, 1 for equal images; NaN where the window does not fit."""
    if reference is None or image is None:
        return float("nan")
    luminance, contrast = _maps(reference, image)
    return float(np.mean(luminance * contrast))


def prepare_scales(image: np.ndarray) -> tuple[Local | None, ...]:
    """What MS-SSIM needs of one image: five scales, each half the last, None where the window does not fit."""
    plane, scales = luma(image), []
    for _ in WEIGHTS:
        scales.append(_local(plane))
        plane = reduced(plane, 2, cv2.BORDER_REFLECT)
    return tuple(scales)


def compare_scales(reference: tuple[Local | None, ...], image: tuple[Local | None, ...]) -> float:
    """MS-SSIM, 1 for equal images; NaN for images below 161 pixels, whose coarsest scale is smaller than the window.

    A negative mean of a scale (an inverted image) counts as 0: its power would not be real.
    """
    value = 1.0
    for scale, (one, other) in enumerate(zip(reference, image, strict=True)):
        if one is None or other is None:
            return float("nan")
        luminance, contrast = _maps(one, other)
        similar = luminance * contrast if scale == len(WEIGHTS) - 1 else contrast
        value *= max(0.0, float(np.mean(similar))) ** WEIGHTS[scale]
    return value


def _local(plane: np.ndarray) -> Local | None:
    if min(plane.shape) < _SIDE:
        return None
    mean = _windows(plane)
    return Local(plane, mean, _windows(plane * plane) - mean * mean)


def _maps(one: Local, other: Local) -> tuple[np.ndarray, np.ndarray]:
    """The luminance term, and the contrast and structure terms together (2004, eq. 6 and 13)."""
    product = one.mean * other.mean
    covariance = _windows(one.plane * other.plane) - product
    luminance = (2 * product + _C1) / (one.mean**2 + other.mean**2 + _C1)
    return luminance, (2 * covariance + _C2) / (one.variance + other.variance + _C2)


def _windows(plane: np.ndarray) -> np.ndarray:
    edge = _SIDE // 2
    return cv2.sepFilter2D(plane, -1, _WINDOW, _WINDOW)[edge : plane.shape[0] - edge, edge : plane.shape[1] - edge]
