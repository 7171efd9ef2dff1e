"""The two views of an image: a crop at full scale and one at half scale, flipped or not, each in a drawn colour space.

Both views of all images go through the encoder as one batch, the full ones first, so it does not matter which of the
two is called the first view. The host only cuts squares of bytes; the rest is batched on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.encoder.colour import SPACES, convert
from pipeline.encoder.preprocessing import half_scale
from pipeline.encoder.trunk import as_input
from pipeline.training import render_cpu


@dataclass(frozen=True)
class Draws:
    """The random choices of a batch of n images. Row 0 is the full scale, row 1 the half scale."""

    places: NDArray[np.float64]  # [2, n, 2] in [0, 1): where the crop lies, down and across
    flips: NDArray[np.bool_]  # [2, n]
    spaces: NDArray[np.int64]  # [2, n], an index into colour.SPACES

    def part(self, rows: slice) -> Draws:
        """Those of some of the images."""
        return Draws(self.places[:, rows], self.flips[:, rows], self.spaces[:, rows])


def draw(random: np.random.Generator, count: int, spaces: Sequence[str] = tuple(SPACES)) -> Draws:
    """The choices of ``count`` images; the colour space is uniform over ``spaces``, independently for each view."""
    places = random.random((2, count, 2))
    flips = random.random((2, count)) < 0.5
    indices = np.array([list(SPACES).index(space) for space in spaces])
    return Draws(places, flips, indices[random.integers(len(indices), size=(2, count))])


def corners(shapes: NDArray[np.integer], crop: int, draws: Draws) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the squares of the two views begin in images of ``shapes`` [n, 2] (height and width), int64 [n, 2] each,
    down and across in the image's own pixels: [crop, crop] for the full scale, [2 crop, 2 crop], to be halved, for the
    half scale.

    The second lies on even pixels, so that it halves to a crop of the halved image. A corner is negative where an image
    is smaller than its crop, which is then centred.
    """
    full = crop_corners(shapes, crop, draws.places[0])
    return full, 2 * crop_corners((shapes + 1) // 2, crop, draws.places[1])


def render(full: Tensor, half: Tensor, draws: Draws) -> Tensor:
    """uint8 [n, M, M, 3] and [n, 2 M, 2 M, 3] -> the encoder's input, float32 [2 n, 3, M, M] in [0, 1], channels last,
    on their device: the full scale first. In float32 whatever the autocast.
    """
    if full.device.type == "cpu":
        views = render_cpu.render(full.numpy(), half.numpy(), draws.flips.reshape(-1), draws.spaces.reshape(-1))
        return torch.from_numpy(views).permute(0, 3, 1, 2)
    with torch.autocast(full.device.type, enabled=False):
        crops = torch.cat((as_input(full), half_scale(as_input(half))))
        flips = torch.from_numpy(draws.flips.reshape(-1)).to(crops.device, non_blocking=True)
        crops = torch.where(flips.view(-1, 1, 1, 1), crops.flip(3), crops)
        crops = convert(crops, torch.from_numpy(draws.spaces.reshape(-1)))
    return crops.contiguous(memory_format=torch.channels_last)


def crop_corners(sizes: NDArray[np.integer], crop: int, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64 [n, 2]: where crops begin, down and across, in images of ``sizes`` [n, 2], for ``places`` [n, 2] in [0, 1);
    centred, and so negative, along a side that is smaller than the crop.
    """
    room = sizes.astype(np.int64) - crop
    return np.where(room >= 0, (places * (room + 1)).astype(np.int64), -((-room) // 2))


def crops_in_rgb(squares: Tensor, flips: Tensor) -> Tensor:
    """uint8 [n, M, M, 3] -> the encoder's input, float32 [n, 3, M, M] in [0, 1], channels last. ``flips`` bool [n, 2]:
    which are turned upside down and which left to right (paper 3, section 3.1).
    """
    for axis in (0, 1):
        squares = torch.where(flips[:, axis].view(-1, 1, 1, 1), squares.flip(1 + axis), squares)
    return as_input(squares)
