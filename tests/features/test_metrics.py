"""Full-reference metrics: golden figures of another implementation, definitions, and what every metric must do."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.metrics
import torch
import torch.nn.functional as F

from pipeline import images, params
from pipeline.metrics import METRICS, MetricError, fsim, haarpsi, psnr, saliency, ssim, vsi
from pipeline.metrics.imresize import cubic, linear, resized
from pipeline.metrics.planes import luma, reduced, viewing_factor
from tests.features.pairs import CASES, blur, noise, photograph

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/metrics/piq.json").read_text())["cases"]
BEST = {"psnr": psnr.LARGEST, "gmsd": 0.0, "mdsi": 0.0}
PIQ_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@pytest.fixture
def as_piq(monkeypatch: pytest.MonkeyPatch) -> None:
    """The four places where piq's definition is another than the authors' (tests/golden/metrics/README.md)."""
    monkeypatch.setattr(fsim, "YIQ", PIQ_YIQ)
    monkeypatch.setattr(haarpsi, "YIQ", PIQ_YIQ)
    monkeypatch.setattr(saliency, "resized", _interpolated)
    monkeypatch.setattr(vsi, "planes", lambda image, matrix, factor: _planes(image, matrix, factor))
    monkeypatch.setattr(vsi, "reduced", _one_earlier)


def _interpolated(plane: np.ndarray, shape: tuple[int, int], kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Bilinear without antialiasing, the way back with aligned corners."""
    given, back = torch.from_numpy(plane)[None, None], shape != (256, 256)
    return F.interpolate(given, shape, mode="bilinear", align_corners=back)[0, 0].numpy()


