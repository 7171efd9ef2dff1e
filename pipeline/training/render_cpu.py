"""The views of a batch rendered on a CPU, from bytes to the encoder's input in one pass a view.

Both scales are whole numbers: a pixel of the full scale is 4 times its byte, one of the half scale the sum of 4 bytes,
0..1,020 each. So sRGB's linear values come from a table of 1,021. The colours are those of
:mod:`pipeline.encoder.colour`, to float32's rounding (tested); 128 views of 96 x 96 take a tenth of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from pipeline import images
from pipeline.encoder import colour

FULL = 1020.0  # the number of white
LAB, HSV, GREY, MS = (list(colour.SPACES).index(space) for space in ("lab", "hsv", "grey", "ms"))


def _linear_table() -> Any:
    values = np.arange(1021) / FULL
    return np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92).astype(np.float32)


LINEAR = _linear_table()
MATRIX = (np.array(colour.XYZ) / np.array(colour.WHITE)[:, None]).astype(np.float32)
LUMA = (np.array(images.LUMA) / FULL).astype(np.float32)
TAPS = np.array([math.exp(-0.5 * (offset / colour.SIGMA) ** 2) for offset in range(4)])
TAPS = (TAPS / (2 * TAPS.sum() - TAPS[0])).astype(np.float32)
EPSILON = np.float32(colour.EPSILON)


def _untyped(function: Callable[..., Any]) -> Any:
    """An intrinsic; the typing context that numba gives it is no argument of its calls."""
    return intrinsic(function)


@_untyped
def _bits(context: Any, value: Any) -> Any:
    """The bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@_untyped
