"""Type 15, stand-in: strong white noise, then a fast transform-domain denoiser.

The original denoises each of R, G and B with MATLAB's pretrained grey DnCNN, which is closed. The stand-in thresholds
the 8 x 8 cosine transform of overlapping blocks (step 4) and averages. A user's own DnCNN (dncnn.py) can take its
place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from pipeline.distortions.kernels import compiled, inlined, part
from pipeline.distortions.noise import checked_draws
from pipeline.distortions.normalise import stretch_values
from pipeline.distortions.philox import fill
from pipeline.distortions.prepared import DistortionError, Prepared
from pipeline.distortions.types import Bytes, Floats

Denoiser = Callable[[Floats], Floats]
"""Takes a plane (H, W) float32 in [0, 1], gives its denoised self."""

THRESHOLD = 2.7
"""Coefficients below this many standard deviations of the noise are dropped."""

_BASIS = np.array(
    [
        [math.cos(math.pi * (2 * x + 1) * u / 16) * math.sqrt((1 if u == 0 else 2) / 8) for x in range(8)]
        for u in range(8)
    ]
)
_E = tuple(np.float32(v) for v in _BASIS[0::2, :4].ravel())
_O = tuple(np.float32(v) for v in _BASIS[1::2, :4].ravel())
_3, _4, _5, _6, _7 = (np.uint64(k) for k in range(3, 8))


@part
def _forward(source: Any, s: Any, s4: Any, ds: Any, target: Any, dt: Any, count: Any) -> None:
    """Eight-point cosine transforms: samples at s + k ds and s4 + (k - 4) ds of ``source`` to rows k dt of
    ``target``.
    """
    for x in range(count):
        i, j = s + x, s4 + x
        v0, v1, v2, v3 = source[i], source[i + ds], source[i + ds + ds], source[i + ds + ds + ds]
        v4, v5, v6, v7 = source[j], source[j + ds], source[j + ds + ds], source[j + ds + ds + ds]
        a0, a1, a2, a3 = v0 + v7, v1 + v6, v2 + v5, v3 + v4
        d0, d1, d2, d3 = v0 - v7, v1 - v6, v2 - v5, v3 - v4
        target[x] = _E[0] * ((a0 + a3) + (a1 + a2))
        target[x + dt + dt] = _E[4] * (a0 - a3) + _E[5] * (a1 - a2)
        target[x + _4 * dt] = _E[8] * ((a0 + a3) - (a1 + a2))
        target[x + _6 * dt] = _E[12] * (a0 - a3) + _E[13] * (a1 - a2)
        target[x + dt] = _O[0] * d0 + _O[1] * d1 + _O[2] * d2 + _O[3] * d3
        target[x + _3 * dt] = _O[4] * d0 + _O[5] * d1 + _O[6] * d2 + _O[7] * d3
        target[x + _5 * dt] = _O[8] * d0 + _O[9] * d1 + _O[10] * d2 + _O[11] * d3
        target[x + _7 * dt] = _O[12] * d0 + _O[13] * d1 + _O[14] * d2 + _O[15] * d3


@part
def _inverse(source: Any, ds: Any, target: Any, dt: Any, count: Any) -> None:
    """The inverse of ``_forward``: rows k ds of ``source`` to rows k dt of ``target``."""
    for x in range(count):
        c0, c2, c4, c6 = source[x], source[x + ds + ds], source[x + _4 * ds], source[x + _6 * ds]
        c1, c3, c5, c7 = source[x + ds], source[x + _3 * ds], source[x + _5 * ds], source[x + _7 * ds]
        p, m = _E[0] * c0 + _E[8] * c4, _E[0] * c0 - _E[8] * c4
        q, r = _E[4] * c2 + _E[12] * c6, _E[5] * c2 + _E[13] * c6
        e0, e1, e2, e3 = p + q, m + r, m - r, p - q
        o0 = _O[0] * c1 + _O[4] * c3 + _O[8] * c5 + _O[12] * c7
        o1 = _O[1] * c1 + _O[5] * c3 + _O[9] * c5 + _O[13] * c7
        o2 = _O[2] * c1 + _O[6] * c3 + _O[10] * c5 + _O[14] * c7
        o3 = _O[3] * c1 + _O[7] * c3 + _O[11] * c5 + _O[15] * c7
        target[x] = e0 + o0
        target[x + dt] = e1 + o1
        target[x + dt + dt] = e2 + o2
        target[x + _3 * dt] = e3 + o3
        target[x + _4 * dt] = e3 - o3
        target[x + _5 * dt] = e2 - o2
        target[x + _6 * dt] = e1 - o1
        target[x + _7 * dt] = e0 - o0


@part
def _load_row(plane: Any, y: int, phases: Any, start: int, n: int) -> None:
    """Row ``y`` of a plane, padded by 4 and more at both ends, into four rows of every fourth sample each."""
    height, width = plane.shape
    line = plane[min(max(y, 0), height - 1)]
    for p in range(4):
        base = start + p * n
        for j in range(n):
            phases[base + j] = line[min(max(4 * j + p - 4, 0), width - 1)]


@inlined
def _across(upright: Any, u: int, n: int, limit: Any, coefficients: Any, blocks: Any, sums: Any) -> None:
    """Transform row ``u`` of the upright transforms along its blocks, threshold, transform back, add the overlaps."""
    row, u_n = 4 * n, np.uint64(n)
    s = np.uint64(u * row)
    _forward(upright, s, s + np.uint64(1), u_n, coefficients, u_n, u_n - np.uint64(1))
    mean = coefficients[:n].copy()
    for i in range(8 * n):
        value = coefficients[i]
        coefficients[i] = value if abs(value) >= limit else np.float32(0.0)
    if u == 0:
        coefficients[:n] = mean
    _inverse(coefficients, u_n, blocks, u_n, u_n - np.uint64(1))
    for p in range(4):
        a, b, base = p * n, (p + 4) * n, u * row + p * n
        sums[base] = blocks[a]
        for j in range(1, n - 1):
            sums[base + j] = blocks[a + j] + blocks[b + j - 1]
        sums[base + n - 1] = blocks[b + n - 2]


@compiled
def threshold_blocks(plane: Any, limit: Any, out: Any) -> None:
    """Hard threshold of all 8 x 8 cosine coefficients but the mean at ``limit``, blocks 4 apart, averaged.

    A row is held as four rows of every fourth sample, so that all blocks of a band are transformed side by side.
    """
    height, width = plane.shape
    n = (width + 3) // 4 + 2
    row = 4 * n
    u_row, quarter = np.uint64(row), np.float32(0.25)
    band, upright = np.zeros(8 * row, np.float32), np.zeros(8 * row, np.float32)
    sums, total = np.zeros(8 * row, np.float32), np.zeros(8 * row, np.float32)
    coefficients, blocks = np.zeros(8 * n, np.float32), np.zeros(8 * n, np.float32)
    for k in range(4):
        _load_row(plane, k - 4, band, (4 + k) * row, n)
    for top in range(-4, height, 4):
        band[: 4 * row] = band[4 * row :]
        for k in range(4):
            _load_row(plane, top + 4 + k, band, (4 + k) * row, n)
        _forward(band, np.uint64(0), _4 * u_row, u_row, upright, u_row, u_row)
        for u in range(8):
            _across(upright, u, n, limit, coefficients, blocks, sums)
        _inverse(sums, u_row, upright, u_row, u_row)
        for i in range(8 * row):
            total[i] += upright[i]
        for k in range(4):
            if 0 <= top + k < height:
                line = out[top + k]
                for p in range(4):
                    base = k * row + p * n + 1
                    for j in range((width - p + 3) // 4):
                        line[4 * j + p] = quarter * total[base + j]
        total[: 4 * row] = total[4 * row :]
        total[4 * row :] = 0


@compiled
def noisy_plane(plane: Any, numbers: Any, amount: Any, first: Any, unit: Any, out: Any) -> None:
    """``out = clip((plane - first) unit + amount numbers)`` over flat arrays."""
    for i in range(plane.size):
        value = (np.float32(plane[i]) - first) * unit + amount * numbers[i]
        value = value if value > np.float32(0.0) else np.float32(0.0)
        out[i] = value if value < np.float32(1.0) else np.float32(1.0)


def stand_in(variance: float) -> Denoiser:
    """The block transform denoiser for noise of ``variance``."""
    limit = np.float32(THRESHOLD * math.sqrt(variance))

    def denoise(plane: Floats) -> Floats:
        out = np.empty_like(plane)
        threshold_blocks(plane, limit, out)
        return out

    return denoise


def _checked_plane(plane: Any, shape: tuple[int, int]) -> Floats:
    given: Floats = np.asarray(plane)
    if given.shape != shape:
        raise DistortionError(f"denoise: the denoiser gave a plane {given.shape} for one of {shape}")
    if not np.isfinite(given).all():
        raise DistortionError("denoise: the denoiser gave values that are not finite")
    return given


def denoised(prepared: Prepared, variance: float, draws: np.ndarray, denoiser: Denoiser | None = None) -> Bytes:
    """Type 15: white noise of ``variance``, clipped, then each plane through ``denoiser`` (None: the stand-in).

    ``draws``: a key (uint64[2]) or standard normals (H, W, 3). ``DistortionError`` where the denoiser's plane has
    another shape or is not finite.
    """
    draws = checked_draws(draws, prepared.shape)
    work = denoiser or stand_in(variance)
    height, width, _ = prepared.shape
    field = np.empty((height, width), np.float32)
    out = np.empty((3, height, width), np.float32)
    first, unit = np.float32(prepared.first), np.float32(1.0 / prepared.span)
    for channel in range(3):
        if draws.dtype == np.uint64:
            fill(draws, channel, 0, True, field.reshape(-1))
        else:
            field[:] = draws[..., channel]
        flat = prepared.planes[channel].reshape(-1)
        noisy = np.empty_like(field)
        noisy_plane(flat, field.reshape(-1), np.float32(math.sqrt(variance)), first, unit, noisy.reshape(-1))
        out[channel] = _checked_plane(work(noisy), (height, width))
    planes = stretch_values(np.clip(out, 0.0, 1.0, out=out), 0.0, 1.0, out.shape)
    return np.asarray(cv2.merge([planes[0], planes[1], planes[2]]))
