"""Rendering against numpy: colours by lookup, textures by symmetry and offset, and what supersampling keeps."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.seeding import generator
from pipeline.sources.dead_leaves import paint
from pipeline.sources.dead_leaves.geometry import geometry
from pipeline.sources.dead_leaves.leaf import Geometry
from pipeline.sources.dead_leaves.radius_law import HittingLaw
from pipeline.sources.dead_leaves.shading import shade
from pipeline.sources.dead_leaves.texture_placement import Placement, place
from pipeline.sources.textures import atlas as textures
from pipeline.sources.textures.atlas import Atlas


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return generator(1, "test").integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    draws = generator(2, "test")
    return textures._atlas([(str(side), draws.integers(0, 256, side, dtype=np.uint8)) for side in ((60, 80), (97, 41))])


def _mirror(place: np.ndarray, size: np.ndarray) -> np.ndarray:
    place = place % (2 * size)
    return np.where(place < size, place, 2 * size - 1 - place)


def _texture(labels: np.ndarray, atlas: Atlas, placement: Placement, factor: int = 1) -> np.ndarray:
    base, height, width, y0, dy, x0, dx, turned = np.moveaxis(placement.places[labels], -1, 0)
    rows, columns = np.indices(labels.shape) // factor
    down, along = np.where(turned, columns, rows), np.where(turned, rows, columns)
    return atlas.pixels[base + _mirror(y0 + dy * down, height) * width + _mirror(x0 + dx * along, width)]


def _make(photograph: np.ndarray, side: tuple[int, int], r_max: float) -> tuple[Geometry, np.ndarray]:
    drawn = geometry(generator(3, "test"), HittingLaw(*side, 1.0, r_max))
    return drawn, paint.draw_colours(generator(4, "test"), photograph, len(drawn.leaves))


def test_plain_is_a_lookup_of_joint_colours(photograph: np.ndarray) -> None:
    drawn, colour = _make(photograph, (70, 50), 70.0)
    assert np.array_equal(paint.plain(drawn, colour), colour[drawn.labels])
    assert {tuple(c) for c in colour} <= {tuple(p) for p in photograph.reshape(-1, 3)}


@pytest.mark.parametrize(("side", "r_max"), [((70, 50), 30.0), ((150, 190), 400.0)])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_textured_equals_numpy(photograph: np.ndarray, atlas: Atlas, side: tuple, r_max: float, alpha: float) -> None:
    drawn, colour = _make(photograph, side, r_max)
    placement = place(generator(5, "test"), drawn, atlas)
    weight = round(256 * alpha)
    grey = _texture(drawn.labels, atlas, placement)[..., None].astype(int)
    expected = (colour[drawn.labels].astype(int) * (256 - weight) + grey * weight + 128) >> 8
    assert np.array_equal(paint.textured(drawn, colour, atlas, placement, alpha=alpha), expected)


@pytest.mark.parametrize("factor", [2, 3])
def test_supersampling_averages_colours_and_keeps_the_texture_sharp(
    photograph: np.ndarray, atlas: Atlas, factor: int
) -> None:
    drawn, colour = _make(photograph, (60 * factor, 40 * factor), 50.0 * factor)
    placement = place(generator(5, "test"), drawn, atlas, supersample=factor)
    grey = _texture(drawn.labels, atlas, placement, factor)[..., None].astype(int)
    for alpha, weight in ((0.0, 0), (0.5, 128)):
        fine = colour[drawn.labels].astype(int) * (256 - weight) + grey * weight
        mean = fine.reshape(60, factor, 40, factor, 3).sum(axis=(1, 3))
        expected = (mean + 128 * factor**2) // (256 * factor**2)
        averaged = paint.textured(drawn, colour, atlas, placement, alpha=alpha, supersample=factor)
        assert np.array_equal(averaged, expected)
        if not weight:
            assert np.array_equal(paint.plain(drawn, colour, supersample=factor), expected)


@pytest.mark.parametrize("factor", [1, 2])
def test_light_is_a_ramp_across_each_leaf(factor: int) -> None:
    drawn = geometry(generator(3, "test"), HittingLaw(40 * factor, 60 * factor, 2.0 * factor, 60.0 * factor))
    flat = np.full((40, 60, 3), 100, np.uint8)
    shaded = shade(flat, drawn, generator(9, "test"), 0.6, supersample=factor)
    height, turn = generator(9, "test").random((2, len(drawn.leaves)))
    leaf, (i, j) = drawn.leaves[drawn.labels], np.indices(drawn.labels.shape)
    across = (j + 0.5 - leaf["x"]) * np.cos(2 * np.pi * turn)[drawn.labels]
    down = (i + 0.5 - leaf["y"]) * np.sin(2 * np.pi * turn)[drawn.labels]
    light = 1 + 0.6 * height[drawn.labels] * (across + down) / leaf["r"]
    expected = 100 * light.reshape(40, factor, 60, factor).mean(axis=(1, 3))
    assert np.abs(shaded[..., 0] - expected).max() <= 0.501 and (shaded == shaded[..., :1]).all()
    assert 40 <= shaded.min() < 70 and 130 < shaded.max() <= 160
    assert shade(np.full_like(flat, 255), drawn, generator(9, "test"), 0.6, supersample=factor).max() == 255


def test_placement_is_uniform_over_textures_and_symmetries_and_meets_no_border_if_it_fits(atlas: Atlas) -> None:
    drawn = geometry(generator(6, "test"), HittingLaw(200, 240, 1.0, 15.0))
    placement = place(generator(7, "test"), drawn, atlas)
    second = placement.places[:, 0] > 0
    assert second.mean() == pytest.approx(0.5, abs=0.05)
    down, along, turned = (placement.places[:, column] for column in (4, 6, 7))
    symmetry = (down < 0) + 2 * (along < 0) + 4 * turned
    assert np.bincount(symmetry) / len(symmetry) == pytest.approx([1 / 8] * 8, abs=0.03)
    base, height, width, y0, dy, x0, dx, turned = np.moveaxis(placement.places[drawn.labels], -1, 0)
    rows, columns = np.indices(drawn.labels.shape)
    y = y0 + dy * np.where(turned, columns, rows)
    x = x0 + dx * np.where(turned, rows, columns)
    assert (y >= 0).all() and (y < height).all() and (x >= 0).all() and (x < width).all()


def test_a_leaf_larger_than_its_texture_is_mirrored(atlas: Atlas) -> None:
    drawn = geometry(generator(8, "test"), HittingLaw(220, 220, 90.0, 200.0))
    places = place(generator(7, "test"), drawn, atlas).places[drawn.labels]
    base, height, width, y0, dy, x0, dx, turned = np.moveaxis(places, -1, 0)
    rows, columns = np.indices(drawn.labels.shape)
    y = y0 + dy * np.where(turned, columns, rows)
    assert ((y < 0) | (y >= height)).any()
