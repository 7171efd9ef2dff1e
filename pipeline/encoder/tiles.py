"""Features of large images, tile by tile: memory does not grow with the image beyond its pixels.

A place on a layer's map sees the pixels around it, as far as half the receptive field. A tile is shown with so many
pixels around it (its halo), and only the places of the tile itself count. The sums over all tiles are then those of the
whole map, but for rounding (1e-6). The colour space ``ms`` is stretched by an image's least and greatest value, which a
first pass finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.encoder import colour
from pipeline.encoder.extractor import TILE_SIDE
from pipeline.encoder.network import BLOCKS, ResNet
from pipeline.encoder.pooling import Pool
from pipeline.encoder.preprocessing import Preprocessing, half_scale

STRIDE = 32  # pixels between two places of the last map: tiles begin at its multiples, so that all maps keep their grid
_TAPS = 3  # pixels that ``ms`` looks beyond a place


@dataclass(frozen=True)
class Tile:
    """Rows and columns of an image at one scale: ``core`` counts, ``shown`` is the core with its halo."""

    core: tuple[slice, slice]
    shown: tuple[slice, slice]

    def inside(self, stride: int) -> tuple[slice, slice]:
        """The core's places on a map of ``stride`` pixels of what is shown."""
        pairs = zip(self.core, self.shown, strict=True)
        rows, columns = (
            slice((core.start - shown.start) // stride, -(-(core.stop - shown.start) // stride))
            for core, shown in pairs
        )
        return rows, columns


def needed(height: int, width: int) -> bool:
    """Whether an image is larger than one tile."""
    return height * width > TILE_SIDE**2


def allowed(preprocessing: Preprocessing, pool: Pool) -> bool:
    """Whether tiles give the feature of the whole image: not where halving looks beyond its pixels (bicubic)."""
    return pool.scales == 1 or preprocessing.half == "area"


def features(
    trunk: ResNet,
    preprocessing: Preprocessing,
    pool: Pool,
    image: NDArray[np.uint8],
    device: torch.device,
    *,
    bfloat16: bool = False,
) -> Tensor:
    """float32 [1, dim] of an image [h, w, 3] of any size: what ``pool.features`` gives of it to 1e-5."""
    blocks: list[Tensor] = []
    for space in pool.spaces:
        for scale in range(pool.scales):
            scaled = _Scaled(image, scale, device)
            blocks += _blocks(trunk, preprocessing, pool, scaled, space, bfloat16)
    return torch.cat(blocks, 1)


def halo_of(depth: int, layer: int) -> int:
    """Pixels around a tile: half the receptive field of a map and ``ms``'s taps, up to a multiple of :data:`STRIDE`.

    A 3x3 convolution looks one of its input's places further: 7x7 at stride 2 and the pooling 5 pixels together, then
    two convolutions a block (one in a bottleneck), the first of layers 2 to 4 at the stride before.
    """
    reach, each = _TAPS + 5, 1 if depth == 50 else 2
    for number in range(1, layer + 1):
        stride, convolutions = 2 << number, BLOCKS[depth][number - 1] * each
        reach += (convolutions - 1) * stride + (stride if number == 1 else stride // 2)
    return -(-reach // STRIDE) * STRIDE


@dataclass(frozen=True)
class _Scaled:
    """An image halved ``scale`` times, of which parts are computed when they are asked for."""

    image: NDArray[np.uint8]
    scale: int
    device: torch.device

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = (-(-side // 2**self.scale) for side in self.image.shape[:2])
        return height, width

    def part(self, place: tuple[slice, slice]) -> Tensor:
        """float32 [1, 3, h, w] in [0, 1]; a part ends at the image's edge or at a whole pixel of this scale."""
        rows, columns = (slice(side.start << self.scale, side.stop << self.scale) for side in place)
        pixels = torch.from_numpy(np.ascontiguousarray(self.image[rows, columns])).to(self.device)
        part = pixels.permute(2, 0, 1)[None].float() / 255
        for _ in range(self.scale):
            part = half_scale(part)
        return part


def _blocks(
    trunk: ResNet, preprocessing: Preprocessing, pool: Pool, scaled: _Scaled, space: str, bfloat16: bool
) -> Iterator[Tensor]:
    """The blocks of one space and scale, layer by layer."""
    ends = _ends(scaled) if space == "ms" else None
    moments = {layer: torch.zeros(2, trunk.channels(layer), dtype=torch.float64) for layer in pool.layers}
    counts = dict.fromkeys(pool.layers, 0)
    for tile in _tiles(scaled.size, halo_of(trunk.depth, max(pool.layers))):
        part = scaled.part(tile.shown)
        part = colour.SPACES[space](part) if ends is None else colour.stretched(colour.local_contrast(part), *ends)
        with torch.autocast(scaled.device.type, torch.bfloat16, bfloat16):  # not of colours
            maps = trunk.maps(preprocessing.standardised(part), pool.layers)
        for layer, whole in maps.items():
            rows, columns = tile.inside(2 << layer)
            values = whole[0, :, rows, columns].flatten(1)
            counts[layer] += values.shape[1]
            moments[layer] += torch.stack((values.sum(1, dtype=torch.float64), values.double().square().sum(1))).cpu()
    for layer in pool.layers:
        total, squares = moments[layer]
        yield from pool.of_moments(counts[layer], total[None], squares[None])


def _tiles(size: tuple[int, int], halo: int) -> Iterator[Tile]:
    """Tiles that cover an image once, row by row."""
    step = TILE_SIDE - 2 * halo
    for top in range(0, size[0], step):
        for left in range(0, size[1], step):
            core = [slice(at, min(at + step, length)) for at, length in zip((top, left), size, strict=True)]
            shown = [
                slice(max(0, side.start - halo), min(side.stop + halo, length))
                for side, length in zip(core, size, strict=True)
            ]
            yield Tile((core[0], core[1]), (shown[0], shown[1]))


def _ends(scaled: _Scaled) -> tuple[Tensor, Tensor]:
    """The least and the greatest local contrast of each channel, [1, 3, 1, 1]."""
    lows, highs = list[Tensor](), list[Tensor]()
    for tile in _tiles(scaled.size, STRIDE):
        rows, columns = tile.inside(1)
        contrast = colour.local_contrast(scaled.part(tile.shown))[:, :, rows, columns]
        lows.append(contrast.amin((2, 3), keepdim=True))
        highs.append(contrast.amax((2, 3), keepdim=True))
    return torch.stack(lows).amin(0), torch.stack(highs).amax(0)
