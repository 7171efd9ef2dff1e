"""Type 19: five passes of sampling at randomly displaced positions, bicubic (Keys, a = -0.5).

A pixel's four taps per axis lie somewhere in a window of 5 (|shift| < 1) or 7 (|shift| < 2) neighbours. The loops
weight the whole window, so that every load has unit stride and the loop vectorises; the few pixels beyond are made one
by one.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from pipeline.distortions.kernels import compiled, part, quantise
from pipeline.distortions.noise import checked_draws
from pipeline.distortions.normalise import is_flat, least_and_greatest
from pipeline.distortions.philox import fill
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes

PASSES = 5
PAD = 3
"""Replicated border of the working planes: half of the widest window."""

CHUNK = 256
"""Pixels weighted at a time: their weights (14 rows) and sums (3) are 17 kB of float32."""

_ROWS = tuple(np.uint64(k * CHUNK) for k in range(8))
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = _ROWS[1:]
_K1, _K2, _K3, _K4, _K5, _K6 = (np.uint64(k) for k in range(1, 7))
_ZERO = np.float32(0.0)


@part
def keys(f: Any) -> Any:
    """Keys' four weights (a = -0.5) of the neighbours -1, 0, 1, 2 for a position ``f`` in [0, 1) beyond neighbour 0."""
    half, one = np.float32(0.5), np.float32(1.0)
    g = one - f
    return (
        -half * f * g * g,
        one + f * f * (np.float32(1.5) * f - np.float32(2.5)),
        one + g * g * (np.float32(1.5) * g - np.float32(2.5)),
        -half * g * f * f,
    )


@part
def _weights(shifts: Any, s: Any, count: Any, reach: int, w: Any) -> None:
    """The weights of the 2 reach + 1 neighbours of each pixel for shifts in [1 - reach, reach - 1),
    a row per neighbour.
    """
    if reach == 2:
        for x in range(count):
            shift = shifts[s + x]
            low = shift < _ZERO
            a, b, c, d = keys(shift + np.float32(1.0) if low else shift)
            w[x] = a if low else _ZERO
            w[_C1 + x] = b if low else a
            w[_C2 + x] = c if low else b
            w[_C3 + x] = d if low else c
            w[_C4 + x] = _ZERO if low else d
    else:
        for x in range(count):
            shift = shifts[s + x]
            low, mid, high = shift < np.float32(-1.0), shift < _ZERO, shift < np.float32(1.0)
            whole = np.float32(-2.0) if low else (np.float32(-1.0) if mid else (_ZERO if high else np.float32(1.0)))
            a, b, c, d = keys(shift - whole)
            w[x] = a if low else _ZERO
            w[_C1 + x] = b if low else (a if mid else _ZERO)
            w[_C2 + x] = c if low else (b if mid else (a if high else _ZERO))
            w[_C3 + x] = d if low else (c if mid else (b if high else a))
            w[_C4 + x] = _ZERO if low else (d if mid else (c if high else b))
            w[_C5 + x] = _ZERO if mid else (d if high else c)
            w[_C6 + x] = _ZERO if high else d


@part
def _window(w: Any, row: Any, v: Any, s: Any, at: Any, size: Any, reach: int, total: Any, count: Any) -> None:
    """Add one row's weighted neighbours in the three planes of ``s``, times the row's own weight v[row + x]."""
    p1, p2 = at + size, at + size + size
    if reach == 2:
        for x in range(count):
            i, j, k = at + x, p1 + x, p2 + x
            w0, w1, w2, w3, w4, u = w[x], w[_C1 + x], w[_C2 + x], w[_C3 + x], w[_C4 + x], v[row + x]
            r = w0 * s[i] + w1 * s[i + _K1] + w2 * s[i + _K2] + w3 * s[i + _K3] + w4 * s[i + _K4]
            g = w0 * s[j] + w1 * s[j + _K1] + w2 * s[j + _K2] + w3 * s[j + _K3] + w4 * s[j + _K4]
            b = w0 * s[k] + w1 * s[k + _K1] + w2 * s[k + _K2] + w3 * s[k + _K3] + w4 * s[k + _K4]
            total[x] += u * r
            total[_C1 + x] += u * g
            total[_C2 + x] += u * b
    else:
        for x in range(count):
            i, j, k = at + x, p1 + x, p2 + x
            w0, w1, w2, w3, u = w[x], w[_C1 + x], w[_C2 + x], w[_C3 + x], v[row + x]
            w4, w5, w6 = w[_C4 + x], w[_C5 + x], w[_C6 + x]
            r = w0 * s[i] + w1 * s[i + _K1] + w2 * s[i + _K2] + w3 * s[i + _K3] + w4 * s[i + _K4]
            g = w0 * s[j] + w1 * s[j + _K1] + w2 * s[j + _K2] + w3 * s[j + _K3] + w4 * s[j + _K4]
            b = w0 * s[k] + w1 * s[k + _K1] + w2 * s[k + _K2] + w3 * s[k + _K3] + w4 * s[k + _K4]
            total[x] += u * (r + w5 * s[i + _K5] + w6 * s[i + _K6])
            total[_C1 + x] += u * (g + w5 * s[j + _K5] + w6 * s[j + _K6])
            total[_C2 + x] += u * (b + w5 * s[k + _K5] + w6 * s[k + _K6])


