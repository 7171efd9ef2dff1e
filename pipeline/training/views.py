"""The two views of an image: a crop at full scale and one at half scale, flipped or not, each in a drawn colour space.

Both views of all images go through the encoder as one batch, the full ones first. So it does not matter which of the
two is called the first view (the official code draws it, because it makes a forward pass, with its own batch
statistics, for each). The host only cuts squares of bytes; the rest is batched on the device. ``official`` asks for
what the official code does where it changes the views: see docs/training.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.encoder.colour import OFFICIAL, SPACES, convert
from pipeline.encoder.preprocessing import half_scale
from pipeline.encoder.trunk import as_input


@dataclass(frozen=True)
class Draws:
    """The random choices of a batch of n images. Row 0 is the full scale, row 1 the half scale."""

    places: NDArray[np.float64]  # [2, n, 2] in [0, 1): where the crop lies, down and across
    flips: NDArray[np.bool_]  # [2, n]
    spaces: NDArray[np.int64]  # [2, n], an index into colour.SPACES
    swaps: NDArray[np.bool_]  # [n]: the half scale is the first view; only the official two passes can tell

    def part(self, rows: slice) -> Draws:
        """Those of some of the images."""
        return Draws(self.places[:, rows], self.flips[:, rows], self.spaces[:, rows], self.swaps[rows])


def draw(generator: np.random.Generator, count: int, spaces: Sequence[str] = tuple(SPACES)) -> Draws:
    """The choices of ``count`` images; the colour space is uniform over ``spaces``, independently for each view."""
    places = generator.random((2, count, 2))
    flips = generator.random((2, count)) < 0.5
    known = np.array([list(SPACES).index(space) for space in spaces])
    drawn = known[generator.integers(len(known), size=(2, count))]
    return Draws(places, flips, drawn, generator.random(count) < 0.5)


def cut(
    image: NDArray[np.uint8], crop: int, draws: Draws, row: int, official: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What the views of ``image`` are made of: [crop, crop, 3] at full scale and [2 crop, 2 crop, 3] to be halved.

    The second lies on even pixels, so that it halves to a crop of the halved image. An image that is too small for a
    crop is continued by its own mirror image. The official code takes the middle and puts black around it, and an odd
    last row or column is not in its half scale.
    """
    height, width = image.shape[:2]
    whole = image[: height // 2 * 2, : width // 2 * 2] if official else image
    (top, left), (half_top, half_left) = corners((height, width), crop, draws, row, official)
    return (
        _square(image, top, left, crop, official),
        _square(whole, half_top, half_left, 2 * crop, official),
    )


def corners(
    size: tuple[int, int], crop: int, draws: Draws, row: int, official: bool
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the two squares of :func:`cut` begin in an image of ``size``, (down, across) each, in its own pixels."""
    height, width = size
    halved = (height // 2, width // 2) if official else ((height + 1) // 2, (width + 1) // 2)
    top, left = _corner(halved, crop, draws.places[1, row], official)
    return _corner(size, crop, draws.places[0, row], official), (2 * top, 2 * left)


def render(full: Tensor, half: Tensor, draws: Draws, official: bool = False) -> Tensor:
    """uint8 [n, M, M, 3] and [n, 2 M, 2 M, 3] -> the encoder's input, float32 [2 n, 3, M, M] in [0, 1], on their
    device: the full scale first, or with ``official`` the first views, whatever their scale.
    """
    crops = torch.cat((as_input(full), half_scale(as_input(half))))
    flips = torch.from_numpy(draws.flips.reshape(-1)).to(crops.device, non_blocking=True)
    crops = torch.where(flips.view(-1, 1, 1, 1), crops.flip(3), crops)
    crops = convert(crops, torch.from_numpy(draws.spaces.reshape(-1)), OFFICIAL if official else SPACES)
    if official:
        swaps = torch.from_numpy(draws.swaps).to(crops.device, non_blocking=True).view(-1, 1, 1, 1)
        one, two = crops.chunk(2)
        crops = torch.cat((torch.where(swaps, two, one), torch.where(swaps, one, two)))
    return crops.contiguous(memory_format=torch.channels_last)


def _corner(size: tuple[int, int], crop: int, place: NDArray[np.float64], official: bool) -> tuple[int, int]:
    """Where a crop starts, down and across; centred, and so negative, where the image is smaller."""
    if official and min(size) < crop:
        height, width = (round((side - crop) / 2) if side >= crop else -((crop - side) // 2) for side in size)
        return height, width
    top, left = (
        int(where * (side - crop + 1)) if side >= crop else -((crop - side) // 2)
        for side, where in zip(size, place, strict=True)
    )
    return top, left


def _square(image: NDArray[np.uint8], top: int, left: int, side: int, black: bool) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    inside = image[max(top, 0) : top + side, max(left, 0) : left + side]
    if inside.shape[:2] == (side, side):
        return inside
    down = (max(-top, 0), max(top + side - height, 0))
    across = (max(-left, 0), max(left + side - width, 0))
    padding = (down, across, (0, 0))
    return np.pad(inside, padding) if black else np.pad(inside, padding, mode="symmetric")
