"""Measures: equal to SciPy's where they are defined, declared where they are not, never without a sign."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation import measure
from pipeline.evaluation.agreement.measures import krocc, srocc, srocc_within


def test_rank_correlations_are_scipys_with_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, 200).astype(float), rng.integers(0, 20, 200).astype(float)
    assert srocc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert krocc(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_all_signs_turn_with_the_prediction() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=200)
    x = y + 0.3 * rng.normal(size=200)
    right, wrong = measure(x, y), measure(-x, y)
    for name in ("srocc", "plcc_raw", "krocc"):
        assert getattr(wrong, name) == pytest.approx(-getattr(right, name))
    assert wrong.plcc < -0.9 < 0.9 < right.plcc


def test_within_strata_is_the_weighted_mean_and_sees_through_a_subset_effect() -> None:
    rng = np.random.default_rng(2)
    strata = np.repeat(["a", "b"], [300, 100])
    y = np.where(strata == "a", 0.0, 10.0) + rng.normal(size=400)
    by_subset = np.where(strata == "a", 0.0, 1.0)
    assert srocc(by_subset, y) > 0.6
    assert srocc_within(by_subset, y, strata) == 0
    x = y + rng.normal(size=400)
    expected = (3 * srocc(x[:300], y[:300]) + srocc(x[300:], y[300:])) / 4
    assert srocc_within(x, y, strata) == pytest.approx(expected)


def test_one_stratum_says_nothing_more() -> None:
    assert srocc_within(np.arange(4.0), np.arange(4.0), ["a"] * 4) is None
    assert srocc_within(np.arange(4.0), np.arange(4.0), ["a", "a", "a", "b"]) is None


def test_constant_predictions_are_zero_by_declaration() -> None:
    found = measure(np.ones(10), np.arange(10.0))
    assert (found.srocc, found.plcc, found.plcc_raw, found.krocc, found.fit_status) == (0, 0, 0, 0, "constant")


def test_non_finite_and_unequal_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 predictions are not finite"):
        measure(np.array([1, np.nan, 2]), np.arange(3.0))
    with pytest.raises(ValueError, match="equal-length"):
        measure(np.arange(2.0), np.arange(3.0))
