"""Dead leaves, exactly: which leaf every pixel shows, and the table of the visible leaves.

Leaves are drawn from the mixture of ``law.HittingLaw`` and laid front to back: a leaf takes only pixels that no earlier
leaf has, until none is left. Front to back is exact (coupling from the past: Kendall, "Notes on perfect simulation",
sec. 1.4); painting over and stopping once covered is not, because the last leaf is always one that filled a hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.sources.law import SHAPES, HittingLaw

LEAF = np.dtype([("x", np.float64), ("y", np.float64), ("r", np.float64), ("rank", np.int64)])
"""A visible leaf: centre and radius in pixels (multiples of 2^-16), and its rank among all that were drawn."""

BATCH = 8_192
"""Leaves drawn at a time; 512 x 512 with r in [1, 512] needs about 63,000. The result does not depend on it."""


@dataclass(frozen=True)
class Geometry:
    """``labels`` int32 [H, W], every value in 0..n-1; ``leaves`` of dtype ``LEAF`` [n], front to back, all visible."""

    labels: np.ndarray
    leaves: np.ndarray


def words_of(generator: np.random.Generator, leaves: int) -> np.ndarray:
    """Uint64 [2 * leaves]: the raw words that ``leaves`` draws use."""
    return np.asarray(generator.bit_generator.random_raw(2 * leaves))


@lru_cache(maxsize=16)
def _table(law: HittingLaw) -> np.ndarray:
    return law.table()  # the same for every image of a set, and 2 % of an image's time


def geometry(
    generator: np.random.Generator,
    height: int,
    width: int,
    r_min: float = 1.0,
    r_max: float | None = None,
    exponent: float = 3.0,
    shape: str = "disc",
) -> Geometry:
    """One dead-leaves geometry of ``height`` x ``width`` pixels, every pixel covered.

    Radii have density r^-``exponent`` on [``r_min``, ``r_max``] pixels (``r_max`` None: the longer side). Small r_min
    is dear: the number of leaves grows as r_min^-2. ``shape``: ``disc`` (the paper's), ``ellipse`` or ``polygon``,
    which lie inside the disc. ``ValueError`` for what ``HittingLaw`` refuses and for other shapes.
    """
    from pipeline.sources import forms, laying, raster

    if shape not in SHAPES:
        raise ValueError(f"dead leaves: shape {shape!r}, allowed {', '.join(SHAPES)}")

    law = HittingLaw(height, width, r_min, float(max(height, width)) if r_max is None else r_max, exponent)
    tiles, labels = laying.open_tiles(height, width), laying.open_labels(height, width)
    drawn, found = np.empty((3, BATCH), np.int64), np.empty(BATCH, LEAF)
    leaves, remaining, count, rank = [], height * width, 0, 0
    shaping = None if shape == "disc" else generator.spawn(1)[0]
    while remaining:
        raster.draw(words_of(generator, BATCH), _table(law), drawn)
        before = count
        if shaping is None:
            remaining, count, used = laying.lay(drawn, tiles, labels, found, remaining, count, rank)
        else:
            form = forms.draw(shaping.random((BATCH, forms.DRAWS)), shape)
            remaining, count, used = forms.lay(drawn, form, tiles, labels, found, remaining, count, rank)
        leaves.append(found[: count - before].view(np.uint64).copy())  # words: numpy copies records field by field
        rank += used
    return Geometry(labels[laying.MARGIN : -laying.MARGIN], np.concatenate(leaves).view(LEAF))
