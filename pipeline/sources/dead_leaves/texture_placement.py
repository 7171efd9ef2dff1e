"""Where each leaf takes its piece of texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.sources.dead_leaves.leaf import Geometry
from pipeline.sources.textures.atlas import Atlas


@dataclass(frozen=True)
class Placement:
    """What each leaf shows: ``places`` int64 [n, 8], and ``boxes`` int64 [n, 4], the leaf's box inside the window.

    A row of ``places`` is (first index, H, W, start_y, step_y, start_x, step_x, turned): pixel (i, j) shows row
    start_y + step_y a and column start_x + step_x b of the texture, (a, b) = (j, i) if turned else (i, j), mirrored at
    the texture's borders. A leaf that fits into the texture is placed so that no border is met. A row of ``boxes`` is
    (first row, rows, first column, columns), in pixels of the image.
    """

    places: np.ndarray
    boxes: np.ndarray


def place(generator: np.random.Generator, geometry: Geometry, atlas: Atlas, *, supersample: int = 1) -> Placement:
    """A random texture, one of the 8 symmetries of the square and a random offset for each leaf: one word a leaf."""
    from pipeline.sources.dead_leaves import paint_kernels

    leaves, (height, width) = geometry.leaves, geometry.labels.shape
    words = generator.integers(0, 2**64 - 1, size=len(leaves), dtype=np.uint64, endpoint=True)
    boxes = np.empty((len(leaves), 4), np.int64)
    paint_kernels.enclose(leaves, height, width, supersample, boxes)
    places = np.empty((len(leaves), 8), np.int64)
    paint_kernels.locate(words, boxes, atlas.shapes, places)
    return Placement(places, boxes)
