"""Features of large images in tiles: those of the whole image, whatever the network, the pool and the sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.encoder import stored_encoder, tiles
from pipeline.encoder.network import ResNet, initialise
from pipeline.encoder.pooling import Pool
from pipeline.encoder.preprocessing import Preprocessing
from pipeline.encoder.trunk import TrunkExtractor
from pipeline.encoder.weights import save_encoder

ALL = Pool(layers=(1, 2, 3), statistics=("mean", "std"), spaces=("lab", "hsv", "grey", "ms"), scales=1)


def picture(height: int, width: int) -> np.ndarray:
    random = np.random.default_rng(height)
    squares = np.kron(random.integers(0, 256, (-(-height // 37), -(-width // 37), 3)), np.ones((37, 37, 1)))
    noisy = squares[:height, :width] + random.normal(scale=15, size=(height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def extractor(depth: int, pool: Pool, preprocessing: Preprocessing = Preprocessing()) -> TrunkExtractor:
    trunk = ResNet(depth, 16)
    initialise(trunk, torch.Generator().manual_seed(1))
    return TrunkExtractor(trunk, name="x", sha256="", pool=pool, preprocessing=preprocessing)


@pytest.mark.parametrize(
    ("depth", "pool", "side", "size"),
    [
        (18, Pool(), 544, (561, 620)),
        (18, ALL, 384, (391, 401)),
        (50, Pool(layers=(2,), scales=3), 256, (402, 333)),
        (34, Pool(layers=(1,), scales=1), 256, (300, 501)),
    ],
)
def test_tiles_give_the_feature_of_the_whole_image(
    depth: int, pool: Pool, side: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = extractor(depth, pool), picture(*size)
    whole = model.extract([image])
    monkeypatch.setattr(tiles, "TILE_SIDE", side)
    shown: list[tuple[int, ...]] = []
    monkeypatch.setattr(model.trunk, "maps", _noted(model.trunk.maps, shown))
    tiled = model.extract([image])
    assert len(shown) >= 4 * len(pool.spaces) and max(max(shape[2:]) for shape in shown) <= side
    np.testing.assert_allclose(tiled, whole, atol=2e-6)


def _noted(maps, shown):  # type: ignore[no-untyped-def]
    def noting(images, layers):  # type: ignore[no-untyped-def]
        shown.append(tuple(images.shape))
        return maps(images, layers)

    return noting


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize("layer", [1, 2, 4])
def test_the_halo_covers_what_a_place_of_a_map_sees(depth: int, layer: int) -> None:
    """A place of a map does not change with a pixel that is further away than the halo, less what ``ms`` needs."""
    model = extractor(depth, Pool(layers=(layer,)))
    halo, stride = tiles.halo_of(depth, layer), 2 << layer
    side = 2 * halo + 64
    image = torch.rand(1, 3, side, side, requires_grad=True, generator=torch.Generator().manual_seed(1))
    place = (halo + 32) // stride
    model.trunk.maps(image, (layer,))[layer][0, :, place, place].sum().backward()
    assert image.grad is not None
    reached = torch.nonzero(image.grad.abs().sum((0, 1)).sum(0)).squeeze(1)
    assert place * stride - int(reached.min()) <= halo - 3 and int(reached.max()) - place * stride <= halo - 3


def test_bicubic_halves_are_not_cut_and_need_the_memory_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = Preprocessing(half="bicubic")
    model, image = extractor(18, Pool(), foreign), picture(300, 400)
    whole = model.extract([image])
    monkeypatch.setattr(tiles, "TILE_SIDE", 256)
    np.testing.assert_array_equal(model.extract([image]), whole)
    save_encoder(tmp_path / "foreign", model.trunk, "foreign", {}, foreign)
    save_encoder(tmp_path / "ours", model.trunk, "ours", {})
    assert stored_encoder(tmp_path / "foreign").pixels_at_once is None
    assert stored_encoder(tmp_path / "ours").pixels_at_once == 2**22
