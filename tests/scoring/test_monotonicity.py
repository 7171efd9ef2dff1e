"""Whether scores fall with the level."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from pipeline.distortions import TYPES
from pipeline.scoring.monotonicity import FALLS, RISING, class_features, falls, level_differences
from tests.distortions.test_bank import photograph
from tests.distortions.test_severity import NOT_ORDERED


class Brightness:
    """An extractor of one number."""

    name, dim, sha256 = "brightness", 1, "none"

    def extract(self, images: list[np.ndarray]) -> np.ndarray:
        return np.array([[image.mean()] for image in images], np.float32)


def test_the_types_that_rise_are_those_whose_psnr_falls() -> None:
    assert len(RISING) == 21 and set(RISING) == {kind.id for kind in TYPES} - set(NOT_ORDERED)


def test_it_is_the_mean_of_spearmans_correlations() -> None:
    scores = np.random.default_rng(3).normal(size=(4, 126))
    scores[0, 1:6], scores[:, 6:11] = 7.0, -np.arange(5)
    found = falls(scores)
    assert found[1] == -1 < FALLS and found.shape == (25,)
    for kind in (0, 2, 24):
        curves = scores[:, 1 + 5 * kind : 6 + 5 * kind]
        expected = [0 if np.ptp(curve) == 0 else spearmanr(np.arange(5), curve).statistic for curve in curves]
        np.testing.assert_allclose(found[kind], np.mean(expected), atol=1e-12)


def test_features_are_of_every_class_in_the_order_of_the_labels() -> None:
    photo = photograph(64, 64)
    shown = enumerate((photo, photo[::-1].copy()))
    features = np.stack([class_features(Brightness(), image, number=number) for number, image in shown])  # type: ignore[arg-type]
    assert features.shape == (2, 126, 1)
    found = falls(features[..., 0])
    brighter, darker = (next(kind.id for kind in TYPES if kind.name == name) - 1 for name in ("brighten", "darken"))
    assert found[brighter] == 1 and found[darker] == -1


def test_differences_are_of_neighbouring_levels_of_the_types_that_rise() -> None:
    photo = photograph(64, 64)
    found = level_differences(Brightness(), photo, number=3)  # type: ignore[arg-type]
    features = class_features(Brightness(), photo, number=3)  # type: ignore[arg-type]
    assert found.shape == (21 * 4, 1)
    expected = [
        features[5 * kind - 4 + level] - features[5 * kind - 5 + level] for kind in RISING for level in range(1, 5)
    ]
    np.testing.assert_array_equal(found, expected)
