"""From a geometry to an image: each leaf in one colour, plain or mixed with a texture (the paper's sec. 3.1)."""

from __future__ import annotations

import numpy as np

from pipeline.sources.dead_leaves.leaf import Geometry
from pipeline.sources.dead_leaves.texture_placement import Placement
from pipeline.sources.textures.atlas import Atlas


def draw_colours(generator: np.random.Generator, photograph: np.ndarray, leaves: int) -> np.ndarray:
    """Uint8 [leaves, 3]: for each leaf the joint RGB triple of a random pixel of ``photograph`` (uint8 H x W x 3)."""
    from pipeline.sources.dead_leaves import paint_kernels

    pixels = np.ascontiguousarray(photograph).reshape(-1, 3)
    colours = np.empty((leaves, 3), np.uint8)
    paint_kernels.pick(pixels, generator.integers(0, len(pixels), size=leaves), colours)
    return colours


def plain(geometry: Geometry, colour: np.ndarray, *, supersample: int = 1) -> np.ndarray:
    """Uint8 H x W x 3: each pixel the colour (uint8 [n, 3]) of its leaf.

    With ``supersample`` s the geometry has s x s labels a pixel and edges are averaged (rounded half up).
    """
    from pipeline.sources.dead_leaves import paint_kernels

    if supersample == 1:
        image = np.empty((*geometry.labels.shape, 3), np.uint8)
        paint_kernels.paint(geometry.labels, colour, image)
        return image
    no_places = np.zeros((len(colour), 8), np.int64)
    image = _canvas(geometry, supersample)
    weighted = colour.astype(np.int32) * np.int32(256)
    paint_kernels.blend_fine(geometry.labels, supersample, weighted, no_places, np.zeros(1, np.uint8), 0, image)
    return image


def textured(
    geometry: Geometry,
    colour: np.ndarray,
    atlas: Atlas,
    placement: Placement,
    *,
    alpha: float = 0.5,
    supersample: int = 1,
) -> np.ndarray:
    """Uint8 H x W x 3: (1 - alpha) colour + alpha texture, rounded, the grey texture added to each channel.

    ``alpha`` in [0, 1] is taken in steps of 1 / 256. ``placement`` says which part of which texture each leaf shows,
    in pixels of the image; with ``supersample`` the texture is blended after the downscale, so it keeps its sharpness.
    """
    from pipeline.sources.dead_leaves import paint_kernels

    weight = round(256 * alpha)
    image = _canvas(geometry, supersample)
    if supersample == 1:
        rows = np.empty((len(colour), 4), np.int64)
        paint_kernels.leaf_rows(placement.places, placement.boxes, colour, weight, rows)
        paint_kernels.blend(geometry.labels, rows, placement.places, atlas.pixels, weight, image)
        return image
    weighted = colour.astype(np.int32) * np.int32(256 - weight)
    paint_kernels.blend_fine(geometry.labels, supersample, weighted, placement.places, atlas.pixels, weight, image)
    return image


def _canvas(geometry: Geometry, supersample: int) -> np.ndarray:
    height, width = (side // supersample for side in geometry.labels.shape)
    return np.empty((height, width, 3), np.uint8)
