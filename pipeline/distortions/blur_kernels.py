"""Blur kernels: Gaussian, disc and line, with the original's sizes and edge rules (docs/distortions.md)."""

from __future__ import annotations

import math

import numpy as np

from pipeline.distortions.kernels import padded_taps
from pipeline.distortions.types import Floats

Taps = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows, columns (int64) and weights (float32) of a tap list, padded to a multiple of eight."""


def gaussian(sigma: float) -> Floats:
    """2 ceil(2 sigma) + 1 weights of sum 1.

    Weights below 2.2e-16 of the greatest are 0, so that sigma 0.1 is the identity.
    """
    radius = math.ceil(2 * sigma)
    weights = np.exp(-(np.arange(-radius, radius + 1.0) ** 2) / (2 * sigma * sigma))
    weights[weights < np.finfo(float).eps * weights.max()] = 0.0
    return np.asarray(weights / weights.sum())


def gaussian_taps(sigma: float) -> Floats:
    """``gaussian`` with zeros appended as ``blur_rows`` wants them."""
    return padded_taps(gaussian(sigma))[0]


def _quarter_area(x: float, y: float, radius: float) -> float:
    """Area of the disc in [0, x] x [0, y] (x, y >= 0)."""
    if x <= 0.0 or y <= 0.0:
        return 0.0
    x, y = min(x, radius), min(y, radius)
    flat = math.sqrt(max(radius * radius - y * y, 0.0))
    if x <= flat:
        return x * y

    def under(t: float) -> float:
        return 0.5 * (
            t * math.sqrt(max(radius * radius - t * t, 0.0)) + radius * radius * math.asin(min(t / radius, 1.0))
        )

    return flat * y + under(x) - under(flat)


def _signed_area(x: float, y: float, radius: float) -> float:
    """``_quarter_area`` continued oddly in x and y, so that a rectangle is four corners with alternating signs."""
    return math.copysign(1.0, x) * math.copysign(1.0, y) * _quarter_area(abs(x), abs(y), radius)


def disc(radius: int) -> Floats:
    """(2r+1)^2 weights of sum 1: the exact area of each unit pixel inside the disc."""
    edges = np.arange(-radius, radius + 2) - 0.5
    corner = np.array([[_signed_area(x, y, radius) for x in edges] for y in edges])
    area = corner[1:, 1:] - corner[1:, :-1] - corner[:-1, 1:] + corner[:-1, :-1]
    area[area < 1e-12] = 0.0  # pixels outside: rounding residue
    return np.asarray(area / area.sum())


def line(length: float, angle: int) -> Floats:
    """Weights of sum 1 of an anti-aliased line of ``length`` pixels at ``angle`` degrees counter-clockwise.

    A pixel at distance d from the line has weight max(0, 1 - d); from the end points' radius outwards the distance
    along the line to the end counts as well.
    """
    half = (length - 1) / 2
    radius = math.ceil(half) + 1
    cosine, sine = math.cos(math.radians(angle % 180)), math.sin(math.radians(angle % 180))
    y, x = np.mgrid[radius : -radius - 1 : -1, -radius : radius + 1].astype(float)
    across, along = y * cosine - x * sine, np.abs(x * cosine + y * sine)
    beyond = np.hypot(x, y) >= half
    distance = np.where(beyond, np.hypot(across, half - along), np.abs(across))
    weights = np.maximum(1.0 + np.finfo(float).eps - distance, 0.0)
    weights[weights <= 4 * np.finfo(float).eps * length] = 0.0
    return np.asarray(weights / weights.sum())


def tap_list(kernel: Floats) -> Taps:
    """The non-zero weights of a centred kernel as rows, columns and float32 weights."""
    rows, columns = np.nonzero(kernel)
    centre_row, centre_column = kernel.shape[0] // 2, kernel.shape[1] // 2
    weights = kernel[rows, columns].astype(np.float32)
    padded = padded_taps(weights, rows - centre_row, columns - centre_column)
    return padded[1], padded[2], padded[0]


def folded_taps(kernel: Floats) -> Taps:
    """The taps of a centred kernel that mirrors in its rows, for ``correlate_folded``.

    In each column the weights from the centre outwards that equal the centre's are one tap on the cumulative row.
    """
    radius = kernel.shape[0] // 2
    rows, columns, weights = [], [], []
    for column in range(-radius, radius + 1):
        arm = kernel[radius:, column + radius]
        same = int(np.argmin(np.append(arm == arm[0], False)))
        taps = [(radius + same, arm[0])] if same > 1 else [(0, arm[0])]
        taps += [(d, arm[d]) for d in range(max(same, 1), radius + 1)]
        for row, weight in taps:
            if weight > 0:
                rows.append(row)
                columns.append(column)
                weights.append(weight)
    padded = padded_taps(np.array(weights, np.float32), np.array(rows), np.array(columns))
    return padded[1], padded[2], padded[0]
