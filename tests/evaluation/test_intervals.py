"""Intervals hold their coverage when contents differ; corrections are the published ones."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.agreement.intervals import Interval, correlation_interval, difference_interval
from pipeline.evaluation.agreement.measures import srocc
from pipeline.evaluation.agreement.significance import corrected_t, holm

REPETITIONS = 400  # benchmarks/evaluation.py has 1,000, with 125 images a group as well


def draw(rng: np.random.Generator, groups: int, each: int, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions and opinions: a common relation, a slope and an offset of each group (sd ``effect``), noise."""
    quality = rng.uniform(0, 1, (groups, each))
    slope, offset = 1 + effect * rng.normal(size=(groups, 1)), effect * rng.normal(size=(groups, 1))
    mos = slope * quality + offset + 0.15 * rng.normal(size=(groups, each))
    return quality.ravel(), mos.ravel(), np.repeat(np.arange(groups).astype(str), each)


def truth(each: int, effect: float) -> float:
    """Of the population of groups."""
    return srocc(*draw(np.random.default_rng(99), 4000, each, effect)[:2])


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, 0.3])
@pytest.mark.parametrize(("groups", "each", "least"), [(6, 27, 0.88), (16, 27, 0.90)])
def test_coverage_of_the_nominal_95_percent(groups: int, each: int, least: float, effect: float) -> None:
    rng, true = np.random.default_rng([groups, each, int(10 * effect)]), truth(each, effect)
    inside = sum(
        bool(correlation_interval(*draw(rng, groups, each, effect)).contains(true)) for _ in range(REPETITIONS)
    )
    print(f"coverage with {groups} groups of {each}, effect {effect}: {inside / REPETITIONS}")
    assert inside / REPETITIONS >= least


@pytest.mark.slow
def test_coverage_of_a_difference_and_its_p() -> None:
    rng, inside, rejected = np.random.default_rng(5), 0, 0
    for _ in range(150):
        quality, mos, groups = draw(rng, 16, 20, 0.3)
        first, second = (quality + 0.2 * rng.normal(size=len(quality)) for _ in range(2))
        interval, p = difference_interval(first, second, mos, groups)
        inside += bool(interval.contains(0.0))
        rejected += p is not None and p < 0.05
    assert inside / 150 >= 0.90
    assert rejected == 150 - inside


def test_an_image_bootstrap_would_be_several_times_too_narrow() -> None:
    rng = np.random.default_rng(3)
    prediction, mos, groups = draw(rng, 16, 125, 0.3)
    interval = correlation_interval(prediction, mos, groups)
    rows = (rng.integers(0, len(mos), len(mos)) for _ in range(200))
    bootstrap = np.quantile([srocc(prediction[r], mos[r]) for r in rows], [0.025, 0.975])
    assert interval.high - interval.low > 2 * (bootstrap[1] - bootstrap[0])


def test_below_six_groups_no_interval_is_claimed() -> None:
    interval = correlation_interval(*draw(np.random.default_rng(0), 5, 125, 0.3))
    assert interval.low is None and interval.high is None and interval.groups == 5
    assert interval.verdict(0.9) == "no interval"


def test_an_interval_without_width_is_not_claimed() -> None:
    mos, groups = np.random.default_rng(0).normal(size=60), np.repeat(list("abcdefghij"), 6)
    for prediction in (np.ones(60), mos, -mos):
        interval = correlation_interval(prediction, mos, groups)
        assert interval.low is None and interval.verdict(interval.value) == "no interval"
    for other in (mos, np.ones(60)):
        interval, p = difference_interval(mos, other, mos, groups)
        assert interval.low is None and p is None
    assert correlation_interval(mos + np.arange(60) / 50, mos, groups).low is not None


def test_reproduced_means_inside_the_interval() -> None:
    interval = Interval(0.9, 0.86, 0.93, 16)
    assert interval.verdict(0.87) == "reproduced"
    assert interval.verdict(0.94) == "differs"


def test_the_corrected_t_is_smaller_by_the_known_factor() -> None:
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(0).normal(0.01, 0.02, 10)
    found, p = corrected_t(values, ratio=2 / 7)
    naive = ttest_1samp(values, 0)
    assert naive.statistic / found == pytest.approx(np.sqrt((0.1 + 2 / 7) / 0.1))
    assert p > naive.pvalue
    assert corrected_t([0.0, 0.0], ratio=2 / 7) == (0.0, 1.0)
    assert corrected_t([1.0, 1.0], ratio=2 / 7) == (np.inf, 0.0)
    with pytest.raises(ValueError, match="1 differences"):
        corrected_t([1.0], ratio=2 / 7)


def test_holm_on_a_table_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        holm([1.2])


def test_many_groups_are_left_out_in_blocks() -> None:
    rng = np.random.default_rng(2)
    quality = rng.uniform(0, 1, 3000)
    mos, groups = quality + 0.3 * rng.normal(size=3000), [f"image{i:05d}" for i in range(3000)]
    found = correlation_interval(quality, mos, groups)
    assert found.groups == 200
    half = 1.96 * np.sqrt((1 + found.value**2 / 2) / 2997)  # Bonett and Wright's, for independent images
    expected = np.tanh([np.arctanh(found.value) - half, np.arctanh(found.value) + half])
    assert [found.low, found.high] == pytest.approx(expected, abs=0.004)