def _float(context: Any, bits: Any) -> Any:
    """The float32 of some bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    return lambda function: njit(nogil=True, fastmath=True, error_model="numpy", **options)(function)


@_compiled()
def _cube_root(value: Any) -> Any:
    """Of a positive float32, to 2 units in the last place: a third of the exponent, then twice Halley's step."""
    root = _float(_bits(value) // np.int32(3) + np.int32(0x2A514067))
    for _ in range(2):
        cube = root * root * root
        root = root * (cube + value + value) / (cube + cube + value)
    return root


@_compiled()
def _to_lab(planes: Any, linear: Any, matrix: Any) -> None:
    for p in range(planes.shape[1]):
        red, green, blue = linear[int(planes[0, p])], linear[int(planes[1, p])], linear[int(planes[2, p])]
        for i in range(3):
            planes[i, p] = matrix[i, 0] * red + matrix[i, 1] * green + matrix[i, 2] * blue
    third, offset = np.float32(7.787), np.float32(16 / 116)
    for i in range(3):
        for p in range(planes.shape[1]):
            value = planes[i, p]
            root = _cube_root(max(value, np.float32(1e-6)))
            planes[i, p] = root if value > np.float32(0.008856) else third * value + offset
    for p in range(planes.shape[1]):
        x, y, z = planes[0, p], planes[1, p], planes[2, p]
        planes[0, p] = min(max(np.float32(1.16) * y - np.float32(0.16), np.float32(0)), np.float32(1))
        a = (np.float32(500) * (x - y) + np.float32(128)) / np.float32(255)
        b = (np.float32(200) * (y - z) + np.float32(128)) / np.float32(255)
        planes[1, p] = min(max(a, np.float32(0)), np.float32(1))
        planes[2, p] = min(max(b, np.float32(0)), np.float32(1))


@_compiled()
def _to_hsv(planes: Any) -> None:
    for p in range(planes.shape[1]):
        red, green, blue = planes[0, p], planes[1, p], planes[2, p]
        value = max(red, green, blue)
        chroma = value - min(red, green, blue)
        hue, saturation = np.float32(0), np.float32(0)
        if chroma > 0:
            saturation = chroma / value
            if value == red:
                hue = (green - blue) / chroma
            elif value == green:
                hue = np.float32(2) + (blue - red) / chroma
            else:
                hue = np.float32(4) + (red - green) / chroma
            hue /= np.float32(6)
            if hue < 0:
                hue += np.float32(1)
        planes[0, p], planes[1, p], planes[2, p] = hue, saturation, value / np.float32(1020)


@_compiled()
def _mean_subtracted(plane: Any, side: Any, taps: Any, epsilon: Any, across: Any, row: Any) -> None:
    """One channel, in place; ``across`` [side side] and ``row`` [side + 6] are room for the means along rows."""
    for y in range(side):
        for x in range(side):
            row[x + 3] = plane[y * side + x]
        for k in range(3):  # mirrored, the edge pixel comes twice; a side is at least 3
            row[2 - k], row[side + 3 + k] = row[3 + k], row[side + 2 - k]
        for x in range(side):
            near = taps[0] * row[x + 3] + taps[1] * (row[x + 2] + row[x + 4])
            across[y * side + x] = near + taps[2] * (row[x + 1] + row[x + 5]) + taps[3] * (row[x] + row[x + 6])
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for y in range(side):
        for x in range(side):
            plane[y * side + x] -= taps[0] * across[y * side + x]
        for k in range(1, 4):
            above = y - k if y >= k else k - 1 - y
            below = y + k if y + k < side else 2 * side - 1 - y - k
            for x in range(side):
                plane[y * side + x] -= taps[k] * (across[above * side + x] + across[below * side + x])
        for x in range(side):
            low, high = min(low, plane[y * side + x]), max(high, plane[y * side + x])
    scale = np.float32(1) / (high - low + epsilon)
    for p in range(side * side):
        plane[p] = (plane[p] - low) * scale


@_compiled(cache=True)
def render_views(
    full: Any,
    half: Any,
    flips: Any,
    spaces: Any,
    linear: Any,
    matrix: Any,
    luma: Any,
    taps: Any,
    epsilon: Any,
    out: Any,
) -> None:
    """``full`` uint8 [n, M, M, 3] and ``half`` [n, 2 M, 2 M, 3] -> ``out`` float32 [2 n, M, M, 3]; ``flips`` bool and
    ``spaces`` int64 [2 n], full scales first.
    """
    count, side = full.shape[0], full.shape[1]
    planes, across = np.empty((3, side * side), np.float32), np.empty(side * side, np.float32)
    row = np.empty(side + 6, np.float32)
    for view in range(2 * count):
        for y in range(side):
            for x in range(side):
                at = y * side + (side - 1 - x if flips[view] else x)
                for c in range(3):
                    if view < count:
                        planes[c, at] = 4 * np.int32(full[view, y, x, c])
                    else:
                        square = half[view - count, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2, c]
                        planes[c, at] = np.int32(square[0, 0]) + square[0, 1] + square[1, 0] + square[1, 1]
        space = spaces[view]
        if space == LAB:
            _to_lab(planes, linear, matrix)
        elif space == HSV:
            _to_hsv(planes)
        elif space == GREY:
            for p in range(side * side):
                grey = luma[0] * planes[0, p] + luma[1] * planes[1, p] + luma[2] * planes[2, p]
                planes[0, p], planes[1, p], planes[2, p] = grey, grey, grey
        else:
            for c in range(3):
                for p in range(side * side):
                    planes[c, p] *= np.float32(1 / 1020)
                if space == MS:
                    _mean_subtracted(planes[c], side, taps, epsilon, across, row)
        pixels = out[view].reshape(side * side, 3)
        for p in range(side * side):
            pixels[p, 0], pixels[p, 1], pixels[p, 2] = planes[0, p], planes[1, p], planes[2, p]


def render(full: Any, half: Any, flips: Any, spaces: Any) -> Any:
    """See :func:`render_views`."""
    out = np.empty((2 * len(full), full.shape[1], full.shape[1], 3), np.float32)
    render_views(full, half, flips, spaces, LINEAR, MATRIX, LUMA, TAPS, EPSILON, out)
    return out
