"""Blur by depth, beyond the paper: leaves before and behind the plane of focus lose their sharpness.

The leaves are cut into layers of equal visible area, front to back. Each layer is blurred by a Gaussian whose sigma
grows with its distance from the focus, and laid over those behind it. What a nearer layer hides of a farther one is
unknown: colours and mattes are normalised by the known area, which continues them into the hidden part.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.sources.dead_leaves.leaf import Geometry

LAYERS = 6
"""Steps of depth, about 15 ms each at 512 x 512."""

_SHARP = 0.25
"""Sigma in pixels below which a Gaussian changes nothing."""

_HIDDEN = 1e-4
"""Weight of the widest blur beside a layer's own: it alone reaches what is hidden."""


def blur_by_depth(
    image: np.ndarray, geometry: Geometry, focus: float, sigma: float, *, supersample: int = 1
) -> np.ndarray:
    """Uint8 H x W x 3: ``image`` with the depth of field of a lens focused at ``focus`` (0: the front, 1: the back).

    The depth of a layer is the share of the image that lies before its middle. Its Gaussian's standard deviation is
    ``sigma`` pixels at the depth farthest from the focus and falls linearly to 0 at the focus.
    """
    colours = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    visible = np.ones(image.shape[:2], np.float32)  # the share of each pixel that no nearer layer hides
    stack = []
    for index, coverage in enumerate(_layers(geometry, supersample)):
        own = sigma * abs((index + 0.5) / LAYERS - focus) / max(focus, 1 - focus)
        known = [*(_own(colours, coverage) * coverage), coverage, visible]
        red, green, blue, share, area = (_spread(plane, own, 2 * sigma if index else 0) for plane in known)
        stack.append((np.stack([red, green, blue]) / np.maximum(share, 1e-12), share / np.maximum(area, 1e-12)))
        visible = np.maximum(visible - coverage, 0)
    blurred, _ = stack.pop()
    for layer, matte in reversed(stack):
        blurred += (layer - blurred) * matte
    return np.asarray(np.clip(np.rint(blurred), 0, 255).transpose(1, 2, 0), np.uint8, order="C")


def _layers(geometry: Geometry, supersample: int) -> list[np.ndarray]:
    """The share of each pixel that each layer covers, float32 [H, W], front to back; they sum to 1."""
    area = np.bincount(geometry.labels.ravel(), minlength=len(geometry.leaves))
    depth = (np.cumsum(area) - area / 2) / area.sum()
    layer = np.minimum(depth * LAYERS, LAYERS - 1).astype(np.uint8)[geometry.labels]
    height, width = (side // supersample for side in layer.shape)
    cut = layer.reshape(height, supersample, width, supersample)
    return [(cut == index).mean(axis=(1, 3), dtype=np.float32) for index in range(LAYERS)]


def _own(colours: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """A layer's colours; at pixels that it shares with other layers, those of neighbouring pixels that it has alone.

    Else the rim of a blurred leaf, which is half transparent, would show its own colour in the leaves behind it.
    """
    alone = coverage >= 1
    if alone.any() and ((coverage > 0) & ~alone).any():
        weight = np.float32(1e-3) * coverage
        near = _blurred(alone.astype(np.float32), 0.7) + weight
        mixed = [(_blurred(alone * plane, 0.7) + weight * plane) / np.maximum(near, 1e-12) for plane in colours]
        return np.where(alone, colours, mixed)
    return colours


def _blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    if sigma < _SHARP:
        return plane
    side = 2 * int(np.ceil(3 * sigma)) + 1
    return np.asarray(cv2.GaussianBlur(plane, (side, side), sigma, borderType=cv2.BORDER_REFLECT))


def _spread(plane: np.ndarray, sigma: float, widest: float) -> np.ndarray:
    """A layer's own blur, and with little weight the widest one, at a quarter of the size (0: nothing is hidden)."""
    blurred = _blurred(plane, sigma)
    if not widest:
        return blurred
    height, width = plane.shape
    small = cv2.resize(plane, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
    wide = cv2.resize(_blurred(small, widest / 4), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(blurred + np.float32(_HIDDEN) * wide)
