"""Types 20, 21 and 23: displaced patches, pixelation, colour blocks. (Type 19 is jitter.py, type 22 otsu.py.)"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pipeline.distortions.kernels import compiled
from pipeline.distortions.normalise import look_up, round_bytes, stretch_again
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes, Floats

PATCH = 16
BLOCK = 32

Place = tuple[slice, slice]


def _half_up(values: Floats) -> np.ndarray:
    return np.asarray(np.floor(values + 0.5).astype(np.int64))


def draw_patches(generator: np.random.Generator, count: float) -> Floats:
    """Four uniforms per patch: where from (column, row), where to (column, row)."""
    return generator.random((int(count), 4))


def non_eccentricity_patch(prepared: Prepared, draws: Floats) -> Bytes:
    """Type 20: 16 x 16 patches copied one after the other from the image so far to a place at most 8 pixels away."""
    height, width, _ = prepared.shape
    u = np.asarray(draws, np.float64)
    columns = _half_up(u[:, 0] * (width - 48)) + 16
    rows = _half_up(u[:, 1] * (height - 48)) + 16
    to_columns = _half_up((u[:, 2] - 0.5) * 16 + columns)
    to_rows = _half_up((u[:, 3] - 0.5) * 16 + rows)
    out = prepared.image.copy()
    for x, y, to_x, to_y in (np.stack([columns, rows, to_columns, to_rows], axis=1) - 1).tolist():
        out[to_y : to_y + PATCH, to_x : to_x + PATCH] = out[y : y + PATCH, x : x + PATCH].copy()
    return stretch_again(out, prepared.unit)


def _nearest(size: int, strength: float) -> np.ndarray:
    """Source index of each of ``size`` samples after nearest-neighbour reduction by z = 0.95 - strength^0.6 and
    back.

    Upwards in integers: ``(i + 0.5) * (small / size)`` misses exact ties (whole columns wrong for 321 at level 5).
    """
    z = 0.95 - strength**0.6
    small = math.ceil(z * size)
    down = np.clip(_half_up(0.5 + (np.arange(small) + 0.5) / z), 1, size) - 1
    up = np.minimum((2 * np.arange(size) + 1) * small // (2 * size), small - 1)
    return np.asarray(down[up])


@compiled
def _pick(image: Any, rows: Any, columns: Any, out: Any) -> None:
    """``out[y, x] = image[rows[y], columns[x]]``; a row that repeats the one before is copied."""
    for y in range(rows.size):
        if y > 0 and rows[y] == rows[y - 1]:
            out[y] = out[y - 1]
            continue
        line, target = image[rows[y]], out[y]
        for x in range(columns.size):
            at = columns[x]
            target[x, 0], target[x, 1], target[x, 2] = line[at, 0], line[at, 1], line[at, 2]


def pixelate(prepared: Prepared, strength: float) -> Bytes:
    """Type 21: nearest neighbour down and up, without antialiasing."""
    height, width, _ = prepared.shape
    out = np.empty(prepared.shape, np.uint8)
    _pick(prepared.image, _nearest(height, strength), _nearest(width, strength), out)
    return stretch_again(out, prepared.unit)


def draw_blocks(generator: np.random.Generator, count: float) -> Floats:
    """Five uniforms per block: red, green, blue, column, row."""
    return generator.random((int(count), 5))


def color_block(prepared: Prepared, draws: Floats) -> Bytes:
    """Type 23: 32 x 32 squares of one colour each."""
    height, width, _ = prepared.shape
    u = np.asarray(draws, np.float64)
    left = _half_up(u[:, 3] * (width - BLOCK)) - 1
    top = _half_up(u[:, 4] * (height - BLOCK)) - 1
    places = [
        (slice(max(y, 0), y + BLOCK), slice(max(x, 0), x + BLOCK))
        for y, x in zip(top.tolist(), left.tolist(), strict=True)
    ]
    colors = u[:, :3]
    low, high = _range_around(prepared, places, colors)
    if high > low and (low > 0.0 or high < 1.0):
        out = look_up(prepared.image, round_bytes((prepared.unit - low) / (high - low)))
        colors = (colors - low) / (high - low)
    else:
        out = prepared.pristine.copy()
    for place, color in zip(places, round_bytes(colors), strict=True):
        out[place] = color
    return out


def _range_around(prepared: Prepared, places: list[Place], colors: Floats) -> tuple[float, float]:
    """The least and greatest stretched value after the blocks are painted.

    (0, 1) at once where both extremes of the image lie outside the blocks.
    """
    trial = prepared.image.copy()
    for place in places:
        trial[place] = prepared.image[-1, -1]  # blocks never reach the last row and column
    low, high = (np.array([trial.min(), trial.max()], np.float64) - prepared.first) / prepared.span
    painted = np.full((*prepared.shape[:2], 3), np.nan) if low > 0.0 or high < 1.0 else None
    if painted is None:
        return 0.0, 1.0
    for place, color in zip(places, colors, strict=True):
        painted[place] = color
    return min(float(low), float(np.nanmin(painted))), max(float(high), float(np.nanmax(painted)))
