"""Dead leaves, exactly: which leaf every pixel shows, and the table of the visible leaves.

Leaves are drawn from the mixture of ``radius_law.HittingLaw`` and laid front to back: a leaf takes only pixels that no
earlier leaf has, until none is left. Front to back is exact (coupling from the past: Kendall, "Notes on perfect
simulation", sec. 1.4). Painting back to front and stopping once everything is covered is not: the last leaf is always
one that filled a hole, so large leaves are too frequent.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pipeline.sources.dead_leaves.leaf import LEAF, Geometry, Shape, shares
from pipeline.sources.dead_leaves.radius_law import HittingLaw

BATCH = 8_192
"""Leaves drawn at a time; 512 x 512 with r in [1, 512] needs about 63,000. The result does not depend on it."""


def words_of(generator: np.random.Generator, leaves: int) -> np.ndarray:
    """Uint64 [2 * leaves]: the raw words that ``leaves`` draws use."""
    return np.asarray(generator.bit_generator.random_raw(2 * leaves))


@lru_cache(maxsize=16)
def _table(law: HittingLaw) -> np.ndarray:
    return law.table()  # the same for every image of a set, and 2 % of an image's time


def geometry(generator: np.random.Generator, law: HittingLaw, shape: Shape = "disc") -> Geometry:
    """One geometry of ``law.height`` x ``law.width`` labels, every label taken by a leaf.

    The number of leaves, and the time, grow as r_min^-2. ``shape``: ``disc`` (the paper's), ``ellipse`` or
    ``polygon``, which lie inside the disc, or the share of each; ``ValueError`` for any other.
    """
    from pipeline.sources.dead_leaves import leaf_shapes, occlusion, sample_leaves

    tiles = occlusion.open_tiles(law.height, law.width)
    labels = occlusion.open_labels(law.height, law.width)
    drawn, visible = np.empty((3, BATCH), np.int64), np.empty(BATCH, LEAF)
    leaves, remaining, count, rank = [], law.height * law.width, 0, 0
    shape_generator = None if list(shares(shape)) == ["disc"] else generator.spawn(1)[0]
    while remaining:
        sample_leaves.draw(words_of(generator, BATCH), _table(law), drawn)
        before = count
        if shape_generator is None:
            remaining, count, used = occlusion.lay(drawn, tiles, labels, visible, remaining, count, rank)
        else:
            forms = leaf_shapes.draw(shape_generator, BATCH, shape)
            remaining, count, used = leaf_shapes.lay(drawn, forms, tiles, labels, visible, remaining, count, rank)
        leaves.append(visible[: count - before].view(np.uint64).copy())  # words: numpy copies records field by field
        rank += used
    return Geometry(labels[occlusion.MARGIN : -occlusion.MARGIN], np.concatenate(leaves).view(LEAF))
