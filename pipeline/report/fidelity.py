"""PSNR and SSIM of an image against its pristine version: the two figures under each picture of a contact sheet."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pipeline.images import ImageError, check

_WINDOW, _SIGMA = 11, 1.5  # Wang et al. 2004
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(reference: np.ndarray, image: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all three channels, peak 255; infinity for equal images.

    Both uint8 H x W x 3 of one shape; :class:`ImageError` otherwise.
    """
    _check_pair(reference, image)
    error = float(np.mean((reference.astype(np.float64) - image) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(reference: np.ndarray, image: np.ndarray) -> float:
    """Structural similarity of the lumas (Wang et al. 2004), 1 for equal images; arguments as for :func:`psnr`.

    Gaussian window of 11 x 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03, the mean over all places where the window fits
    (over the whole image where it fits nowhere).
    """
    _check_pair(reference, image)
    x, y = _luma(reference), _luma(image)
    mean_x, mean_y = _blur(x), _blur(y)
    spread_x, spread_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    together = _blur(x * y) - mean_x * mean_y
    local = (2 * mean_x * mean_y + _C1) * (2 * together + _C2)
    local /= (mean_x**2 + mean_y**2 + _C1) * (spread_x + spread_y + _C2)
    edge = _WINDOW // 2
    inner = local[edge:-edge, edge:-edge]
    return float((inner if inner.size else local).mean())


def _luma(image: np.ndarray) -> np.ndarray:
    return np.asarray(image @ np.array([0.299, 0.587, 0.114]))


def _blur(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT)


def _check_pair(reference: np.ndarray, image: np.ndarray) -> None:
    check(reference, "reference")
    check(image)
    if reference.shape != image.shape:
        raise ImageError(f"image: shape {image.shape} differs from the reference's {reference.shape}")
