"""Both rules of similarity against written-out references."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.domains import Outputs, similarity


def logits(images: int, crops: int, outputs: int = 25, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (images, crops, outputs))


def written_out_mean_prob(images: np.ndarray) -> list[float]:
    """Eq. (5) in loops: the mean over images of the mean over crops of the softmax."""
    totals = [0.0] * images.shape[2]
    for image in images:
        for crop in image:
            denominator = sum(math.exp(value) for value in crop)
            for domain, value in enumerate(crop):
                totals[domain] += math.exp(value) / denominator / len(image) / len(images)
    return totals


def written_out_top4(images: np.ndarray) -> list[float]:
    """The authors' rule in loops: four votes an image by its mean logits, divided by three times the images."""
    votes = [0] * images.shape[2]
    for image in images:
        means = [sum(crop[domain] for crop in image) / len(image) for domain in range(images.shape[2])]
        for domain in sorted(range(len(means)), key=lambda d: (-means[d], d))[:4]:
            votes[domain] += 1
    return [count / (3 * len(images)) for count in votes]


@pytest.mark.parametrize("outputs", (25, 26))
@pytest.mark.parametrize("images, crops", ((1, 1), (1, 5), (7, 5), (40, 1)))
def test_both_rules_equal_their_written_out_references(images: int, crops: int, outputs: int) -> None:
    values = logits(images, crops, outputs)
    result = similarity(Outputs.of(values), seed=1, resamples=20)
    first = outputs - 25  # the pristine output is no domain
    assert [s.domain for s in result] == list(range(1, 26))
    np.testing.assert_allclose([s.mean_prob for s in result], written_out_mean_prob(values)[first:], atol=1e-12)
    np.testing.assert_allclose([s.top4_share for s in result], written_out_top4(values)[first:], atol=1e-12)
    for s in result:
        assert s.selected_mean_prob == (s.mean_prob > 0.04)
        assert s.selected_top4_vote == (round(s.top4_share, 2) >= 0.04)
        assert s.mean_prob_low <= s.mean_prob_high and s.top4_low <= s.top4_high


def test_equal_logits_vote_for_the_lowest_types_and_select_none_by_probability() -> None:
    result = similarity(Outputs.of(np.zeros((3, 2, 25))), seed=1, resamples=10)
    assert [s.domain for s in result if s.selected_top4_vote] == [1, 2, 3, 4]
    assert not any(s.selected_mean_prob for s in result)  # 1/25 is not above 1/25


def test_a_share_that_rounds_to_the_threshold_is_selected() -> None:
    """0.035 is the least share that the authors' rounding selects."""
    values = np.full((200, 1, 25), -9.0)
    values[:, 0, :3] = 5
    values[:21, 0, 7], values[21:, 0, 8] = 1, 1  # type 8: 21 / 600 = 0.035
    result = similarity(Outputs.of(values), seed=1, resamples=10)
    assert result[7].top4_share == pytest.approx(0.035)
    assert result[7].selected_top4_vote == (round(0.035, 2) >= 0.04)


def test_one_image_has_an_interval_of_no_width_and_more_images_a_narrower_one() -> None:
    def width(n: int) -> float:
        return sum(s.mean_prob_high - s.mean_prob_low for s in similarity(Outputs.of(logits(n, 1)), seed=1))

    assert width(1) == pytest.approx(0, abs=1e-12)
    assert width(30) > 2 * width(600) > 0


def test_the_interval_covers_the_mean_of_the_population() -> None:
    population = logits(4000, 1, seed=5)
    truth = Outputs.of(population).probabilities.mean(axis=0)
    inside = []
    for trial in range(40):
        rows = np.random.default_rng(trial).integers(len(population), size=300)
        result = similarity(Outputs.of(population[rows]), seed=trial, resamples=200)
        inside += [s.mean_prob_low <= t <= s.mean_prob_high for s, t in zip(result, truth, strict=True)]
    assert 0.90 < np.mean(inside) < 0.98


@pytest.mark.parametrize(
    "values, words",
    (
        ([], "no images"),
        ([np.zeros((1, 24))], "expected"),
        ([np.zeros((0, 25))], "expected"),
        ([np.zeros(25)], "expected"),
        ([np.full((1, 25), np.nan)], "not finite"),
    ),
)
def test_outputs_that_mean_nothing_are_refused(values: list[np.ndarray], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Outputs.of(values)


def test_ten_thousand_images_are_taken_one_by_one() -> None:
    """The logits are an iterator: what is kept of an image are its 2 x 26 numbers."""
    stream = (np.random.default_rng(index).normal(size=(1, 26)) for index in range(10_000))
    outputs = Outputs.of(stream)
    assert len(outputs) == 10_000 and outputs.probabilities.nbytes + outputs.votes.nbytes < 3e6
    assert sum(s.mean_prob for s in similarity(outputs, seed=1, resamples=50)) < 1
