"""What the golden figures do not cover: kernel weights, and the distributions of the draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.distortions import Prepared, apply, draw
from pipeline.distortions.blur_kernels import disc, folded_taps, gaussian, line
from pipeline.distortions.philox import fill


def generator(seed: int = 11) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def grey(value: int = 128, side: int = 512) -> np.ndarray:
    """A flat image whose first two pixels are black and white, so that the stretch changes nothing."""
    image = np.full((side, side, 3), value, np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    return image


@pytest.mark.parametrize(("sigma", "size"), [(0.1, 3), (0.5, 3), (1, 5), (2, 9), (5, 21), (20, 81)])
def test_gaussian_is_cut_at_two_sigma_and_sums_to_one(sigma, size):
    weights = gaussian(sigma)
    assert len(weights) == size
    assert weights.sum() == pytest.approx(1, abs=1e-15)
    ratios = weights[size // 2 + 1 :] / weights[size // 2]
    expected = np.exp(-(np.arange(1, size // 2 + 1) ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(ratios, np.where(expected < 2.2e-16, 0, expected), rtol=1e-12)


@pytest.mark.parametrize("radius", (1, 2, 4, 6, 8))
def test_disc_weights_are_the_area_inside_it(radius):
    weights = disc(radius)
    assert weights.shape == (2 * radius + 1,) * 2
    np.testing.assert_array_equal(weights, weights[::-1])
    np.testing.assert_allclose(weights, weights.T, atol=1e-15)
    inner = weights[radius, radius]
    assert 1 / inner == pytest.approx(math.pi * radius**2, rel=1e-12)
    steps = (np.arange(400) + 0.5) / 400 - 0.5
    for y in range(radius + 1):
        for x in range(radius + 1):
            inside = np.hypot(x + steps[:, None], y + steps[None, :]) <= radius
            assert weights[radius + y, radius + x] / inner == pytest.approx(inside.mean(), abs=3e-3)


@pytest.mark.parametrize("radius", (1, 2, 4, 6, 8))
def test_folded_taps_are_the_same_disc(radius):
    rows, columns, weights = folded_taps(disc(radius))
    rebuilt = np.zeros((2 * radius + 1,) * 2)
    for row, column, weight in zip(rows, columns, weights, strict=True):
        reach = [row] if row <= radius else range(row - radius)
        for d in reach:
            for sign in (1, -1) if d else (1,):
                rebuilt[radius + sign * d, radius + column] += weight
    np.testing.assert_allclose(rebuilt, disc(radius), atol=1e-8)


def test_line_of_length_two_is_a_quarter_a_half_a_quarter():
    np.testing.assert_allclose(
        line(2, 0)[1 : -1 or None][len(line(2, 0)) // 2 - 1], [0, 0.25, 0.5, 0.25, 0], atol=1e-12
    )


@pytest.mark.parametrize("angle", range(0, 181, 15))
def test_line_is_point_symmetric_and_turns_counter_clockwise(angle):
    weights = line(10, angle)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)
    y, x = np.mgrid[: len(weights), : len(weights)] - len(weights) // 2
    direction = 0.5 * math.atan2(2 * (weights * -y * x).sum(), (weights * (x * x - y * y)).sum())
    assert math.degrees(direction) % 180 == pytest.approx(angle % 180, abs=1.5)
    np.testing.assert_array_equal(line(1, angle) > 0, (x == 0) & (y == 0) if len(weights) == 3 else line(1, angle) > 0)


def test_angles_are_whole_degrees_from_0_to_180_equally_often():
    source = generator()
    angles = np.array([draw(3, source, (64, 64, 3), 2) for _ in range(181 * 60)])
    counts = np.bincount(angles, minlength=181)
    assert len(counts) == 181
    chi_square = ((counts - 60) ** 2 / 60).sum()
    assert abs(chi_square - 180) < 4 * math.sqrt(2 * 180)


def test_shift_directions_fill_the_first_quadrant():
    source = generator()
    directions = np.array([draw(5, source, (64, 64, 3), 1) for _ in range(4000)])
    assert directions.min() >= 0 and directions.max() < 1
    assert directions.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("level", "density"), [(1, 0.001), (2, 0.005), (3, 0.01), (4, 0.02), (5, 0.03)])
def test_impulses_have_the_density_and_are_half_black(level, density):
    image = grey()
    out = apply(Prepared(image), 13, level, draw(13, generator(level), image.shape, level))
    count = image.size
    for channel in range(3):
        black, white = (out[..., channel] == 0).sum(), (out[..., channel] == 255).sum()
        expected = count / 3 * density / 2
        assert abs(black - expected) < 5 * math.sqrt(expected) + 2
        assert abs(white - expected) < 5 * math.sqrt(expected) + 2
    assert set(np.unique(out)) <= {0, 128, 255}


@pytest.mark.parametrize("level", (1, 5))
def test_white_noise_has_the_standard_deviation_before_the_clip(level):
    variance = (0.001, 0.002, 0.003, 0.005, 0.01)[level - 1]
    image = grey()
    out = apply(Prepared(image), 11, level, draw(11, generator(level), image.shape, level))[1:].astype(float)
    for channel in range(3):
        measured = np.sqrt(out[..., channel].var() - 1 / 12)
        assert measured == pytest.approx(255 * math.sqrt(variance), rel=0.01)
    across = np.corrcoef(out.reshape(-1, 3).T)
    assert np.abs(across - np.eye(3)).max() < 0.01


@pytest.mark.parametrize("level", (1, 3, 5))
def test_speckle_is_uniform_with_kurtosis_1_8(level):
    variance = (0.001, 0.005, 0.01, 0.02, 0.05)[level - 1]
    image = grey()
    out = apply(Prepared(image), 14, level, draw(14, generator(level), image.shape, level))[1:].astype(float)
    relative = out / 128 - 1
    assert relative.var() == pytest.approx(variance, rel=0.02)
    assert (relative**4).mean() / relative.var() ** 2 == pytest.approx(1.8, abs=0.04)
    assert relative.mean() == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize("level", (1, 5))
def test_color_component_noise_has_the_variance_in_y_cb_cr(level):
    from pipeline.distortions.noise import TO_YCBCR

    variance = (0.0001, 0.0005, 0.001, 0.002, 0.003)[level - 1]
    image = grey()
    out = apply(Prepared(image), 12, level, draw(12, generator(level), image.shape, level))[1:].astype(float) / 255
    components = (out.reshape(-1, 3) - 128 / 255) @ TO_YCBCR.T
    rounding = (TO_YCBCR**2).sum(axis=1) / 12 / 255**2
    np.testing.assert_allclose(components.var(axis=0), variance + rounding, rtol=0.03)


def test_keyed_normals_have_normal_moments_and_no_neighbourly_love():
    values = np.empty(2**20, np.float32)
    fill(np.array([3, 4], np.uint64), 0, 0, True, values)
    values = values.astype(np.float64)
    n = values.size
    assert abs(values.mean()) < 4 / math.sqrt(n)
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((values**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((values**4).mean() - 3) < 4 * math.sqrt(96 / n)
    for lag in (1, 2, 512, 1024, 2048, 4096):
        assert abs((values[lag:] * values[:-lag]).mean()) < 4.5 / math.sqrt(n)
    assert np.isfinite(values).all() and 4.4 < np.abs(values).max() < 6.9


def test_a_field_can_be_made_in_parts():
    key = np.array([9, 1], np.uint64)
    whole, part = np.empty(3 * 4096 + 100, np.float32), np.empty(4096 + 100, np.float32)
    fill(key, 2, 0, True, whole)
    fill(key, 2, 2 * 4096, True, part)
    np.testing.assert_array_equal(whole[2 * 4096 :], part)


def test_philox_gives_the_published_words():
    """The known answers of Random123 for philox4x32 with 10 rounds: all zero, and the digits of pi."""
    from numba import njit

    from pipeline.distortions.philox import philox

    @njit
    def words(c0, c1, c2, c3, k0, k1):
        return philox(c0, c1, c2, c3, k0, k1, 10)

    def ask(*numbers):
        return [int(word) for word in words(*(np.uint64(number) for number in numbers))]

    assert ask(0, 0, 0, 0, 0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)
    assert ask(*pi) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_patches_and_blocks_stay_inside_the_smallest_image():
    for side in (64, 65, 100):
        prepared = Prepared(grey(side=side))
        for corner in (0.0, 0.999999999):
            for kind, numbers in ((20, 4), (23, 5)):
                out = apply(prepared, kind, 1, np.full((20, numbers), corner))
                assert out.shape == (side, side, 3)
