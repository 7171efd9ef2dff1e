"""The global stretch before and after every distortion (docs/distortions.md), and the rounding to bytes.

The stretch maps the least value over all pixels and channels to 0 and the greatest to 1. A constant array has no range
and stays as it is, in units of 1 = 255.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.distortions.kernels import quantise
from pipeline.distortions.types import Bytes, Floats

FLAT = 1e-3
"""A range in [0, 1] up to which a clipped result is flat: a quarter of a grey level. A flat grey image through Lab
comes back with channels that differ by 1e-5 times the factor of a and b.
"""


def round_bytes(unit: Floats) -> Bytes:
    """Values in [0, 1] to bytes, half upwards; outside is clipped."""
    return np.asarray(np.floor(np.clip(unit, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


def table_bytes(values: Floats, present: np.ndarray) -> Bytes:
    """Bytes of a table of unit values, stretched over the entries that are ``present``."""
    used = values[present]
    low, high = used.min(), used.max()
    return round_bytes((values - low) / (high - low) if high > low else values)


def look_up(image: Bytes, table: Bytes) -> Bytes:
    """``table[image]`` for bytes."""
    out: Bytes = np.empty_like(image)
    cv2.LUT(image, table, dst=out)
    return out


def stretch_bytes(image: Bytes) -> Bytes:
    """The stretch of a byte image; the same array if it already spans 0..255."""
    low, high = int(image.min()), int(image.max())
    if low == high or (low == 0 and high == 255):
        return image
    return look_up(image, round_bytes((np.arange(256.0) - low) / (high - low)))


def stretch_again(image: Bytes, unit: Floats) -> Bytes:
    """The second stretch of an image that holds the source's bytes, ``unit`` (float64[256]) their stretched values.

    In doubles as the original, which stretches twice; the same array if it already spans 0..255.
    """
    low, high = int(image.min()), int(image.max())
    if low == 0 and high == 255:
        return image
    present = np.zeros(256, np.bool_)
    present[[low, high]] = True
    return look_up(image, table_bytes(unit, present))


def least_and_greatest(values: Floats) -> tuple[float, float]:
    """The range of an array, not-a-number left out."""
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


def is_flat(low: float, high: float, dtype: np.dtype, *, steps: int = 8) -> bool:
    """Whether a range is at most ``steps`` rounding errors: a blurred flat image must not become black and white."""
    return not high - low > steps * float(np.finfo(dtype).eps) * max(abs(low), abs(high))


def stretch_values(values: Floats, first: float, span: float, shape: tuple[int, ...]) -> Bytes:
    """The stretch of values that are ``first + span * unit`` (for instance raw bytes), to bytes of ``shape``.

    Not-a-number is left out of the range and becomes 0.
    """
    low, high = least_and_greatest(values)
    if is_flat(low, high, values.dtype):
        return round_bytes(np.nan_to_num((values - first) / span)).reshape(shape)
    out = np.empty(shape, np.uint8)
    quantise(values.reshape(-1), low, 255.0 / (high - low), out.reshape(-1))
    return out


def stretch_clipped(make: Callable[[np.float32, np.float32], tuple[float, float]]) -> None:
    """Run ``make(low, scale)``, which writes bytes of values in [0, 1] and returns their range.

    If the range is not all of [0, 1], run it again with that range. Results that were clipped to [0, 1] nearly always
    have the full range, so it usually runs once.
    """
    low, high = make(np.float32(0.0), np.float32(255.0))
    if high - low > FLAT and (low > 0.0 or high < 1.0):
        make(np.float32(low), np.float32(255.0 / (high - low)))
