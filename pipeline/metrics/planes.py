"""What the full-reference metrics share: planes of an image, the reduction for viewing distance, gradients, similarity.

All are float64 in grey levels (0..255). Borders are the original authors': zeros outside the image but where said.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.images import LUMA

# rows of a matrix are planes; FSIM's and HaarPSI's YIQ, VSI's LMN, MDSI's L and the two chromatic planes of LMN
YIQ = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
LMN = ((0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17))
LHM = ((0.2989, 0.5870, 0.1140), LMN[1], LMN[2])
SCHARR = (3 / 16, 10 / 16, 3 / 16)
PREWITT = (1 / 3, 1 / 3, 1 / 3)
_VIEWED = 256  # pixels: the least side that an image is reduced to


def luma(image: np.ndarray) -> np.ndarray:
    """Y of YIQ, not rounded: uint8 H x W x 3 -> float64 H x W."""
    return cv2.transform(image.astype(np.float64), np.array(YIQ[:1]))


def planes(image: np.ndarray, matrix: tuple[tuple[float, ...], ...], factor: int) -> list[np.ndarray]:
    """The planes of ``matrix`` of an image reduced by ``factor``: uint8 H x W x 3 -> three float64 planes."""
    return list(cv2.split(cv2.transform(reduced(image, factor), np.array(matrix))))


def viewing_factor(image: np.ndarray) -> int:
    """By how much an image is reduced for SSIM, FSIM, VSI and MDSI (Wang's rule): its least side over 256, a half
    rounded up, at least 1.
    """
    return max(1, int(min(image.shape[:2]) / _VIEWED + 0.5))


def reduced(image: np.ndarray, factor: int, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """Means of ``factor`` x ``factor`` pixels around every ``factor``-th one from the first, float64.

    The pixel is the middle of its square, of an even square the one before the middle; beyond the image are zeros
    unless ``border`` (of OpenCV) says otherwise.
    """
    if factor == 1:
        return image.astype(np.float64)
    anchor = factor - 1 - factor // 2
    means = cv2.boxFilter(image, cv2.CV_64F, (factor, factor), anchor=(anchor, anchor), borderType=border)
    return np.ascontiguousarray(means[::factor, ::factor])


def gradients(plane: np.ndarray, smooth: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal and vertical differences of a plane over two pixels, smoothed across by ``smooth``."""
    step, across = np.array((-1.0, 0.0, 1.0)), np.array(smooth)
    x = cv2.sepFilter2D(plane, -1, step, across, borderType=cv2.BORDER_CONSTANT)
    return x, cv2.sepFilter2D(plane, -1, across, step, borderType=cv2.BORDER_CONSTANT)


def gradient(plane: np.ndarray, smooth: tuple[float, ...]) -> np.ndarray:
    """The magnitude of :func:`gradients`."""
    return cv2.magnitude(*gradients(plane, smooth))


def similarity(one: np.ndarray, other: np.ndarray, constant: float) -> np.ndarray:
    """(2 a b + c) / (a^2 + b^2 + c), pixel by pixel: 1 where they are equal."""
    return np.asarray((2 * one * other + constant) / (one * one + other * other + constant))


def weighted_mean(score: np.ndarray, weight: np.ndarray) -> float:
    """The mean of a map, weighted; of no weight at all (two flat images) the plain mean."""
    total = float(weight.sum())
    return float((score * weight).sum()) / total if total > 0 else float(score.mean())
