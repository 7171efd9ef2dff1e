"""The trunk beside an implementation by others, with the same weights: transformers' ResNetModel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.trainer import same_weights
from pipeline.encoder.network import ResNet, initialise
from pipeline.encoder.preprocessing import half_scale
from pipeline.encoder.trunk import TrunkExtractor, as_input

pytest.importorskip("transformers", reason="transformers is a development dependency and not installed")


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_features_are_those_of_an_independent_network(depth: int) -> None:
    trunk, chance = ResNet(depth), torch.Generator().manual_seed(depth)
    initialise(trunk, chance)
    with torch.no_grad():
        for key, value in trunk.state_dict().items():  # norms that a wrong order or a left-out one would show
            if value.is_floating_point() and value.ndim == 1:
                value += 0.1 * (torch.rand(value.shape, generator=chance) - 0.5)
    theirs = same_weights(trunk)
    pictures = np.random.default_rng(depth).integers(0, 256, (2, 97, 64, 3), dtype=np.uint8)
    ours = TrunkExtractor(trunk, name="x", sha256="0").extract(list(pictures))
    pixels = as_input(torch.from_numpy(pictures))
    with torch.no_grad():
        vectors = [theirs(scale).pooler_output.flatten(1) for scale in (pixels, half_scale(pixels))]
    expected = torch.cat([F.normalize(vector, dim=1) for vector in vectors], 1).numpy()
    assert np.abs(ours - expected).max() < 1e-5 and expected.std() > 1e-3