def _one_earlier(plane: np.ndarray, factor: int) -> np.ndarray:
    """Squares that begin one pixel before the image, the border repeated, for a factor of 2."""
    assert factor in (1, 2)
    padded = np.pad(plane, ((factor - 1, 0), (factor - 1, 0)), mode="edge")
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    return padded[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def _planes(image: np.ndarray, matrix: tuple[tuple[float, ...], ...], factor: int) -> list[np.ndarray]:
    return [_one_earlier(image @ np.array(row), factor) for row in matrix]


@pytest.mark.parametrize("case", CASES)
def test_the_pairs_are_those_of_the_golden_figures(case: str) -> None:
    assert [hashlib.sha256(image.tobytes()).hexdigest() for image in CASES[case]()] == GOLDEN[case]["sha256"]


@pytest.mark.usefixtures("as_piq")
@pytest.mark.parametrize("case", CASES)
def test_metrics_equal_another_implementation(case: str) -> None:
    reference, image = CASES[case]()
    found = {name: METRICS[name](reference, image) for name in GOLDEN[case]["values"]}
    assert found == pytest.approx(GOLDEN[case]["values"], abs=1e-4)


def test_golden_figures_hold_every_metric_in_colour_and_in_grey() -> None:
    for name in set(METRICS) - {"psnr"}:
        cases = [case for case in CASES if name in GOLDEN[case]["values"]]
        assert any("grey" in case for case in cases) and any("grey" not in case for case in cases), name
        assert any("noise" in case for case in cases), name


@pytest.mark.parametrize("case", CASES)
def test_the_authors_definition_is_near_the_other_ones(case: str) -> None:
    """What the four places are worth: up to 1.2e-4 of FSIMc and HaarPSI, and 4.2e-3 of VSI, on blocks of 8 pixels that
    the two reductions cut elsewhere.
    """
    reference, image = CASES[case]()
    for name, golden in GOLDEN[case]["values"].items():
        allowed = {"vsi": 5e-3, "haarpsi": 2e-4, "fsimc": 2e-4}.get(name, 1e-5)
        assert METRICS[name](reference, image) == pytest.approx(golden, abs=allowed), name


@pytest.mark.parametrize("case", CASES)
def test_ssim_and_psnr_equal_scikit_image(case: str) -> None:
    reference, image = CASES[case]()
    small = [reduced(luma(picture), viewing_factor(picture), cv2.BORDER_REFLECT) for picture in (reference, image)]
    expected = _skimage_ssim(*small)
    assert METRICS["ssim"](reference, image) == pytest.approx(expected, abs=1e-9)
    exact = [picture.astype(np.int64) @ [65481, 128553, 24966] for picture in (reference, image)]
    studio = [16.0 + (2 * luma + 255_000) // 510_000 for luma in exact]  # a half goes up, as TID's has it
    expected = skimage.metrics.peak_signal_noise_ratio(*studio, data_range=255)
    assert METRICS["psnr"](reference, image) == pytest.approx(expected, abs=1e-9)


def _skimage_ssim(reference: np.ndarray, image: np.ndarray) -> float:
    return skimage.metrics.structural_similarity(
        reference, image, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def test_psnr_is_the_one_that_tid2013_publishes() -> None:
    """JPEG files and mean shifts of the database's own crops of Kodak photographs; its figures have 4 decimals."""
    data = Path(os.environ.get("IQA_DATA", "none"))
    if not (data / "tid2013_kodak").is_dir() or not (data / "kodak24").is_dir():
        pytest.skip("IQA_DATA names no folder with tid2013_kodak and kodak24")
    rows = list(csv.DictReader((data / "tid2013_kodak/official_psnr.csv").open()))
    official = {(int(row["image"]), int(row["type"])): [float(row[f"l{k}"]) for k in range(1, 6)] for row in rows}
    for crop in csv.DictReader((data / "tid2013_kodak/offsets.csv").open()):
        number, x, y = int(crop["kodak"]), int(crop["x"]), int(crop["y"])
        reference = images.read(data / f"kodak24/{number:02d}.png")[y : y + 384, x : x + 512]
        files = [data / f"tid2013_kodak/jpeg/i{number:02d}_10_{level}.jpg" for level in range(1, 6)]
        shifted = [np.clip(reference.astype(int) + by, 0, 255).astype(np.uint8) for by in (-6, 10, -20, 30, -40)]
        for kind, worse in ((10, [images.read(file) for file in files]), (16, shifted)):
            found = [METRICS["psnr"](reference, image) for image in worse]
            assert found == pytest.approx(official[number, kind], abs=3e-4)


@pytest.mark.parametrize("case", ["chelsea 300x451 noise", "chelsea 299x451 grey contrast"])
def test_ms_ssim_of_odd_sides_by_its_definition(case: str) -> None:
    """Contrast and structure are SSIM of planes without means: taken from scikit-image by its luminance term."""
    planes = [luma(picture) for picture in CASES[case]()]
    expected = 1.0
    for scale, weight in enumerate(ssim.WEIGHTS):
        if scale:
            padded = [np.pad(p, ((0, p.shape[0] % 2), (0, p.shape[1] % 2)), mode="symmetric") for p in planes]
            planes = [(p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4 for p in padded]
        if scale == len(ssim.WEIGHTS) - 1:
            expected *= _skimage_ssim(*planes) ** weight
        else:
            expected *= _contrast(*planes) ** weight
    assert METRICS["ms_ssim"](*CASES[case]()) == pytest.approx(expected, abs=1e-6)


def _contrast(one: np.ndarray, other: np.ndarray) -> float:
    """The mean of (2 s_xy + c) / (s_x^2 + s_y^2 + c), window by window."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(line, line) / line.sum() ** 2
    a, b = (np.lib.stride_tricks.sliding_window_view(plane, (11, 11)) for plane in (one, other))
    mean = [np.einsum("ijkl,kl->ij", x, window) for x in (a, b)]
    square = [np.einsum("ijkl,ijkl,kl->ij", x, y, window) for x, y in ((a, a), (b, b), (a, b))]
    constant = (0.03 * 255) ** 2
    spread = square[0] - mean[0] ** 2 + square[1] - mean[1] ** 2
    return float(np.mean((2 * (square[2] - mean[0] * mean[1]) + constant) / (spread + constant)))


@pytest.mark.parametrize("name", METRICS)
def test_equal_images_have_the_best_value(name: str) -> None:
    image = photograph("coffee", 200, 211)
    assert METRICS[name](image, image.copy()) == pytest.approx(BEST.get(name, 1.0), abs=1e-7)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    "worse", [lambda image, much: blur(image, 2 * much), lambda image, much: noise(image, 20 * much)]
)
def test_quality_falls_with_the_level(name: str, worse: Callable[[np.ndarray, int], np.ndarray]) -> None:
    image = photograph("astronaut", 192, 208)
    sign = 1 if METRICS[name].higher_is_better else -1
    values = [sign * METRICS[name](image, worse(image, much)) for much in (1, 2, 4)]
    assert sign * BEST.get(name, 1.0) > values[0] > values[1] > values[2]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_images_have_finite_values(name: str, value: int) -> None:
    flat = np.full((176, 180, 3), value, np.uint8)
    assert METRICS[name](flat, flat) == pytest.approx(BEST.get(name, 1.0), abs=1e-7)
    assert np.isfinite(METRICS[name](flat, noise(flat)))
    assert np.isfinite(METRICS[name](noise(flat), flat))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", [(32, 32), (1, 1), (1, 40), (160, 300)])
def test_small_images(name: str, shape: tuple[int, int]) -> None:
    image = photograph("coffee", *shape)
    value = METRICS[name](image, noise(image))
    too_small = (name == "ms_ssim" and min(shape) <= 160) or (name == "ssim" and min(shape) < 11)
    assert np.isnan(value) if too_small else np.isfinite(value)


def test_images_of_different_sizes_are_refused() -> None:
    image = photograph("coffee", 40, 60)
    with pytest.raises(MetricError, match="the image is 59 x 40, its reference 60 x 40"):
        METRICS["gmsd"](image, image[:, :59])


def test_reduction_is_the_mean_around_every_nth_pixel() -> None:
    plane = np.random.default_rng(0).uniform(0, 255, (7, 9))
    two = reduced(plane, 2)
    assert two.shape == (4, 5) and two[1, 2] == pytest.approx(plane[2:4, 4:6].mean())
    assert two[3, 4] == pytest.approx(plane[6, 8] / 4)  # three of the four lie outside
    three = reduced(plane, 3)
    assert three.shape == (3, 3) and three[1, 1] == pytest.approx(plane[2:5, 2:5].mean())
    assert reduced(plane, 4)[1, 1] == pytest.approx(plane[3:7, 3:7].mean())
    assert reduced(plane, 2, cv2.BORDER_REFLECT)[3, 4] == pytest.approx(plane[6, 8])
    assert [viewing_factor(np.empty((s, 900))) for s in (10, 383, 384, 512, 639, 640)] == [1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize(("kernel", "mode"), [(linear, 2), (cubic, 3)])
@pytest.mark.parametrize("shape", [(40, 37), (100, 131), (50, 64)])
def test_resizing_equals_pillow_inside(kernel: Callable[[np.ndarray], np.ndarray], mode: int, shape: tuple) -> None:
    from PIL import Image

    plane = np.random.default_rng(1).uniform(0, 255, (80, 91)).astype(np.float32)
    expected = np.asarray(Image.fromarray(plane).resize(shape[::-1], mode))
    edge = 4  # Pillow leaves out what lies beyond the border, imresize mirrors
    inside = (slice(edge, -edge), slice(edge, -edge))
    np.testing.assert_allclose(resized(plane.astype(np.float64), shape, kernel)[inside], expected[inside], atol=1e-3)
    np.testing.assert_allclose(resized(np.full((80, 91), 7.0), shape, kernel), 7.0)


def test_resizing_by_one_is_nothing_and_the_border_is_mirrored() -> None:
    line = np.array([[1.0, 2.0, 4.0, 8.0]])
    np.testing.assert_array_equal(resized(line, (1, 4), linear), line)
    np.testing.assert_allclose(
        resized(line, (1, 2), linear), [[(1 + 3 * 1 + 3 * 2 + 4) / 8, (2 + 3 * 4 + 3 * 8 + 8) / 8]]
    )


def test_parameters_know_the_metrics() -> None:
    assert set(params.METRICS) == set(METRICS)
