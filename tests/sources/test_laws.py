"""The closed laws of the model, over 4,000 small images: nothing but theory on the other side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.seeding import generator
from pipeline.sources.dead_leaves.geometry import geometry
from pipeline.sources.dead_leaves.radius_law import HittingLaw
from tests.sources.reference import same_leaf_probability, visible_radius_cdf

SIDE, R_MAX, IMAGES = 64, 64.0, 4_000


@pytest.fixture(scope="module")
def sample() -> dict[str, np.ndarray]:
    radius = {"centre": np.empty(IMAGES), "corner": np.empty(IMAGES)}
    same = {distance: np.empty(IMAGES) for distance in (1, 4, 16)}
    for index in range(IMAGES):
        drawn = geometry(generator(2026, "test/laws", index), HittingLaw(SIDE, SIDE, 1.0, R_MAX))
        labels, leaves = drawn.labels, drawn.leaves
        assert labels.min() >= 0 and labels.max() == len(leaves) - 1  # covered, always
        radius["centre"][index] = leaves["r"][labels[SIDE // 2, SIDE // 2]]
        radius["corner"][index] = leaves["r"][labels[0, 0]]
        for distance in same:
            same[distance][index] = (labels[:, distance:] == labels[:, :-distance]).mean()
    return {**radius, **{f"same {distance}": values for distance, values in same.items()}}


@pytest.mark.parametrize("place", ["centre", "corner"])
def test_visible_radius_is_log_uniform(sample: dict[str, np.ndarray], place: str) -> None:
    result = stats.kstest(np.log(sample[place]) / np.log(R_MAX), "uniform")
    assert result.pvalue > 0.01


@pytest.mark.parametrize("distance", [1, 4, 16])
def test_same_leaf_probability(sample: dict[str, np.ndarray], distance: int) -> None:
    expected = same_leaf_probability(distance, 1.0, R_MAX)
    assert sample[f"same {distance}"].mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("exponent", "height", "width"), [(2.0, 24, 40), (3.7, 24, 40)])
def test_visible_radius_of_other_exponents_and_shapes(exponent: float, height: int, width: int) -> None:
    radius = np.empty(3_000)
    for index in range(radius.size):
        drawn = geometry(generator(7, "test/laws", index), HittingLaw(height, width, 1.0, 32.0, exponent))
        radius[index] = drawn.leaves["r"][drawn.labels[-1, 0]]
    assert stats.kstest(visible_radius_cdf(radius, 1.0, 32.0, exponent), "uniform").pvalue > 0.01


def test_closed_forms_against_published_figures() -> None:
    """Theory at r in [1, 128]: .773, .444, .206; the mean of log r is half of log 128."""
    probabilities = [same_leaf_probability(distance, 1.0, 128.0) for distance in (1, 4, 16)]
    assert probabilities == pytest.approx([0.773, 0.444, 0.206], abs=6e-4)
    chord = 2 * 64 * np.arccos(4 / 16) - 2 * np.sqrt(256 - 16)  # two discs of radius 8, their centres 4 apart
    assert same_leaf_probability(4, 8.0, 8.0) == pytest.approx(chord / (2 * 64 * np.pi - chord), rel=1e-6)
    assert visible_radius_cdf(np.array([1.0, 128**0.5, 128.0]), 1.0, 128.0) == pytest.approx([0, 0.5, 1])
