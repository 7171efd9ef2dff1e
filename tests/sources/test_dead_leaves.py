"""The kernel against the numpy reference, and what every geometry must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline.seeding import generator
from pipeline.sources.dead_leaves import geometry, leaf_shapes
from pipeline.sources.dead_leaves.leaf import FIXED, Shape, shares
from pipeline.sources.dead_leaves.radius_law import HittingLaw
from tests.sources import reference

CASES = [
    (512, 512, 1.0, 512.0, 3.0),
    (300, 201, 1.0, 300.0, 3.0),
    (70, 130, 0.7, 40.0, 2.5),
    (33, 129, 2.0, 900.0, 1.0),
    (50, 50, 1.0, 50.0, 2.0),
    (41, 57, 1.5, 64.0, 4.2),
    (64, 64, 3.0, 3.0, 3.0),
    (1, 9, 1.0, 4.0, 3.0),
    (9, 1, 1.0, 40.0, 3.0),
    (24, 1100, 2.0, 1100.0, 3.0),
]


@pytest.mark.parametrize("case", CASES)
def test_kernel_and_numpy_reference_give_identical_labels_and_leaves(case: tuple) -> None:
    ours, oracle = (module.geometry(generator(5, "test", 1), HittingLaw(*case)) for module in (geometry, reference))
    assert np.array_equal(ours.labels, oracle.labels)
    assert np.array_equal(ours.leaves, oracle.leaves)


MIXED = {"polygon": 2.0, "disc": 1.0, "ellipse": 1.0}


@pytest.mark.parametrize("shape", ["ellipse", "polygon", MIXED])
def test_other_shapes_equal_the_reference_and_lie_inside_their_discs(shape: Shape) -> None:
    law = HittingLaw(90, 140, 2.0, 140.0)
    ours, oracle = (module.geometry(generator(5, "test", 2), law, shape) for module in (geometry, reference))
    assert np.array_equal(ours.labels, oracle.labels) and np.array_equal(ours.leaves, oracle.leaves)
    rows, columns = np.indices(ours.labels.shape)
    mine = ours.leaves[ours.labels]
    reach = np.hypot(columns + 0.5 - mine["x"], rows + 0.5 - mine["y"]) / mine["r"]
    assert reach.max() < 1.001 and len(ours.leaves) > len(geometry.geometry(generator(5, "test", 2), law).leaves)


def test_forms_are_inscribed() -> None:
    """Corners of polygons and ends of the long axes lie on the circle; a square has the area 2 r^2."""
    form = leaf_shapes.draw(np.random.default_rng(0), 500, "ellipse")
    assert form[:, 3].min() > 0.29 and form[:, 3].max() <= 1
    square = np.full((1, leaf_shapes.DRAWS), 0.5)
    square[0, 1] = 0.2  # 3 + floor(0.2 * 6) = 4 corners, none moved
    form = leaf_shapes.FORMS["polygon"](square)[0]
    assert form[0] == 4
    y, x = np.mgrid[-100:100:1.0, -100:100:1.0] + 0.5
    inside = np.array([leaf_shapes.contains(a, b, 90.0, form) for a, b in zip(x.ravel(), y.ravel(), strict=True)])
    assert inside.sum() == pytest.approx(2 * 90**2, rel=0.02)


def test_a_mixture_of_one_shape_is_that_shape_and_the_order_of_shares_does_not_matter() -> None:
    law = HittingLaw(60, 70, 2.0, 70.0)
    for first, second in (("disc", {"disc": 3.0}), ("polygon", {"polygon": 0.1}), (MIXED, dict(sorted(MIXED.items())))):
        ours, same = (geometry.geometry(generator(5, "test", 3), law, shape) for shape in (first, second))
        assert np.array_equal(ours.labels, same.labels)
    assert shares(MIXED) == {"disc": 0.25, "ellipse": 0.25, "polygon": 0.5}
    for shape, message in (("star", "shape 'star'"), ({"disc": 0}, "share 0"), ({}, "no shape")):
        with pytest.raises(ValueError, match=message):
            shares(shape)


def test_visible_shapes_have_their_share_times_their_area_and_log_uniform_radii(monkeypatch: Any) -> None:
    """Exact for any mixture: radii do not depend on the shape, so the area of each shape is a factor times r^2."""
    monkeypatch.setattr(geometry, "BATCH", 400)
    law, number = HittingLaw(24, 32, 1.0, 32.0), 500
    polygons = leaf_shapes.FORMS["polygon"](np.random.default_rng(0).random((20_000, leaf_shapes.DRAWS)))
    half = np.arccos(polygons[:, 3::3]) * (np.arange(8) < polygons[:, :1])
    area = np.array([np.pi, 0.65 * np.pi, (np.sin(2 * half) / 2).sum(axis=1).mean()])
    expected = area * [0.25, 0.25, 0.5] / (area @ [0.25, 0.25, 0.5])
    seen, radius = np.zeros(3), np.empty(number)
    for index in range(number):
        drawn = geometry.geometry(generator(2, "test/mixed", index), law, MIXED)
        shaping = generator(2, "test/mixed", index).spawn(1)[0]
        batches = 1 + drawn.leaves["rank"].max() // geometry.BATCH
        forms = np.concatenate([leaf_shapes.draw(shaping, geometry.BATCH, MIXED) for _ in range(batches)])
        forms = forms[drawn.leaves["rank"][drawn.labels]]
        seen += [(forms[..., 3] == 1).mean(), 0, (forms[..., 0] > 0).mean()]
        radius[index] = drawn.leaves["r"][drawn.labels[12, 16]]
    seen[1] = number - seen.sum()
    assert seen / number == pytest.approx(expected, abs=0.02)
    assert stats.kstest(np.log(radius) / np.log(32.0), "uniform").pvalue > 0.01


@pytest.mark.parametrize("case", CASES[1:])
def test_every_pixel_is_covered_by_a_visible_leaf_that_contains_it(case: tuple) -> None:
    drawn = geometry.geometry(generator(6, "test"), HittingLaw(*case))
    labels, leaves = drawn.labels, drawn.leaves
    assert labels.dtype == np.int32 and labels.shape == case[:2]
    assert np.array_equal(np.unique(labels), np.arange(len(leaves)))
    rows, columns = np.indices(labels.shape)
    mine = leaves[labels]
    assert ((columns + 0.5 - mine["x"]) ** 2 + (rows + 0.5 - mine["y"]) ** 2 <= mine["r"] ** 2).all()
    assert (np.diff(leaves["rank"]) > 0).all()


def test_a_pixel_shows_the_first_leaf_that_contains_it() -> None:
    drawn = geometry.geometry(generator(7, "test"), HittingLaw(40, 56, 2.0, 56.0))
    y, x = np.indices(drawn.labels.shape) + 0.5
    for number, leaf in reversed(list(enumerate(drawn.leaves))):
        first = (x - leaf["x"]) ** 2 + (y - leaf["y"]) ** 2 <= leaf["r"] ** 2
        assert (drawn.labels[first] <= number).all()


def test_centres_and_radii_are_real_and_rounded_to_a_65536th() -> None:
    leaves = geometry.geometry(generator(8, "test"), HittingLaw(128, 128, 1.0, 128.0)).leaves
    for name in ("x", "y", "r"):
        fixed = leaves[name] * FIXED
        assert np.array_equal(fixed, np.round(fixed))
        assert (leaves[name] != np.round(leaves[name])).mean() > 0.99


def test_leaves_centred_outside_the_window_are_seen() -> None:
    leaves = geometry.geometry(generator(9, "test"), HittingLaw(64, 64, 4.0, 200.0)).leaves
    outside = (leaves["x"] < 0) | (leaves["x"] > 64) | (leaves["y"] < 0) | (leaves["y"] > 64)
    assert outside.any() and not outside.all()


def test_the_batch_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    first = geometry.geometry(generator(10, "test"), HittingLaw(90, 90, 1.0, 90.0))
    monkeypatch.setattr(geometry, "BATCH", 100)
    second = geometry.geometry(generator(10, "test"), HittingLaw(90, 90, 1.0, 90.0))
    assert np.array_equal(first.labels, second.labels) and np.array_equal(first.leaves, second.leaves)


def test_part_weights_are_the_areas_of_the_dilated_window() -> None:
    weights = HittingLaw(512, 512, 1.0, 512.0).weights()
    assert weights[0] == pytest.approx(0.9846, abs=5e-4) and weights.sum() == pytest.approx(1)
    single = HittingLaw(100, 60, 7.0, 7.0).weights()
    assert single * (6000 + 14 * 160 + np.pi * 49) == pytest.approx([6000, 14 * 160, np.pi * 49])


@pytest.mark.parametrize("exponent", [1.0, 2.0, 2.5, 3.0, 4.0])
def test_drawn_radii_follow_the_mixture(exponent: float) -> None:
    """The density of a drawn radius is (WH + 2 r (W + H) + pi r^2) r^-s: a chi-square over 20 bins."""
    from pipeline.sources.dead_leaves import sample_leaves

    law, count = HittingLaw(40, 60, 1.0, 80.0, exponent), 200_000
    drawn = np.empty((3, count), np.int64)
    sample_leaves.draw(geometry.words_of(generator(11, "test"), count), law.table(), drawn)
    fine = np.exp(np.linspace(0, np.log(80), 200_001))
    density = (2400 + 200 * fine + np.pi * fine**2) * fine ** (1 - exponent)
    mass = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    edges = np.interp(np.linspace(0, 1, 21), mass / mass[-1], fine)
    observed, _ = np.histogram(drawn[2] / FIXED, np.r_[0, edges[1:-1], 100])
    assert ((observed - count / 20) ** 2 / (count / 20)).sum() < 43.8  # chi-square(19) at p = 0.001


@pytest.mark.parametrize("exponent", [-64.0, 64.0])
@pytest.mark.parametrize("radii", [(2**-8, 2**-8), (1.0, 16_384.0)])
def test_the_bounds_themselves_can_be_drawn(exponent: float, radii: tuple[float, float]) -> None:
    assert (geometry.geometry(generator(12, "test"), HittingLaw(2, 3, *radii, exponent)).labels >= 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5, 1.0, 5.0), "size 0 x 5"),
        ((5, 20_000, 1.0, 5.0), "size 5 x 20000"),
        ((5, 5, 0.0, 5.0), "r_min 0.0"),
        ((5, 5, 6.0, 5.0), "r_min 6.0, r_max 5.0"),
        ((5, 5, 1e-6, 5.0), "r_min 1e-06, r_max 5.0, allowed 0.00390625"),  # would never cover a pixel
        ((5, 5, 1.0, 5.0, float("nan")), "exponent nan"),
        ((5, 5, 0.5, 5.0, 2000.0), "exponent 2000.0, allowed -64.0 to 64.0"),
    ],
)
def test_impossible_values_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HittingLaw(*arguments)
