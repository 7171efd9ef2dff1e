"""The linear probe."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.training.probe import HeldOut, _ridge_predict, probe


def table(signal: float, sources: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    labels, source = np.tile(np.arange(126), sources), np.repeat(np.arange(sources) * 3 + 100, 126)
    types = np.where(labels > 0, (labels - 1) // 5, 25)
    marks = chance.normal(size=(26, 40))[types] + 0.5 * chance.normal(size=(126, 40))[labels]
    features = signal * marks + chance.normal(size=(len(labels), 40))
    return features.astype(np.float32), labels, source


def test_noise_is_at_chance() -> None:
    features, labels, source = table(0.0)
    result = probe(features, labels, source)
    assert result["type_chance"] == pytest.approx(1 / 25) and result["class_chance"] == pytest.approx(1 / 126)
    assert result["type_accuracy"] < 0.08 and result["class_accuracy"] < 0.03
    assert (result["images"], result["sources"]) == (1008, 8)


def test_what_is_there_is_found() -> None:
    result = probe(*table(3.0))
    assert result["type_accuracy"] > 0.95 and result["class_accuracy"] > 0.8


def test_a_source_is_never_on_both_sides() -> None:
    features, labels, source = table(0.0, sources=4)
    features[:, 0] = source * 1000 + labels  # tells the class of a source that is known, and nothing of another
    assert probe(features, labels, source)["class_accuracy"] < 0.05


def test_scale_and_constant_features_do_not_matter() -> None:
    features, labels, source = table(1.0)
    expected = probe(features, labels, source)
    scaled = np.concatenate([features * np.float32(64) + 8, np.ones((len(labels), 2), np.float32)], 1)
    assert probe(scaled, labels, source) == expected


def test_more_folds_than_sources_are_refused() -> None:
    features, labels, source = table(1.0, sources=3)
    with pytest.raises(ValueError, match=r"probe.folds: 4 is not in 2..3"):
        probe(features, labels, source)


def test_more_numbers_than_rows_give_the_same_ridge() -> None:
    chance = np.random.default_rng(1)
    answers = np.arange(60) % 5
    x, test = chance.normal(size=(60, 90)).astype(np.float32), chance.normal(size=(40, 90)).astype(np.float32)
    mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    z, targets = (x - mean) / deviation, np.eye(5)[answers]
    weights = np.linalg.solve(z.T @ z + 10 * np.eye(90), z.T @ (targets - targets.mean(0)))  # written out, the long way
    expected = np.argmax((test - mean) / deviation @ weights + targets.mean(0), axis=1)
    assert np.array_equal(_ridge_predict(x, answers, test, 10.0), expected)


class Held:
    """Images whose features are known: pixel (0, 0) holds the row."""

    def __init__(self) -> None:
        self.features, self.labels, self.sources = table(3.0)

    def image(self, index: int) -> np.ndarray:
        return np.array([[[index % 256, index // 256, 0]]], np.uint8)

    def extract(self, images: list[np.ndarray]) -> np.ndarray:
        assert len(images) <= 126
        return self.features[[int(image[0, 0, 0]) + 256 * int(image[0, 0, 1]) for image in images]]


def test_held_out_images_are_extracted_and_probed() -> None:
    held = Held()
    rows = np.flatnonzero(held.sources > held.sources.min())[::-1]
    found = HeldOut(held, rows, held.sources[rows], folds=3)(held)
    assert found == probe(held.features[rows], held.labels[rows], held.sources[rows], folds=3)
    assert found["sources"] == 7 and found["type_accuracy"] > 0.9
