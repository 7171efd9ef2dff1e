"""PSNR on the luma of studio video, as TID2013's authors print it (their values are met to 0.0002 dB)."""

from __future__ import annotations

import numpy as np

from pipeline.metrics.pairs import prepared_pair

LARGEST = 100.0  # dB, of equal images; one grey level in one pixel of 512 x 384 has 101 dB
_STUDIO = (65_481, 128_553, 24_966)  # BT.601's luma of 16..235, in 255,000ths of a level


def psnr(reference: np.ndarray, image: np.ndarray) -> float:
    """PSNR of two uint8 H x W x 3 images of one size, in dB, at most :data:`LARGEST`; higher is better."""
    return compare(*prepared_pair(prepare, reference, image))


def prepare(image: np.ndarray) -> np.ndarray:
    """Luma rounded to whole levels 16..235, a half upwards, without rounding on the way: uint8 H x W x 3 -> int32."""
    red, green, blue = (image[..., channel].astype(np.int32) * _STUDIO[channel] for channel in range(3))
    return np.asarray(16 + (red + green + blue + 127_500) // 255_000)


def compare(reference: np.ndarray, image: np.ndarray) -> float:
    """10 log10(255^2 / mean squared difference) in dB, at most :data:`LARGEST`."""
    error = float(np.mean(np.square(reference - image)))
    return LARGEST if error == 0 else min(LARGEST, float(10 * np.log10(255**2 / error)))
