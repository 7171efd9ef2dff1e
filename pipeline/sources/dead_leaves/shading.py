"""Smooth shading inside each leaf, beyond the paper: a linear ramp of light, as on a tilted surface."""

from __future__ import annotations

import numpy as np

from pipeline.sources.dead_leaves.leaf import Geometry


def shade(
    image: np.ndarray, geometry: Geometry, generator: np.random.Generator, strength: float, *, supersample: int = 1
) -> np.ndarray:
    """Uint8 H x W x 3: ``image`` times the light on each leaf, rounded and clipped.

    The light at (x, y) is 1 + a ((x - x0) cos t + (y - y0) sin t) / r for a leaf of centre (x0, y0) and radius r, with
    a uniform on [0, ``strength``] and t uniform on the circle: inside the leaf it stays within 1 - ``strength`` and
    1 + ``strength``. With ``supersample`` s, ``geometry`` has s x s labels a pixel, whose lights are averaged.
    """
    from pipeline.sources.dead_leaves import paint_kernels

    leaves = geometry.leaves
    height, turn = generator.random((2, len(leaves))) * np.array([[strength], [2 * np.pi]])
    slopes = np.stack([height * np.cos(turn) / leaves["r"], height * np.sin(turn) / leaves["r"]], axis=1)
    ramps = np.empty((len(leaves), 3))
    ramps[:, 1:] = slopes
    ramps[:, 0] = 1 - slopes[:, 0] * leaves["x"] - slopes[:, 1] * leaves["y"]
    shaded = np.empty_like(image)
    paint_kernels.light(geometry.labels, supersample, ramps, image, shaded)
    return shaded
