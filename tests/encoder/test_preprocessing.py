"""What the encoder sees: half scale and the colour spaces, against scikit-image, scipy or the formula written out."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import color, measure

from pipeline.encoder import colour
from pipeline.encoder.preprocessing import half_scale


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    image = np.random.default_rng(5).integers(0, 256, (2, 20, 24, 3), dtype=np.uint8)
    image[0, :2, :5] = 0
    image[0, 2:4, :5] = 255
    image[1, :4, :4] = np.arange(4, dtype=np.uint8)[:, None] * 60  # greys: no hue
    image[1, 5, :3] = np.eye(3, dtype=np.uint8) * 255
    return image.astype(np.float64) / 255


def batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


def unbatch(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).double().numpy()


def test_half_scale_is_the_area_mean_of_two_by_two() -> None:
    images = torch.rand(2, 3, 10, 14)
    expected = measure.block_reduce(images.numpy(), (1, 1, 2, 2), np.mean)
    assert np.abs(half_scale(images).numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("shape", [(9, 14), (10, 7), (9, 7), (1, 1), (1, 6)])
def test_half_scale_of_odd_sides_keeps_every_pixel_and_the_places(shape: tuple[int, int]) -> None:
    images = torch.rand(1, 3, *shape, dtype=torch.float64)
    half = half_scale(images)
    assert half.shape[2:] == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (0, shape[0] % 2), (0, shape[1] % 2)), mode="edge")
    assert np.abs(half.numpy() - measure.block_reduce(padded, (1, 1, 2, 2), np.mean)).max() < 1e-12


def test_half_scale_has_no_alias() -> None:
    stripes = torch.zeros(1, 1, 8, 8)
    stripes[..., ::2] = 1
    assert torch.equal(half_scale(stripes), torch.full((1, 1, 4, 4), 0.5))


def test_rgb_is_the_image(pixels: np.ndarray) -> None:
    assert torch.equal(colour.rgb(batch(pixels)), batch(pixels))


def test_grey_is_bt601_in_three_channels(pixels: np.ndarray) -> None:
    expected = 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]
    assert np.abs(unbatch(colour.grey(batch(pixels))) - expected[..., None]).max() < 1e-6


def test_lab_is_scikit_images_with_the_offset(pixels: np.ndarray) -> None:
    lab = color.rgb2lab(pixels)
    expected = np.stack([lab[..., 0] / 100, (lab[..., 1] + 128) / 255, (lab[..., 2] + 128) / 255], -1).clip(0, 1)
    assert np.abs(unbatch(colour.lab(batch(pixels))) - expected).max() < 2e-5


def test_lab_of_grey_is_neutral() -> None:
    lab = colour.lab(torch.full((1, 3, 2, 2), 119 / 255))
    assert (lab[:, 1:] * 255 - 128).abs().max() < 0.05


def test_hsv_is_scikit_images_and_pythons(pixels: np.ndarray) -> None:
    ours = unbatch(colour.hsv(batch(pixels)))
    expected = color.rgb2hsv(pixels)
    turn = np.abs(ours[..., 0] - expected[..., 0])
    assert np.minimum(turn, 1 - turn).max() < 1e-5 and np.abs(ours - expected)[..., 1:].max() < 1e-6
    for y, x in [(0, 0), (5, 0), (5, 1), (5, 2), (9, 9)]:
        assert ours[1, y, x] == pytest.approx(colorsys.rgb_to_hsv(*pixels[1, y, x]), abs=1e-5)


def test_mean_subtracted_is_the_formula(pixels: np.ndarray) -> None:
    taps = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    taps /= taps.sum()
    mean = ndimage.correlate1d(ndimage.correlate1d(pixels, taps, axis=1, mode="reflect"), taps, axis=2, mode="reflect")
    band = pixels - mean
    low, high = band.min((1, 2), keepdims=True), band.max((1, 2), keepdims=True)
    expected = (band - low) / (high - low + 1e-3 / 255)
    assert np.abs(unbatch(colour.mean_subtracted(batch(pixels))) - expected).max() < 1e-5


def test_mean_subtracted_of_a_flat_image_is_finite() -> None:
    flat = colour.mean_subtracted(torch.full((1, 3, 5, 4), 0.3))
    assert torch.isfinite(flat).all() and flat.min() >= 0 and flat.max() <= 1


def test_each_image_of_a_batch_gets_its_own_space(pixels: np.ndarray) -> None:
    images = batch(pixels).repeat(4, 1, 1, 1)
    spaces = torch.tensor([4, 0, 1, 3, 2, 2, 0, 1])
    converted = colour.convert(images, spaces)
    functions = list(colour.SPACES.values())
    assert list(colour.SPACES) == ["rgb", "lab", "hsv", "grey", "ms"]
    for row, space in enumerate(spaces.tolist()):
        assert torch.allclose(converted[row], functions[space](images[row : row + 1])[0], atol=1e-6)
    assert converted.min() >= 0 and converted.max() <= 1
