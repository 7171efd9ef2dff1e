"""The five colour spaces of paper 1, section 3.3, on batches and on the device: float [n, 3, h, w] in [0, 1] to the
same.

The ranges are those of the usual 8-bit forms divided by 255. LAB has its +128 offset: the official code reads Pillow's
LAB bytes without it, which turns neutral grey into full-range salt and pepper in a and b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from pipeline.images import LUMA

XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)  # D65, 2 degrees
_TAPS = 3  # on each side: 7 in all
SIGMA = 7 / 6
EPSILON = 1e-3 / 255  # the official 1e-3 of 8-bit levels: a flat crop becomes 0 and not 0 / 0


def rgb(images: Tensor) -> Tensor:
    """sRGB as it is."""
    return images


def grey(images: Tensor) -> Tensor:
    """Luma 0.299 R + 0.587 G + 0.114 B (BT.601) in three equal channels."""
    luma = (images * _constant(LUMA, images.dtype, images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return luma.expand(-1, 3, -1, -1)


def lab(images: Tensor) -> Tensor:
    """CIE Lab (sRGB, D65) as L / 100, (a + 128) / 255, (b + 128) / 255, clipped to [0, 1]: neutral grey has a = b =
    0.502.
    """
    lightness, a, b = _lab(images)
    return torch.stack((lightness / 100, (a + 128) / 255, (b + 128) / 255), 1).clamp(0, 1)


def _lab(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L 0..100, a and b, each [n, h, w]."""
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055).clamp_min(0).pow(2.4), images / 12.92)
    matrix, white = (_constant(values, images.dtype, images.device) for values in (XYZ, WHITE))
    xyz = torch.einsum("ij,njhw->nihw", matrix, linear) / white.view(1, 3, 1, 1)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-6).pow(1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def hsv(images: Tensor) -> Tensor:
    """Hue (a turn = 1), saturation and value; hue and saturation of a grey pixel are 0."""
    value, _ = images.max(1)
    chroma = value - images.min(1).values
    safe = torch.where(chroma > 0, chroma, 1)
    red, green, blue = images.unbind(1)
    hue = torch.where(value == blue, 4 + (red - green) / safe, 0.0)
    hue = torch.where(value == green, 2 + (blue - red) / safe, hue)
    hue = torch.where(value == red, (green - blue) / safe, hue)
    hue = torch.where(chroma > 0, (hue / 6) % 1.0, 0.0)
    saturation = torch.where(value > 0, chroma / torch.where(value > 0, value, 1), 0.0)
    return torch.stack((hue, saturation, value), 1)


def mean_subtracted(images: Tensor) -> Tensor:
    """x minus its Gaussian local mean (7 taps, sigma 7/6, edges mirrored with the edge pixel), min-max to [0, 1].

    The stretch is per image and channel, (y - min) / (max - min + 1e-3 / 255). There is no division by a local
    deviation.
    """
    contrast = local_contrast(images)
    return stretched(contrast, contrast.amin((2, 3), keepdim=True), contrast.amax((2, 3), keepdim=True))


def local_contrast(images: Tensor) -> Tensor:
    """x minus its Gaussian local mean, about 0: the first half of :func:`mean_subtracted`."""
    return images - _smooth(_smooth(images, 3), 2)


def stretched(contrast: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The second half: ``low`` and ``high`` [n, c, 1, 1] of the whole image become 0 and 1."""
    return (contrast - low) / (high - low + EPSILON)


SPACES: dict[str, Callable[[Tensor], Tensor]] = {
    "rgb": rgb,
    "lab": lab,
    "hsv": hsv,
    "grey": grey,
    "ms": mean_subtracted,
}


def convert(images: Tensor, spaces: Tensor) -> Tensor:
    """Convert each image of a batch to its own space: ``spaces`` int64 [n] indexes :data:`SPACES` in order.

    ``spaces`` is on the host, because finding the rows of a space on a GPU would make the host wait for its queue.
    """
    converted = torch.empty_like(images)
    for index, space in enumerate(SPACES.values()):
        rows = torch.nonzero(spaces == index).squeeze(1).to(images.device, non_blocking=True)
        if len(rows):
            converted[rows] = space(images[rows])
    return converted


@lru_cache(maxsize=32)
def _constant(values: tuple[object, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Copied to a device once: each copy of a list makes the host wait for all that is queued there."""
    return torch.tensor(values, dtype=dtype, device=device)


def _smooth(images: Tensor, axis: int) -> Tensor:
    """Gaussian means along ``axis``. Sums of shifted images: on a CPU 4 times as quick as a depthwise convolution."""
    taps = [math.exp(-0.5 * (offset / SIGMA) ** 2) for offset in range(_TAPS + 1)]
    scale = 1 / (2 * sum(taps) - taps[0])
    size, padded = images.shape[axis], _mirror(images, axis)
    smooth = padded.narrow(axis, _TAPS, size) * (taps[0] * scale)
    for offset in range(1, _TAPS + 1):
        pair = padded.narrow(axis, _TAPS - offset, size) + padded.narrow(axis, _TAPS + offset, size)
        smooth.add_(pair, alpha=taps[offset] * scale)
    return smooth


def _mirror(images: Tensor, axis: int) -> Tensor:
    """Pad ``axis`` by the taps with its own mirror image, the edge pixel repeated (c b a | a b c ... x y z | z y x)."""
    size = images.shape[axis]
    places = torch.arange(-_TAPS, size + _TAPS, device=images.device)
    for _ in range(2):  # the second time for images of fewer pixels than taps. ONNX has no modulo by a size
        places = torch.where(places < 0, -1 - places, places)
        places = torch.where(places < size, places, 2 * size - 1 - places)
    return images.index_select(axis, places)
