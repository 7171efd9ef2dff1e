"""Half scale with anti-aliasing, and what else is done to an image before a trunk sees it.

The official code halves with Pillow's bilinear filter in training and with its bicubic one in the demos, which differ
by 6 grey levels on average on white noise. Here both are the 2x2 area mean; foreign weights keep the filter that their
authors extract features with.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from pipeline.encoder.colour import SPACES

FILTERS = ("area", "bicubic")


def half_scale(images: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c, ceil(h / 2), ceil(w / 2)]: the mean of each 2x2 square of pixels.

    At an odd side the last row or column has no partner and is the mean of the pixels that are there, so that every
    pixel counts and the result at one place does not depend on the image's size.
    """
    return F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)


def bicubic_half_scale(images: Tensor) -> Tensor:
    """[n, c, h, w] in [0, 1] -> [n, c, floor(h / 2), floor(w / 2)] (at least 1): Pillow's bicubic resize of whole
    bytes, across and then down, as CONTRIQUE's demos have it. Within one grey level of Pillow's.
    """
    height, width = images.shape[2:]
    for size in ((height, max(1, width // 2)), (max(1, height // 2), max(1, width // 2))):
        images = F.interpolate(images, size, mode="bicubic", antialias=True)
        images = (images.clamp(0, 1) * 255).round() / 255
    return images


@dataclass(frozen=True)
class Preprocessing:
    """How an image is shown to a trunk: standardised by each channel's ``mean`` and ``deviation`` (ours: 0 and 1).
    ``half`` names the filter that halves it, ``area`` or ``bicubic``.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    half: str = "area"

    def __post_init__(self) -> None:
        if self.half not in FILTERS:
            raise ValueError(f"half: {self.half!r} is not one of {', '.join(FILTERS)}")
        if len(self.mean) != 3 or len(self.deviation) != 3 or min(self.deviation) <= 0:
            raise ValueError(f"mean {self.mean} and deviation {self.deviation}: three numbers each, deviations above 0")

    def scales(self, images: Tensor, count: int) -> list[Tensor]:
        """[n, 3, h, w] in [0, 1] -> ``count`` scales of it, each half the last."""
        scales = [images]
        while len(scales) < count:
            scales.append((half_scale if self.half == "area" else bicubic_half_scale)(scales[-1]))
        return scales

    def shown(self, scale: Tensor, space: str) -> Tensor:
        """What the trunk is given of one scale, in a colour space (converted after halving, as in training)."""
        return self.standardised(SPACES[space](scale))

    def standardised(self, images: Tensor) -> Tensor:
        """``images`` in a colour space, with the mean taken off and the deviation made 1."""
        if self.mean == (0.0, 0.0, 0.0) and self.deviation == (1.0, 1.0, 1.0):
            return images
        mean, deviation = (images.new_tensor(value).view(1, 3, 1, 1) for value in (self.mean, self.deviation))
        return (images - mean) / deviation
