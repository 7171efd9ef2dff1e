"""The CPU's views beside the colour spaces on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.encoder.colour import SPACES, convert
from pipeline.encoder.preprocessing import half_scale
from pipeline.encoder.trunk import as_input
from pipeline.training import render_cpu


def squares(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, flat images, greys, edges of black and white, saturated colours."""
    random = np.random.default_rng(side)
    made = []
    for size in (side, 2 * side):
        pixels = random.integers(0, 256, (12, size, size, 3), dtype=np.uint8)
        pixels[0], pixels[1] = 119, random.integers(0, 256, 3)
        pixels[2] = pixels[2, :, :, :1]
        pixels[3, : size // 3], pixels[3, size // 3 :] = 0, 255
        pixels[4] = np.where(pixels[4] > 127, 255, 0)
        pixels[5] = random.integers(0, 12, pixels[5].shape)
        made.append(pixels)
    return made[0], made[1]


@pytest.mark.parametrize("side", [32, 33, 96])
@pytest.mark.parametrize("space", SPACES)
def test_views_are_those_of_the_tensors(space: str, side: int) -> None:
    full, half = squares(side)
    flips = np.arange(24) % 2 == 1
    spaces = np.full(24, list(SPACES).index(space))
    ours = render_cpu.render(full, half, flips, spaces)
    crops = torch.cat((as_input(torch.from_numpy(full)), half_scale(as_input(torch.from_numpy(half)))))
    crops = torch.where(torch.from_numpy(flips).view(-1, 1, 1, 1), crops.flip(3), crops)
    expected = convert(crops, torch.from_numpy(spaces)).permute(0, 2, 3, 1).numpy()
    difference = np.abs(ours - expected)
    if space == "hsv":  # hue 0 is hue 1; the mean of four equal bytes is exact here, and there it may be off by a bit
        difference[..., 0] = np.minimum(difference[..., 0], 1 - difference[..., 0])
        grey = expected[..., 1] < 1e-5
        difference[grey] = np.abs(ours - expected)[grey] * [0, 1, 1]
    assert ours.dtype == np.float32 and difference.max() < (1e-4 if space == "ms" else 1e-5)
