"""Types 11 to 14: white noise in RGB and in YCbCr, impulse and multiplicative noise, each clipped to [0, 1].

Draws are a key (uint64[2]) from which the compiled loops make the noise as they go, or an array (H, W, 3) of the
numbers themselves: standard normals for types 11 and 12, uniforms in [0, 1) for types 13 and 14.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from pipeline.distortions.kernels import compiled
from pipeline.distortions.normalise import stretch_again, stretch_clipped
from pipeline.distortions.philox import fill
from pipeline.distortions.prepared import DistortionError, Prepared
from pipeline.distortions.types import Bytes, Floats

TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255.0
"""BT.601 studio swing for RGB in [0, 1]: plus 16, 128, 128, all over 255."""

_T = tuple(np.float32(v) for v in TO_YCBCR.ravel())
_B = tuple(np.float32(v) for v in np.linalg.inv(TO_YCBCR).ravel())
_Y0, _C0 = np.float32(16.0 / 255.0), np.float32(128.0 / 255.0)
LANES = 1024
"""Samples of one pass through the L1; least and greatest value are kept per lane, or the loop would not vectorise."""

BLOCK = 64 * LANES
"""Samples whose noise is made at a time: 256 kB of float32, which stays in the L2, whatever the image's size."""


def draw_key(generator: np.random.Generator) -> np.ndarray:
    """Two 32-bit words as uint64[2]: the key of a counter-based field."""
    return generator.integers(0, 2**32, 2, dtype=np.uint64)


