"""NIQE and BRISQUE's features: no reference is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gamma

from pipeline.artifacts import read_json
from pipeline.features import FeatureError, load_extractor, load_metric, weights_sha256
from pipeline.features.baselines import card
from pipeline.features.brisque import Brisque36, brisque_features
from pipeline.metrics import niqe
from pipeline.metrics.imresize import cubic, resized
from pipeline.metrics.planes import luma
from pipeline.metrics.scene_statistics import asymmetric_gaussian, normalised, patch_statistics
from tests.features.pairs import blocks, blur, noise, photograph

GOLDEN = Path(__file__).parents[1] / "golden/metrics/natural.json"


@pytest.fixture(scope="module")
def model() -> niqe.Niqe:
    """Fitted on what is not tested below."""
    pictures = [photograph("coffee", 400, 600), photograph("rocket", 400, 600), photograph("chelsea", 300, 451)]
    return niqe.fit(pictures, side=48, sharpness=0.3)[0]


def test_patch_statistics_equal_another_implementation() -> None:
    smooth = blur(photograph("coffee", 400, 592))
    given = {
        "astronaut 384x512": noise(photograph("astronaut", 384, 512)),
        "chelsea 300x451": noise(photograph("chelsea", 300, 451)),
        "coffee 400x592": noise(smooth),
    }
    for name, expected in json.loads(GOLDEN.read_text()).items():
        found, _ = patch_statistics(luma(given[name]), 96)
        np.testing.assert_allclose(found[:, :18].mean(axis=0), expected, atol=1e-4)


def test_the_second_half_are_the_numbers_of_the_image_at_half_size() -> None:
    plane = luma(photograph("astronaut", 192, 288))
    found, _ = patch_statistics(np.pad(plane, ((0, 5), (0, 9))), 96)  # what is no whole patch is cut off first
    expected, _ = patch_statistics(resized(plane, (96, 144), cubic), 48)
    assert found.shape == (6, 36)
    np.testing.assert_array_equal(found[:, 18:], expected[:, :18])


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0, 4.0])
def test_the_fit_finds_the_distribution(shape: float) -> None:
    drawn = np.random.default_rng(0)
    size = drawn.gamma(1 / shape, size=200_000) ** (1 / shape)
    values = np.where(drawn.random(size.size) < 2 / 5, -2 * size, 3 * size)
    found = asymmetric_gaussian(values)
    assert found == pytest.approx((shape, 2, 3), rel=0.03)


def test_values_on_one_side_have_no_fit() -> None:
    assert np.isnan(asymmetric_gaussian(np.array([1.0, 2.0]))).all()
    assert np.isnan(asymmetric_gaussian(np.zeros(5))).all()


def test_local_normalisation_by_its_definition() -> None:
    plane = np.random.default_rng(0).uniform(0, 255, (12, 15))
    line = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window = np.outer(line, line) / line.sum() ** 2
    around = np.pad(plane, 3, mode="edge")[2:9, 4:11]
    mean = (window * around).sum()
    deviation = np.sqrt((window * around**2).sum() - mean**2)
    normal, spread = normalised(plane)
    assert spread[2, 4] == pytest.approx(deviation)
    assert normal[2, 4] == pytest.approx((plane[2, 4] - mean) / (deviation + 1))


@pytest.mark.parametrize("worse", [lambda i, k: blur(i, k), lambda i, k: noise(i, 15 * k)])
def test_niqe_rises_with_the_level(model: niqe.Niqe, worse) -> None:
    image = photograph("astronaut", 384, 480)
    values = model.extract([image, worse(image, 2), worse(image, 5)])[:, 0]
    assert values.dtype == np.float32 and values[0] < values[1] < values[2]
    assert model.distance(blocks(image)) > values[0]


def test_niqe_is_the_distance_of_the_paper(model: niqe.Niqe) -> None:
    image = photograph("astronaut", 384, 480)
    numbers, _ = patch_statistics(luma(image), 48)
    apart = model.mean - numbers.mean(axis=0)
    spread = (model.covariance + np.cov(numbers.T)) / 2
    assert model.distance(image) == pytest.approx(np.sqrt(apart @ np.linalg.solve(spread, apart)), rel=1e-6)


def test_only_sharp_patches_make_the_model() -> None:
    half = photograph("astronaut", 384, 480)
    half[:, 240:] = blur(half, 8)[:, 240:]
    kept, all_of_them = (niqe.fit([half] * 3, side=32, sharpness=s)[1] for s in (0.3, 0.0))
    assert 500 < all_of_them <= 3 * 12 * 15 and kept < 0.6 * all_of_them
    with pytest.raises(niqe.NiqeError, match="20 sharp patches of 96 pixels; at least 72"):
        niqe.fit([photograph("astronaut", 384, 480)], side=96, sharpness=0.0)


def test_a_saved_model_loads_as_an_extractor(tmp_path: Path, model: niqe.Niqe) -> None:
    niqe.save(tmp_path, model, {"fitted_on": {"photos": {"images": 3}}})
    loaded = load_extractor(tmp_path)
    images = [photograph("astronaut", 384, 480)]
    np.testing.assert_array_equal(loaded.extract(images), model.extract(images))
    about = read_json(tmp_path / "encoder.json")
    assert (about["kind"], about["higher_is_better"], about["needs_reference"]) == ("metric", False, False)
    assert about["fitted_on"] == {"photos": {"images": 3}} and about["dim"] == loaded.dim == 1
    assert weights_sha256(tmp_path) == loaded.sha256 == about["sha256"]
    assert load_metric(tmp_path) is None
    (tmp_path / "niqe.safetensors").write_bytes((tmp_path / "niqe.safetensors").read_bytes() + b" ")
    with pytest.raises(niqe.NiqeError, match="niqe.safetensors"):
        load_extractor(tmp_path)


@pytest.mark.parametrize("shape", [(32, 32), (47, 600)])
def test_an_image_without_a_whole_patch_is_not_a_number(model: niqe.Niqe, shape: tuple[int, int]) -> None:
    assert np.isnan(model.distance(photograph("coffee", *shape)))


def test_a_flat_image_is_not_a_number(model: niqe.Niqe) -> None:
    assert np.isnan(model.distance(np.full((96, 96, 3), 200, np.uint8)))


def test_brisque_features_are_those_of_the_paper() -> None:
    """The first two numbers are the shape and the variance of locally normalised luma, at full and at half size."""
    image = noise(photograph("astronaut", 384, 512))
    found = brisque_features(image)
    assert found.shape == (36,) and found.dtype == np.float32
    values = normalised(np.rint(luma(image)))[0]
    shape, left, right = asymmetric_gaussian(values)
    assert found[0] == pytest.approx(shape, abs=2e-3)
    scale = gamma(3 / shape) / gamma(1 / shape)
    assert found[1] == pytest.approx((left**2 + right**2) / 2 * scale, rel=2e-3)
    assert np.isfinite(found).all() and (found[18:] != found[:18]).all()


def test_brisque_reads_colours_in_the_right_order() -> None:
    red = noise(photograph("astronaut", 96, 96))
    red[..., 2] = 0
    grey = np.rint(luma(red)).astype(np.uint8)[..., None].repeat(3, axis=2)
    np.testing.assert_allclose(brisque_features(red), brisque_features(grey), atol=0.02)


def test_brisque_of_flat_and_tiny_images_is_not_finite() -> None:
    assert not np.isfinite(brisque_features(np.full((64, 64, 3), 7, np.uint8))).all()
    assert np.isnan(brisque_features(np.full((1, 9, 3), 7, np.uint8))).all()
    assert np.isfinite(brisque_features(photograph("astronaut", 32, 32))).all()
    assert Brisque36().extract([]).shape == (0, 36)


def test_brisque_loads_from_its_card_and_says_which_opencv(tmp_path: Path) -> None:
    from pipeline import artifacts

    artifacts.write_json(tmp_path / "encoder.json", card("brisque36"))
    loaded = load_extractor(tmp_path)
    assert loaded.dim == 36 and loaded.standardise  # type: ignore[attr-defined]
    assert weights_sha256(tmp_path) == loaded.sha256 and card("brisque36")["opencv"]


def test_a_metric_that_needs_a_reference_is_no_extractor(tmp_path: Path) -> None:
    from pipeline import artifacts

    artifacts.write_json(tmp_path / "encoder.json", card("gmsd"))
    with pytest.raises(FeatureError, match="gmsd compares an image with its reference"):
        load_extractor(tmp_path)
    metric = load_metric(tmp_path)
    assert metric is not None and metric.name == "gmsd" and weights_sha256(tmp_path) == metric.sha256
    artifacts.write_json(tmp_path / "encoder.json", {**card("gmsd"), "name": "lpips"})
    with pytest.raises(FeatureError, match="no metric is called 'lpips'"):
        load_metric(tmp_path)
