"""Other shapes of leaves: ellipses and convex polygons inside the disc of radius r. The paper has discs only.

Leaves are drawn by the hitting law of their discs. A leaf whose disc meets the window and whose own shape does not is
never visible, so the law stays exact. r is the larger half axis of an ellipse and the circumradius of a polygon.
"""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.sources.dead_leaves import occlusion
from pipeline.sources.dead_leaves.kernel import kernel
from pipeline.sources.dead_leaves.leaf import FIXED, Shape, shares

DRAWS = 10
"""Uniform numbers that an ellipse or a polygon uses; in a mixture a further one chooses the shape."""

_MOST = 8
_THINNEST = 0.3
_JITTER = 0.6
"""Polygons have 3 to 8 corners, moved by up to 0.3 of their spacing; ellipses a ratio of axes of 0.3 to 1."""


def draw(generator: np.random.Generator, number: int, shape: Shape) -> np.ndarray:
    """Float64 [number, 25]: the forms of as many leaves, in units of 2^-16 of a radius.

    An ellipse: 0, cosine and sine of its direction, ratio of its axes; a disc is one of ratio 1. A polygon of k edges:
    k, then for each edge the normal (x, y) and its distance from the centre.
    """
    parts = shares(shape)
    uniform = generator.random((number, DRAWS if len(parts) == 1 else DRAWS + 1))
    if len(parts) == 1:
        return FORMS[next(iter(parts))](uniform)
    forms = np.empty((number, 1 + 3 * _MOST))
    chosen = np.searchsorted(np.cumsum(list(parts.values()))[:-1], uniform[:, DRAWS], side="right")
    for index, name in enumerate(parts):
        forms[chosen == index] = FORMS[name](uniform[chosen == index, :DRAWS])
    return forms


def _discs(uniform: np.ndarray) -> np.ndarray:
    forms = np.zeros((len(uniform), 1 + 3 * _MOST))
    forms[:, (1, 3)] = 1.0
    return forms


def _ellipses(uniform: np.ndarray) -> np.ndarray:
    forms = np.zeros((len(uniform), 1 + 3 * _MOST))
    turn = 2 * np.pi * uniform[:, 0]
    forms[:, 1:4] = np.stack([np.cos(turn), np.sin(turn), _THINNEST + (1 - _THINNEST) * uniform[:, 1]], axis=1)
    return np.asarray(np.rint(forms * FIXED) / FIXED)


def _polygons(uniform: np.ndarray) -> np.ndarray:
    forms = np.empty((len(uniform), 1 + 3 * _MOST))
    turn = 2 * np.pi * uniform[:, 0]
    corners = 3 + np.floor(uniform[:, 1] * (_MOST - 2)).astype(np.int64)
    numbers = np.arange(_MOST)
    places = numbers + _JITTER * (uniform[:, 2:] - 0.5)
    following = np.where(numbers + 1 == corners[:, None], places[:, :1] + corners[:, None], np.roll(places, -1, axis=1))
    middle = turn[:, None] + np.pi * (places + following) / corners[:, None]
    half = np.pi * (following - places) / corners[:, None]
    edges = np.stack([np.cos(middle), np.sin(middle), np.cos(half)], axis=2).reshape(len(uniform), -1)
    forms[:, 1:] = np.rint(edges * FIXED) / FIXED
    forms[:, 0] = corners
    return forms


FORMS = {"disc": _discs, "ellipse": _ellipses, "polygon": _polygons}


@kernel(types.boolean(*[types.float64] * 3, types.float64[::1]))
def contains(dx, dy, r, form):  # type: ignore[no-untyped-def]
    """Does the form of radius ``r`` contain the point (``dx``, ``dy``) from its centre? All in 1/65,536 pixel."""
    edges = int(form[0])
    if edges == 0:
        along, across = dx * form[1] + dy * form[2], dy * form[1] - dx * form[2]
        return (along * form[3]) * (along * form[3]) + across * across <= (r * form[3]) * (r * form[3])
    for k in range(edges):
        if dx * form[3 * k + 1] + dy * form[3 * k + 2] > r * form[3 * k + 3]:
            return False
    return True


@kernel(
    types.int64(*[types.int64] * 3, types.float64[::1], types.uint64[:, ::1], types.int32[:, ::1], types.int32),
)
def _form(x, y, r, form, tiles, labels, label):  # type: ignore[no-untyped-def]
    height, width = labels.shape[0] - 2 * occlusion.MARGIN, labels.shape[1]
    top, bottom = max(0, (y - r + 32767) >> 16), min(height - 1, (y + r - 32768) >> 16)
    left, right = max(0, (x - r + 32767) >> 16), min(width - 1, (x + r - 32768) >> 16)
    taken = 0
    for ty in range(top >> 3, (bottom >> 3) + 1):
        for tx in range(left >> 3, (right >> 3) + 1):
            if tiles[ty + 1, tx + 1] == 0:
                continue
            for i in range(max(top, 8 * ty), min(bottom, 8 * ty + 7) + 1):
                for j in range(max(left, 8 * tx), min(right, 8 * tx + 7) + 1):
                    bit = np.uint64(1) << np.uint64(8 * (i & 7) + (j & 7))
                    if tiles[ty + 1, tx + 1] & bit:
                        if contains(float((j << 16) + 32768 - x), float((i << 16) + 32768 - y), float(r), form):
                            tiles[ty + 1, tx + 1] ^= bit
                            labels[occlusion.MARGIN + i, j] = label
                            taken += 1
    return taken


@kernel(
    occlusion.COUNTS(
        types.int64[:, ::1],
        types.float64[:, ::1],
        types.uint64[:, ::1],
        types.int32[:, ::1],
        occlusion.LEAVES,
        *[types.int64] * 3,
    ),
)
def lay(drawn, forms, tiles, labels, leaves, remaining, count, rank):  # type: ignore[no-untyped-def]
    """As ``occlusion.lay``, for leaves with a form each (float64 [n, 25])."""
    seen = 0
    used = 0
    for k in range(drawn.shape[1]):
        if remaining == 0:
            break
        used += 1
        taken = _form(drawn[0, k], drawn[1, k], drawn[2, k], forms[k], tiles, labels, np.int32(count + seen))
        if taken:
            occlusion.record(leaves, seen, drawn[0, k], drawn[1, k], drawn[2, k], rank + k)
            seen += 1
            remaining -= taken
    return remaining, count + seen, used
