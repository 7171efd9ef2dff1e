"""What a dead-leaves geometry is made of: shapes of leaves, the label map, the table of visible leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

FIXED = 1 << 16
"""Centres and radii are whole multiples of 1 / FIXED pixel, so that the last bit of a libm never moves a pixel."""

LEAF = np.dtype([("x", np.float64), ("y", np.float64), ("r", np.float64), ("rank", np.int64)])
"""A visible leaf: centre and radius in pixels (multiples of 2^-16), and its rank among all leaves that were drawn."""


SHAPES = ("disc", "ellipse", "polygon")

Shape = str | Mapping[str, float]
"""One of ``SHAPES``, or the share of each in a mixture (any positive numbers; the shares are their proportions)."""


def shares(shape: Shape) -> dict[str, float]:
    """The share of each shape, sum 1, in the order of ``SHAPES``; ``ValueError`` for what is no shape or no share."""
    given = {shape: 1.0} if isinstance(shape, str) else dict(shape)
    for name, share in given.items():
        if name not in SHAPES:
            raise ValueError(f"dead leaves: shape {name!r}, allowed {', '.join(SHAPES)}")
        if not 0 < share < np.inf:
            raise ValueError(f"dead leaves: shape {name} has share {share}, allowed above 0")
    if not given:
        raise ValueError(f"dead leaves: no shape, allowed {', '.join(SHAPES)}")
    total = sum(given.values())
    return {name: given[name] / total for name in SHAPES if name in given}


@dataclass(frozen=True)
class Geometry:
    """``labels`` int32 [H, W], every value in 0..n-1; ``leaves`` of dtype ``LEAF`` [n], front to back, all visible."""

    labels: np.ndarray
    leaves: np.ndarray
