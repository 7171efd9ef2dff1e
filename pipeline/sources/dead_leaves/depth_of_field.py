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
"""Steps of depth: 16 ms each at 512 x 512."""

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
    layers, colours = _layers(geometry, supersample), image.astype(np.float32)
    visible = np.ones(image.shape[:2], np.float32)  # the share of each pixel that no nearer layer hides
    mattes, shades = [], []
    for index, coverage in enumerate(layers):
        own = sigma * abs((index + 0.5) / LAYERS - focus) / max(focus, 1 - focus)
        known = np.dstack([coverage[..., None] * _own(colours, coverage), coverage, visible])
        spread = _blurred(known, own) + np.float32(_HIDDEN) * _blurred(known, 2 * sigma)
        shades.append(spread[..., :3] / np.maximum(spread[..., 3:4], 1e-12))
        mattes.append(spread[..., 3:4] / np.maximum(spread[..., 4:5], 1e-12))
        visible = np.maximum(visible - coverage, 0)
    blurred = shades.pop()
    mattes.pop()
    while shades:
        matte = mattes.pop()
        blurred = blurred * (1 - matte) + shades.pop() * matte
    return np.asarray(np.clip(np.rint(blurred), 0, 255), np.uint8)


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
    alone = (coverage >= 1)[..., None].astype(np.float32)
    if alone.any() and ((coverage > 0) & (coverage < 1)).any():
        near = _blurred(np.dstack([alone * colours, alone]), 0.7)
        weight = np.float32(1e-3) * coverage[..., None]
        mixed = (near[..., :3] + weight * colours) / np.maximum(near[..., 3:] + weight, 1e-12)
        return np.where(alone > 0, colours, mixed)
    return colours


def _blurred(channels: np.ndarray, sigma: float) -> np.ndarray:
    if sigma < _SHARP:
        return channels
    side = 2 * int(np.ceil(3 * sigma)) + 1
    parts = [cv2.GaussianBlur(part, (side, side), sigma, borderType=cv2.BORDER_REFLECT) for part in cv2.split(channels)]
    return np.dstack(parts)