@part
def _one(source: Any, y: int, x: int, down: Any, right: Any, height: int, width: int, out: Any) -> None:
    """The three samples of ``source`` at (y + down, x + right) into ``out[:, PAD + y, PAD + x]``."""
    row, column = int(math.floor(down)), int(math.floor(right))
    v0, v1, v2, v3 = keys(down - np.float32(row))
    w0, w1, w2, w3 = keys(right - np.float32(column))
    top, left = y + row + PAD - 1, x + column + PAD - 1
    low, bottom, end = PAD - 2, height + PAD + 1, width + PAD + 1
    y0, y1 = min(max(top, low), bottom), min(max(top + 1, low), bottom)
    y2, y3 = min(max(top + 2, low), bottom), min(max(top + 3, low), bottom)
    x0, x1 = min(max(left, low), end), min(max(left + 1, low), end)
    x2, x3 = min(max(left + 2, low), end), min(max(left + 3, low), end)
    for c in range(3):
        p = source[c]
        a = w0 * p[y0, x0] + w1 * p[y0, x1] + w2 * p[y0, x2] + w3 * p[y0, x3]
        b = w0 * p[y1, x0] + w1 * p[y1, x1] + w2 * p[y1, x2] + w3 * p[y1, x3]
        d = w0 * p[y2, x0] + w1 * p[y2, x1] + w2 * p[y2, x2] + w3 * p[y2, x3]
        e = w0 * p[y3, x0] + w1 * p[y3, x1] + w2 * p[y3, x2] + w3 * p[y3, x3]
        out[c, PAD + y, PAD + x] = v0 * a + v1 * b + v2 * d + v3 * e


@compiled
def extend(planes: Any, pads: Any) -> None:
    """Fill the border of PAD samples around each of the planes from their edge.

    The original samples an image that is replicated by ``pads`` rows and columns and continued beyond that by
    3 a - 3 b + c. With one row of padding (a = b = the edge) the second row out is therefore the first one inside.
    """
    count, height, width = planes.shape
    row, column = (1 if pads[0] == 1 else 0), (1 if pads[1] == 1 else 0)
    for plane in range(count):
        view = planes[plane]
        for y in range(PAD):
            inner = row if y == PAD - 2 else 0
            view[y, :] = view[PAD + inner, :]
            view[height - 1 - y, :] = view[height - 1 - PAD - inner, :]
        for y in range(height):
            for x in range(PAD):
                inner = column if x == PAD - 2 else 0
                view[y, x] = view[y, PAD + inner]
                view[y, width - 1 - x] = view[y, width - 1 - PAD - inner]


@part
def _mend(
    source: Any, y: int, x0: int, count: int, shifts: Any, limit: Any, pads: Any, everywhere: bool, out: Any
) -> bool:
    """Make those pixels of a chunk one by one that lie beyond the window, or beyond the original's padded image."""
    height, width = source.shape[1] - 2 * PAD, source.shape[2] - 2 * PAD
    holes = False
    for x in range(count):
        dx, dy = shifts[x], shifts[CHUNK + x]
        again = abs(dx) >= limit or abs(dy) >= limit
        if everywhere:
            inside = -pads[0] <= y + dy <= height - 1 + pads[0] and -pads[1] <= x0 + x + dx <= width - 1 + pads[1]
            if not inside:
                out[:, y + PAD, x0 + x + PAD] = np.nan
                holes = True
                continue
            again = again or np.isnan(out[0, y + PAD, x0 + x + PAD])
        if again:
            _one(source, y, x0 + x, dy, dx, height, width, out)
            holes = holes or np.isnan(out[0, y + PAD, x0 + x + PAD])
    return holes


