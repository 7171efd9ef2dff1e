"""Compiled kernels: leaves are drawn from the hitting law.

A leaf uses two 64-bit words: the first gives its part of the mixture and its radius, the second its centre (32 bits a
coordinate). All geometry is in whole 1/65,536 pixel: the kernels and the numpy reference of the tests agree to the bit.
"""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.sources.dead_leaves.kernel import kernel

_LAW = types.float64[:, ::1]
_WORDS = types.uint64[::1]
_TABLE = types.int64[:, ::1]


@kernel(types.float64(types.float64, types.float64[:, ::1], types.int64))
def _radius(u, law, part):  # type: ignore[no-untyped-def]
    kind, low, slope, power = law[part, 1], law[part, 2], law[part, 3], law[part, 4]
    v = u - law[part, 0]
    if kind == 0.0:
        return low
    if kind == 1.0:
        return low * np.exp(slope * v)
    return (low - slope * v) ** power


@kernel(types.void(_WORDS, _LAW, types.int64, _TABLE, types.int64))
def _outside(raw, law, k, drawn, height):  # type: ignore[no-untyped-def]
    """Draw leaf ``k``, whose centre lies outside the window: 1.5 % of the leaves at 512 x 512, r in [1, 512]."""
    width = int(law[3, 2])
    u = np.int64(raw[2 * k] >> np.uint64(11)) * 2.0**-53
    a = np.int64(raw[2 * k + 1] >> np.uint64(32)) * 2.0**-32
    b = np.int64(raw[2 * k + 1] & np.uint64(0xFFFFFFFF)) * 2.0**-32
    if u < law[2, 0]:
        radius = _radius(u, law, 1)
        place, depth = a * (2.0 * (height + width)), b * radius
        if place < width:
            x, y = place, -depth
        elif place < 2.0 * width:
            x, y = place - width, height + depth
        elif place < 2.0 * width + height:
            x, y = -depth, place - 2.0 * width
        else:
            x, y = width + depth, place - 2.0 * width - height
    else:
        radius = _radius(u, law, 2)
        reach = radius * np.sqrt(b)
        x, y = reach * np.cos(2.0 * np.pi * a), reach * np.sin(2.0 * np.pi * a)
        x += width if x >= 0.0 else 0.0
        y += height if y >= 0.0 else 0.0
    drawn[0, k] = np.int64(np.floor(x * 65536.0 + 0.5))
    drawn[1, k] = np.int64(np.floor(y * 65536.0 + 0.5))
    drawn[2, k] = np.int64(np.floor(radius * 65536.0 + 0.5))


@kernel(types.void(_WORDS, _LAW, _TABLE))
def draw(raw, law, drawn):  # type: ignore[no-untyped-def]
    """Leaves from random words: ``raw`` uint64 [2 n] gives ``drawn`` int64 [3, n], x, y, r in 1/65,536 pixel."""
    height, width = np.int64(law[3, 1]), np.int64(law[3, 2])
    low, slope, inside = law[0, 2], law[0, 3], law[1, 0]
    usual = law[0, 1] == 2.0 and law[0, 4] == -0.5
    for k in range(drawn.shape[1]):
        # No branch: the processor's vectors take the root and the quotient of the paper's r^-3 for several leaves.
        u = np.int64(raw[2 * k] >> np.uint64(11)) * 2.0**-53
        drawn[0, k] = (np.int64(raw[2 * k + 1] >> np.uint64(32)) * width) >> 16
        drawn[1, k] = (np.int64(raw[2 * k + 1] & np.uint64(0xFFFFFFFF)) * height) >> 16
        drawn[2, k] = np.int64(np.floor(65536.0 / np.sqrt(max(low - slope * u, 1e-300)) + 0.5))
    for k in range(drawn.shape[1]):
        u = np.int64(raw[2 * k] >> np.uint64(11)) * 2.0**-53
        if u >= inside:
            _outside(raw, law, k, drawn, height)
        elif not usual:
            drawn[2, k] = np.int64(np.floor(_radius(u, law, 0) * 65536.0 + 0.5))
