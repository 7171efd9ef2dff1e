"""Procedural noise that materials are built from: spectral noise, Voronoi cells, warps and light.

All fields are float64 [512, 512] and periodic.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

SIDE = 512

Field = NDArray[np.float64]
"""Float64 [512, 512]: grey values or heights."""


def grid() -> tuple[Field, Field]:
    """Row and column of every pixel, float64 [512, 512]."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    return rows, columns


def noise(
    generator: np.random.Generator,
    slope: float = 2.0,
    *,
    coarse: float = 512.0,
    fine: float = 2.0,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Field:
    """Periodic Gaussian noise of mean 0 and standard deviation 1, power ~ 1 / f^slope.

    ``coarse`` and ``fine`` are the longest and shortest wavelengths in pixels; ``stretch`` (down, along) lengthens the
    wavelengths of one direction, for grain and streaks.
    """
    spectrum = np.fft.rfft2(generator.standard_normal((SIDE, SIDE), np.float32))
    down = (np.fft.fftfreq(SIDE)[:, None] * stretch[0]).astype(np.float32)
    along = (np.fft.rfftfreq(SIDE)[None, :] * stretch[1]).astype(np.float32)
    square = down * down + along * along
    keep = (square >= (1 - 1e-5) / coarse**2) & (square <= (1 + 1e-5) / fine**2)
    gain = np.where(keep, np.maximum(square, np.float32(1e-12)) ** np.float32(-slope / 4), np.float32(0))
    field = np.fft.irfft2(spectrum * gain, s=(SIDE, SIDE)).astype(np.float64)
    return np.asarray((field - field.mean()) / field.std())


def unit(field: Field, *, clip: float = 0.5) -> Field:
    """``field`` stretched so that its ``clip`` and 100 - ``clip`` percentiles become 0 and 1, clipped."""
    low, high = np.percentile(field, [clip, 100 - clip])
    return np.asarray(np.clip((field - low) / (high - low), 0.0, 1.0))


def warped(field: Field, down: Field, along: Field) -> Field:
    """``field`` read at (row + ``down``, column + ``along``) pixels, periodic, bilinear."""
    import cv2

    rows, columns = grid()
    x, y = ((columns + along) % SIDE).astype(np.float32), ((rows + down) % SIDE).astype(np.float32)
    padded = np.pad(field.astype(np.float32), ((0, 1), (0, 1)), mode="wrap")
    return np.asarray(cv2.remap(padded, x, y, cv2.INTER_LINEAR), np.float64)


def smooth(field: Field, sigma: float) -> Field:
    """Periodic Gaussian blur of ``sigma`` pixels."""
    down, along = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    gain = np.exp(-2 * (np.pi * sigma) ** 2 * (down**2 + along**2)).astype(np.float32)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(field.astype(np.float32)) * gain, s=(SIDE, SIDE)), np.float64)


def lit(height: Field, *, angle: float = 0.8, elevation: float = 0.9) -> Field:
    """Diffuse light on a surface of ``height`` (pixels), from ``angle`` (radians) at ``elevation`` (radians)."""
    down = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    along = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    light = np.cos(elevation) * np.array([np.sin(angle), np.cos(angle)])
    facing = np.sin(elevation) - down * light[0] - along * light[1]
    return np.asarray(np.maximum(facing / np.sqrt(1 + down**2 + along**2), 0.0))


def cells(
    generator: np.random.Generator, across: int, *, jitter: float = 0.9
) -> tuple[Field, Field, NDArray[np.int64]]:
    """Voronoi cells of one point in each square of an ``across`` x ``across`` grid, periodic.

    Returns the distances to the nearest and the second nearest point, in units of the grid, and the cell's number.
    """
    points = (1 - jitter) / 2 + jitter * generator.random((across, across, 2))
    first, second, owner = np.empty((SIDE, SIDE)), np.empty((SIDE, SIDE)), np.empty((SIDE, SIDE), np.int64)
    rows = np.arange(-2, across + 2) % across
    offsets = np.arange(-2.0, across + 2)
    around = points[rows][:, rows] + np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=2)
    _nearest(around, first, second, owner)
    return np.sqrt(first), np.sqrt(second), owner


_PLANE = types.float64[:, ::1]


@njit(types.void(types.float64[:, :, ::1], _PLANE, _PLANE, types.int64[:, ::1]), cache=True, nogil=True)
def _nearest(points, first, second, owner):  # type: ignore[no-untyped-def]
    """Squared distances and owner of each pixel; ``points`` has two more rows and columns on each side than cells."""
    across, side = points.shape[0] - 4, first.shape[0]
    for i in range(side):
        for j in range(side):
            y, x = (i + 0.5) * across / side, (j + 0.5) * across / side
            best, next_best, nearest = 1e9, 1e9, 0
            for row in range(int(y), int(y) + 5):
                for column in range(int(x), int(x) + 5):
                    dy, dx = points[row, column, 0] - y, points[row, column, 1] - x
                    distance = dy * dy + dx * dx
                    if distance < best:
                        best, next_best, nearest = distance, best, row * (across + 4) + column
                    elif distance < next_best:
                        next_best = distance
            row, column = (nearest // (across + 4) - 2) % across, (nearest % (across + 4) - 2) % across
            first[i, j], second[i, j], owner[i, j] = best, next_best, row * across + column