def checked_draws(draws: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A key (uint64[2]) or numbers of exactly ``shape``; else ``DistortionError``."""
    given: np.ndarray = np.asarray(draws)
    if given.shape != ((2,) if given.dtype == np.uint64 else shape):
        raise DistortionError(f"draws: expected a key uint64[2] or numbers {shape}, got {given.dtype} {given.shape}")
    return given


def key_record(draws: Any) -> dict[str, Any]:
    """What a record says of a key, or of numbers given in its place."""
    draws = np.asarray(draws)
    return {"key": [int(word) for word in draws]} if draws.dtype == np.uint64 else {"draws": "given"}


def numbers_of(draws: np.ndarray, field: int, start: int, normal: bool, out: Floats) -> None:
    """Fill flat ``out`` with the numbers ``start``, ... of the draws: of a key's field, or of a flat array of them."""
    if draws.dtype == np.uint64:
        fill(draws, field, start, normal, out)
    else:
        out[:] = draws[start : start + out.size]


@compiled
def _add_noise(
    source: Any,
    noise: Any,
    normal: bool,
    amount: Any,
    first: Any,
    unit: Any,
    low: Any,
    scale: Any,
    out: Any,
    ends: Any,
) -> None:
    """Bytes of clip(a + amount n) (``normal``) or clip(a + a amount (u - 1/2)), a = (source - first) unit.

    ``ends`` (float32[2, LANES]) keeps the least and greatest clipped values; ``noise`` is used up.
    """
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    least, greatest = ends[0], ends[1]
    for start in range(0, source.size, LANES):
        s, count = np.uint64(start), np.uint64(min(LANES, source.size - start))
        values = noise[start : start + LANES]
        if normal:
            for i in range(count):
                values[i] = (np.float32(source[s + i]) - first) * unit + amount * values[i]
        else:
            for i in range(count):
                value = (np.float32(source[s + i]) - first) * unit
                values[i] = value + value * (amount * (values[i] - half))
        for i in range(count):
            value = values[i] if values[i] > zero else zero
            value = value if value < one else one
            least[i] = value if value < least[i] else least[i]
            greatest[i] = value if value > greatest[i] else greatest[i]
            values[i] = value
        for i in range(count):
            out[s + i] = np.uint8(np.int32((values[i] - low) * scale + half))


def _ends() -> np.ndarray:
    ends = np.empty((2, LANES), np.float32)
    ends[0], ends[1] = 2.0, -1.0
    return ends


def _noisy(prepared: Prepared, draws: np.ndarray, normal: bool, amount: float) -> Bytes:
    draws = checked_draws(draws, prepared.shape)
    out = np.empty(prepared.shape, np.uint8)
    source, target = prepared.image.reshape(-1), out.reshape(-1)
    flat = draws if draws.dtype == np.uint64 else draws.reshape(-1)
    first, unit, factor = np.float32(prepared.first), np.float32(1.0 / prepared.span), np.float32(amount)
    noise = np.empty(min(BLOCK, source.size), np.float32)

    def make(low: np.float32, scale: np.float32) -> tuple[float, float]:
        ends = _ends()
        for start in range(0, source.size, BLOCK):
            part = slice(start, start + BLOCK)
            some = noise[: source[part].size]
            numbers_of(flat, 0, start, normal, some)
            _add_noise(source[part], some, normal, factor, first, unit, low, scale, target[part], ends)
        return float(ends[0].min()), float(ends[1].max())

    stretch_clipped(make)
    return out


def white_noise(prepared: Prepared, variance: float, draws: np.ndarray) -> Bytes:
    """Type 11: plus sqrt(variance) times a standard normal per sample."""
    return _noisy(prepared, draws, True, math.sqrt(variance))


def multiplicative_noise(prepared: Prepared, variance: float, draws: np.ndarray) -> Bytes:
    """Type 14: times 1 + n, n uniform with mean 0 and this variance."""
    return _noisy(prepared, draws, False, math.sqrt(12.0 * variance))


@compiled
def _add_color_noise(
    planes: Any, start: int, noise: Any, amount: Any, first: Any, unit: Any, low: Any, scale: Any, out: Any, ends: Any
) -> None:
    """As ``_add_noise`` for the pixels from ``start`` of planes (3, n), with ``noise`` (3, m) on Y, Cb and Cr, clipped
    there as well.
    """
    size, block = planes.shape[1], noise.shape[1]
    source, target, flat = planes.reshape(-1), out.reshape(-1), noise.reshape(-1)
    least, greatest = ends[0], ends[1]
    zero, one = np.float32(0.0), np.float32(1.0)
    for at in range(0, block, LANES):
        count = np.uint64(min(LANES, block - at))
        s, n = np.uint64(start + at), np.uint64(at)
        s1, s2 = s + np.uint64(size), s + np.uint64(2 * size)
        n1, n2 = n + np.uint64(block), n + np.uint64(2 * block)
        for i in range(count):
            r = (np.float32(source[s + i]) - first) * unit
            g = (np.float32(source[s1 + i]) - first) * unit
            b = (np.float32(source[s2 + i]) - first) * unit
            y = _T[0] * r + _T[1] * g + _T[2] * b + _Y0 + amount * flat[n + i]
            cb = _T[3] * r + _T[4] * g + _T[5] * b + _C0 + amount * flat[n1 + i]
            cr = _T[6] * r + _T[7] * g + _T[8] * b + _C0 + amount * flat[n2 + i]
            y = min(max(y, zero), one) - _Y0
            cb = min(max(cb, zero), one) - _C0
            cr = min(max(cr, zero), one) - _C0
            flat[n + i] = min(max(_B[0] * y + _B[1] * cb + _B[2] * cr, zero), one)
            flat[n1 + i] = min(max(_B[3] * y + _B[4] * cb + _B[5] * cr, zero), one)
            flat[n2 + i] = min(max(_B[6] * y + _B[7] * cb + _B[8] * cr, zero), one)
        for channel in range(3):
            c, t = np.uint64(channel * block + at), np.uint64(channel * size + start + at)
            for i in range(count):
                least[i] = min(least[i], flat[c + i])
                greatest[i] = max(greatest[i], flat[c + i])
            for i in range(count):
                target[t + i] = np.uint8(np.int32((flat[c + i] - low) * scale + np.float32(0.5)))


def white_noise_color_component(prepared: Prepared, variance: float, draws: np.ndarray) -> Bytes:
    """Type 12: normal noise of this variance on each of Y, Cb, Cr (BT.601 studio swing), clipped there and in RGB."""
    draws = checked_draws(draws, prepared.shape)
    keyed = draws.dtype == np.uint64
    given = [draws] * 3 if keyed else [np.ascontiguousarray(draws[..., c]).reshape(-1) for c in range(3)]
    planes = prepared.planes.reshape(3, -1)
    out = np.empty(prepared.planes.shape, np.uint8)
    first, unit, amount = np.float32(prepared.first), np.float32(1.0 / prepared.span), np.float32(math.sqrt(variance))

    def make(low: np.float32, scale: np.float32) -> tuple[float, float]:
        ends = _ends()
        for start in range(0, planes.shape[1], BLOCK):
            noise = np.empty((3, min(BLOCK, planes.shape[1] - start)), np.float32)
            for field in range(3):
                numbers_of(given[field], field, start, True, noise[field])
            _add_color_noise(planes, start, noise, amount, first, unit, low, scale, out, ends)
        return float(ends[0].min()), float(ends[1].max())

    stretch_clipped(make)
    return np.asarray(cv2.merge([out[0], out[1], out[2]]))


def draw_hits(
    generator: np.random.Generator, shape: tuple[int, int, int], density: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which samples of the flat image are hit (int64, ascending) and which of them become white (bool).

    Gaps between hits are geometric, so only the hits are drawn; half of them are white.
    """
    size = math.prod(shape)
    position, parts = -1, []
    while position < size:
        count = int((size - position) * density * 1.05) + 32
        gaps = np.cumsum(generator.geometric(density, count)) + position
        parts.append(gaps)
        position = int(gaps[-1])
    hits = np.concatenate(parts)
    hits = hits[: int(np.searchsorted(hits, size))]
    return hits, generator.random(hits.size) < 0.5


def hits_of(prepared: Prepared, density: float, draws: Any) -> tuple[np.ndarray, np.ndarray]:
    """Hits and their colours as ``draw_hits`` gives them, also from uniforms (H, W, 3)."""
    if isinstance(draws, tuple):
        hits, white = draws
        return hits, white
    flat = checked_draws(draws, prepared.shape).reshape(-1)
    hits = np.flatnonzero(flat < density)
    return hits, flat[hits] >= density / 2


def impulse_noise(prepared: Prepared, density: float, draws: Any) -> Bytes:
    """Type 13: a share ``density`` of the samples becomes 0 or 1. ``draws`` from ``draw_hits``, or uniforms (H, W,
    3).
    """
    hits, white = hits_of(prepared, density, draws)
    out = prepared.image.copy()
    values = np.array([prepared.first, prepared.first + prepared.span], np.uint8)
    out.reshape(-1)[hits] = values[white.astype(np.intp)]
    return stretch_again(out, prepared.unit)
