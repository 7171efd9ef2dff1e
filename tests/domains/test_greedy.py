"""Greedy selection by sums of Gram matrices: equal to fits from the rows, and right on made-up domains."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pipeline.domains import DomainGrams, chosen_often, greedy_path

DIM = 12


@pytest.fixture
def source() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Six domains: in 1, 2 and 3 the opinion is one linear map of the features, in the others its contrary."""
    random = np.random.default_rng(3)
    domains = np.repeat(np.arange(1, 7), 40)
    features = random.normal(size=(len(domains), DIM)).astype(np.float32)
    weights = np.arange(DIM) - 3.0
    sign = np.where(domains <= 3, 1.0, -1.0)
    return features, sign * (features @ weights) + random.normal(0, 3, len(domains)), domains


@pytest.fixture
def target() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    features = random.normal(size=(120, DIM)).astype(np.float32)
    opinions = features @ (np.arange(DIM) - 3.0) + random.normal(0, 2, 120)
    return features, opinions, np.array([f"g{index % 12}" for index in range(120)])


@pytest.mark.parametrize("domains", ((1,), (2, 5), (6, 3, 1), (1, 2, 3, 4, 5, 6)))
@pytest.mark.parametrize("penalty", (0.01, 1.0, 100.0))
def test_a_sum_of_grams_fits_as_the_rows_do(source, domains, penalty) -> None:  # type: ignore[no-untyped-def]
    features, opinions, of = source
    model = DomainGrams(features, opinions, of).fit(domains, penalty)
    rows = np.isin(of, domains)
    reference = Ridge(alpha=penalty).fit(features[rows].astype(np.float64), opinions[rows])
    np.testing.assert_allclose(model.coef[:, 0], reference.coef_, atol=1e-8)
    assert model.intercept[0] == pytest.approx(reference.intercept_, abs=1e-8)


def test_the_path_takes_the_domains_that_agree_with_the_target(source, target) -> None:  # type: ignore[no-untyped-def]
    path = greedy_path(DomainGrams(*source), *target, penalty=1.0)
    assert path.oracle and set(path.chosen) <= {1, 2, 3}
    scores = [step.srocc.value for step in path.steps]
    assert scores == sorted(scores) and scores[-1] > 0.9
    assert [step.candidates for step in path.steps] == [6 - index for index in range(len(scores))]
    for step in path.steps:
        assert step.srocc.low is not None and step.srocc.low < step.srocc.value < step.srocc.high


def test_every_step_is_the_best_of_all_fits_from_rows(source, target) -> None:  # type: ignore[no-untyped-def]
    from scipy.stats import spearmanr

    features, opinions, of = source
    path = greedy_path(DomainGrams(features, opinions, of), *target, penalty=1.0)
    for index, step in enumerate(path.steps):
        scores = {}
        for domain in set(range(1, 7)) - set(path.chosen[:index]):
            rows = np.isin(of, [*path.chosen[:index], domain])
            fitted = Ridge(alpha=1.0).fit(features[rows].astype(np.float64), opinions[rows])
            scores[domain] = spearmanr(fitted.predict(target[0].astype(np.float64)), target[1]).statistic
        assert step.domain == max(scores, key=lambda domain: scores[domain])
        assert step.srocc.value == pytest.approx(scores[step.domain], abs=1e-12)


def test_an_order_is_followed_whatever_the_opinions_say(source, target) -> None:  # type: ignore[no-untyped-def]
    path = greedy_path(DomainGrams(*source), *target, penalty=1.0, order=[5, 99, 1])
    assert not path.oracle and path.chosen == (5, 1)
    with pytest.raises(ValueError, match="none of the domains"):
        greedy_path(DomainGrams(*source), *target, penalty=1.0, order=[99])


def test_most_ends_the_path(source, target) -> None:  # type: ignore[no-untyped-def]
    assert len(greedy_path(DomainGrams(*source), *target, penalty=1.0, most=1).steps) == 1


def test_resampled_targets_choose_the_agreeing_domains(source, target) -> None:  # type: ignore[no-untyped-def]
    shares = chosen_often(DomainGrams(*source), *target, penalty=1.0, seed=1, resamples=20)
    assert list(shares) == [1, 2, 3, 4, 5, 6] and all(0 <= share <= 1 for share in shares.values())
    assert min(shares[d] for d in (1, 2, 3)) > max(shares[d] for d in (4, 5, 6))
    assert shares == chosen_often(DomainGrams(*source), *target, penalty=1.0, seed=1, resamples=20)
