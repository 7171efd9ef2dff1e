"""What a dead-leaves geometry is made of: the label map and the table of visible leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIXED = 1 << 16
"""Centres and radii are whole multiples of 1 / FIXED pixel, so that the last bit of a libm never moves a pixel."""

LEAF = np.dtype([("x", np.float64), ("y", np.float64), ("r", np.float64), ("rank", np.int64)])
"""A visible leaf: centre and radius in pixels (multiples of 2^-16), and its rank among all leaves that were drawn."""


@dataclass(frozen=True)
class Geometry:
    """``labels`` int32 [H, W], every value in 0..n-1; ``leaves`` of dtype ``LEAF`` [n], front to back, all visible."""

    labels: np.ndarray
    leaves: np.ndarray
