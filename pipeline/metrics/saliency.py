"""SDSP saliency (Zhang, Gu, Li 2013) with the constants of VSI: band-passed colours, the centre, and warm colours."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from pipeline.metrics.imresize import linear, resized

_SIDE = 256  # it is worked out on 256 x 256 pixels
_OMEGA, _SIGMA_F, _SIGMA_D, _SIGMA_C = 0.021, 1.34, 145.0, 0.001
_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.9642, 1.0, 0.8251)  # D50


def saliency(image: np.ndarray) -> np.ndarray:
    """uint8 H x W x 3 -> float64 H x W, stretched to [0, 1]; 0 everywhere in a flat image."""
    small = [resized(image[..., channel].astype(np.float64), (_SIDE, _SIDE), linear) for channel in range(3)]
    lab = _lab(np.stack(small) / 255)
    band, centre = _priors()
    frequency = np.sqrt((fft.ifft2(fft.fft2(lab) * band).real ** 2).sum(axis=0))
    warm = sum(_stretched(plane) ** 2 for plane in lab[1:])
    product = frequency * centre * (1 - np.exp(-warm / _SIGMA_C**2))
    return _stretched(resized(product, (image.shape[0], image.shape[1]), linear))


def _lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB [3, H, W] in [0, 1] -> CIE Lab with white D50."""
    straight = np.where(rgb <= 0.04045, rgb / 12.92, ((np.maximum(rgb, 0) + 0.055) / 1.055) ** 2.4)
    xyz = np.tensordot(np.array(_XYZ) / np.array(_WHITE)[:, None], straight, axes=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), (903.3 * xyz + 16) / 116)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _stretched(plane: np.ndarray) -> np.ndarray:
    low, high = float(plane.min()), float(plane.max())
    return (plane - low) / (high - low) if high > low else np.zeros_like(plane)


@lru_cache(maxsize=1)
def _priors() -> tuple[np.ndarray, np.ndarray]:
    """The log-Gabor filter in the FFT's order, and the weight of the centre."""
    line = np.arange(_SIDE) - _SIDE // 2
    frequency = fft.ifftshift(line / _SIDE)
    radius = np.hypot(frequency[:, None], frequency[None])
    radius[0, 0] = 1
    band = np.exp(-(np.log(radius / _OMEGA) ** 2) / (2 * _SIGMA_F**2)) * (radius <= 0.5)
    return band, np.exp(-((line[:, None] + 1) ** 2 + (line[None] + 1) ** 2) / _SIGMA_D**2)