@compiled
def _displace(
    source: Any, down: Any, right: Any, amount: Any, reach: int, pads: Any, everywhere: bool, out: Any
) -> bool:
    """One pass from padded planes to padded planes; ``down`` and ``right`` (H, W) are standard normals.

    ``reach`` is 2 or 3 (windows of 5 or 7). ``pads``: how far, in rows and columns, the original's padded image goes; a
    sample from beyond it is not-a-number. ``everywhere``: look at every pixel for such, or for not-a-number samples.
    Returns whether there are any.
    """
    height, width = right.shape
    stride, plane_size = width + 2 * PAD, (height + 2 * PAD) * (width + 2 * PAD)
    flat_in, flat_out = source.reshape(-1), out.reshape(-1)
    right_flat, down_flat = right.reshape(-1), down.reshape(-1)
    across, along = np.zeros(7 * CHUNK, np.float32), np.zeros(7 * CHUNK, np.float32)
    shifts, total = np.zeros(2 * CHUNK, np.float32), np.zeros(3 * CHUNK, np.float32)
    limit = np.float32(reach - 1)
    holes = False
    for y in range(height):
        for x0 in range(0, width, CHUNK):
            count = np.uint64(min(CHUNK, width - x0))
            s = np.uint64(y * width + x0)
            far = np.int32(0)
            for x in range(count):
                dx, dy = -amount * right_flat[s + x], -amount * down_flat[s + x]
                shifts[x] = dx
                shifts[_C1 + x] = dy
                far += np.int32(max(abs(dx), abs(dy)) >= limit)
            _weights(shifts, np.uint64(0), count, reach, across)
            _weights(shifts, _C1, count, reach, along)
            total[:] = _ZERO
            for j in range(2 * reach + 1):
                at = np.uint64((y + PAD - reach + j) * stride + x0 + PAD - reach)
                _window(across, np.uint64(j * CHUNK), along, flat_in, at, np.uint64(plane_size), reach, total, count)
            for c in range(3):
                at, t = np.uint64(c * plane_size + (y + PAD) * stride + x0 + PAD), np.uint64(c * CHUNK)
                for x in range(count):
                    flat_out[at + x] = total[t + x]
            if far or everywhere:
                holes = _mend(source, y, x0, int(count), shifts, limit, pads, everywhere, out) or holes
    return holes


def jitter(prepared: Prepared, amount: float, draws: np.ndarray) -> Bytes:
    """Type 19: displacements N(0, ``amount``) pixels. ``draws``: a key (uint64[2]), or normals (5, 2, H, W): rows,
    columns.

    As in the original, the image is padded before each pass by ceil(greatest column shift) rows and ceil(greatest row
    shift) columns; a sample from beyond is not-a-number, spreads through the later passes and is written as 0.
    """
    height, width, _ = prepared.shape
    draws = checked_draws(draws, (PASSES, 2, height, width))
    source = np.empty((3, height + 2 * PAD, width + 2 * PAD), np.float32)
    source[:, PAD:-PAD, PAD:-PAD] = prepared.planes
    other = np.empty_like(source)
    field = np.empty((2, height, width), np.float32)
    reach = 2 if amount <= 0.2 else 3
    holes = False
    for number in range(PASSES):
        if draws.dtype == np.uint64:
            fill(draws, number, 0, True, field.reshape(-1))
        else:
            field[:] = draws[number]
        greatest = np.array([np.abs(plane).max() for plane in field]) * amount
        pads = np.ceil(greatest[::-1])
        extend(source, pads)
        everywhere = holes or bool(np.any(greatest > pads))
        holes = _displace(source, field[0], field[1], np.float32(amount), reach, pads, everywhere, other)
        source, other = other, source
    del other, field
    low, high = least_and_greatest(source[:, PAD:-PAD, PAD:-PAD])
    if is_flat(low, high, source.dtype, steps=64):
        return prepared.pristine.copy()
    planes = np.empty(source.shape, np.uint8)
    quantise(source.reshape(-1), low, 255.0 / (high - low), planes.reshape(-1))
    return np.asarray(cv2.merge([plane[PAD:-PAD, PAD:-PAD] for plane in planes]))
