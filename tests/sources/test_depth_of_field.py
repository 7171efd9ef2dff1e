"""Blur by depth against the profiles that a Gaussian lens gives to an edge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from pipeline.seeding import generator
from pipeline.sources.dead_leaves.depth_of_field import blur_by_depth
from pipeline.sources.dead_leaves.geometry import geometry
from pipeline.sources.dead_leaves.leaf import LEAF, Geometry
from pipeline.sources.dead_leaves.radius_law import HittingLaw

FRONT, BACK = 200.0, 40.0


def halves(factor: int) -> tuple[np.ndarray, Geometry]:
    """A front leaf on the left, one behind it on the right: the middles of their layers are at depths 1/4 and 3/4."""
    labels = np.zeros((40 * factor, 80 * factor), np.int32)
    labels[:, 40 * factor :] = 1
    image = np.where(labels[::factor, ::factor, None] == 0, FRONT, BACK).astype(np.uint8).repeat(3, axis=2)
    return image, Geometry(labels, np.zeros(2, LEAF))


@pytest.mark.parametrize("factor", [1, 2])
def test_a_blurred_front_spreads_over_what_is_behind_it(factor: int) -> None:
    image, leaves = halves(factor)
    blurred = blur_by_depth(image, leaves, 0.75, 3.0, supersample=factor)
    x, sigma = np.arange(80) + 0.5 - 40, 3.0 * (0.75 - 0.25) / 0.75
    expected = BACK + (FRONT - BACK) * (1 - erf(x / sigma / np.sqrt(2))) / 2
    assert np.abs(blurred[20, :, 0] - expected).max() < 1.5


def test_the_edge_of_a_leaf_in_focus_stays_sharp_before_a_blurred_one() -> None:
    image, leaves = halves(1)
    assert np.array_equal(blur_by_depth(image, leaves, 0.25, 3.0), image)
    striped = image.copy()
    striped[:, 40::2] = 240
    blurred = blur_by_depth(striped, leaves, 0.25, 3.0)
    assert np.array_equal(blurred[:, :40], image[:, :40])
    assert np.abs(blurred[5:-5, 45:-5].astype(int) - 140).max() <= 2  # the mean of the stripes


@pytest.mark.parametrize("focus", [0.0, 0.4, 1.0])
def test_one_colour_stays_itself_and_a_small_blur_changes_nothing(focus: float) -> None:
    leaves = geometry(generator(4, "test"), HittingLaw(64, 96, 1.0, 96.0))
    flat = np.full((64, 96, 3), (250, 3, 90), np.uint8)
    assert np.abs(blur_by_depth(flat, leaves, focus, 4.0).astype(int) - flat).max() <= 1
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert np.abs(blur_by_depth(noise, leaves, focus, 0.1).astype(int) - noise).max() <= 1
