"""Natural scene statistics (Mittal, Soundararajan, Bovik 2013): 36 numbers of a patch, from locally normalised luma at
two scales.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from scipy.special import gamma

from pipeline.metrics.imresize import cubic, resized

DIM = 36
_WINDOW = cv2.getGaussianKernel(7, 7 / 6, cv2.CV_64F)
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (-1, 1))  # across, down, and the two diagonals


def patch_statistics(luma: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of every whole ``side`` x ``side`` patch (``side`` even), and its mean local deviation.

    luma: float64 H x W in grey levels. float64 [patches, 36] and [patches]; a number is NaN where a patch has no
    spread. No patch fits into an image smaller than ``side``: [0, 36].
    """
    rows, columns = luma.shape[0] // side, luma.shape[1] // side
    if not rows or not columns:
        return np.empty((0, DIM)), np.empty(0)
    plane = luma[: rows * side, : columns * side]
    numbers, sharpness = [], np.empty(0)
    for scale in (1, 2):
        normal, deviation = normalised(plane)
        of_patches = [_numbers(patch) for patch in _patches(normal, side // scale)]
        numbers.append(np.array(of_patches))
        if scale == 1:
            sharpness = np.array([patch.mean() for patch in _patches(deviation, side)])
            plane = resized(plane, (plane.shape[0] // 2, plane.shape[1] // 2), cubic)
    return np.concatenate(numbers, axis=1), sharpness


def normalised(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(plane - local mean) / (local deviation + 1), and the local deviation, in a Gaussian 7 x 7 window."""
    mean = _windows(plane)
    deviation = np.sqrt(np.abs(_windows(plane * plane) - mean * mean))
    return (plane - mean) / (deviation + 1), deviation


def asymmetric_gaussian(values: np.ndarray) -> tuple[float, float, float]:
    """Shape, left and right scale of the asymmetric generalised Gaussian with the moments of ``values``.

    The shape is the nearest of 0.2, 0.201, ... 10; all are NaN where one side has no value.
    """
    left, right = values[values < 0], values[values > 0]
    if not len(left) or not len(right):
        return float("nan"), float("nan"), float("nan")
    low, high = float(np.sqrt(np.mean(left**2))), float(np.sqrt(np.mean(right**2)))
    ratio = low / high
    moments = float(np.mean(np.abs(values)) ** 2 / np.mean(values**2))
    moments *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, of_shapes = _shapes()
    shape = float(shapes[np.argmin(np.abs(of_shapes - moments))])
    scale = float(np.sqrt(gamma(1 / shape) / gamma(3 / shape)))
    return shape, low * scale, high * scale


def _numbers(patch: np.ndarray) -> list[float]:
    """18 numbers: the shape and mean scale of the values, then of their products with four neighbours the shape, the
    mean and both scales.
    """
    shape, left, right = asymmetric_gaussian(patch)
    numbers = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        shape, left, right = asymmetric_gaussian(patch * np.roll(patch, shift, axis=(0, 1)))
        numbers += [shape, (right - left) * float(gamma(2 / shape) / gamma(1 / shape)), left, right]
    return numbers


def _patches(plane: np.ndarray, side: int) -> np.ndarray:
    """[patches, side, side], row by row."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    cut = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.transpose(0, 2, 1, 3).reshape(-1, side, side)


def _windows(plane: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(plane, -1, _WINDOW, _WINDOW, borderType=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=1)
def _shapes() -> tuple[np.ndarray, np.ndarray]:
    shapes = np.arange(200, 10001) / 1000
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
