"""Photographs and worse versions of them, in whole-number arithmetic: the same bytes with any library.

What the golden figures of tests/golden/metrics were made on, and what the metrics are tested with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import skimage.data

Image = np.ndarray


def photograph(name: str, height: int, width: int) -> Image:
    """The top left of one of scikit-image's photographs, uint8 height x width x 3."""
    return np.ascontiguousarray(getattr(skimage.data, name)()[:height, :width])


def noise(image: Image, spread: int = 24) -> Image:
    """Uniform noise of its own in every channel."""
    drawn = np.random.Generator(np.random.PCG64(7)).integers(-spread, spread + 1, image.shape)
    return np.clip(image + drawn, 0, 255).astype(np.uint8)


def blur(image: Image, reach: int = 2) -> Image:
    """The mean of a square of 2 reach + 1 pixels, the edge repeated."""
    side = 2 * reach + 1
    padded = np.pad(image.astype(np.int64), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))
    return (windows.sum(axis=(-1, -2)) // side**2).astype(np.uint8)


def blocks(image: Image) -> Image:
    """Half way to the means of squares of 8 pixels."""
    coarse = image[::8, ::8].repeat(8, axis=0).repeat(8, axis=1)[: image.shape[0], : image.shape[1]]
    return ((image.astype(np.int64) + coarse) // 2).astype(np.uint8)


def contrast(image: Image) -> Image:
    """Two thirds of the distance to grey level 100."""
    return (100 + (image.astype(np.int64) - 100) * 2 // 3).astype(np.uint8)


def fewer(image: Image) -> Image:
    """Levels in steps of 32."""
    return (image // 32 * 32 + 16).astype(np.uint8)


def paler(image: Image) -> Image:
    """Half the distance to the mean of the channels."""
    mean = image.astype(np.int64).sum(axis=2, keepdims=True) // 3
    return (mean + (image - mean) // 2).astype(np.uint8)


def grey(image: Image) -> Image:
    """Three equal channels."""
    return image[..., 1:2].repeat(3, axis=2)


CASES: dict[str, Callable[[], tuple[Image, Image]]] = {
    "astronaut 384x512 noise": lambda: _pair(photograph("astronaut", 384, 512), noise),
    "astronaut 256x256 blur": lambda: _pair(photograph("astronaut", 256, 256), blur),
    "chelsea 300x451 noise": lambda: _pair(photograph("chelsea", 300, 451), noise),
    "chelsea 299x451 grey contrast": lambda: _pair(grey(photograph("chelsea", 299, 451)), contrast),
    "coffee 400x592 blocks": lambda: _pair(photograph("coffee", 400, 592), blocks),
    "coffee 256x256 paler": lambda: _pair(photograph("coffee", 256, 256), paler),
    "astronaut 208x336 grey blur": lambda: _pair(grey(photograph("astronaut", 208, 336)), blur),
    "coffee 256x256 fewer": lambda: _pair(photograph("coffee", 256, 256), fewer),
}


def _pair(image: Image, worse: Callable[[Image], Image]) -> tuple[Image, Image]:
    return image, worse(image)
