"""Every class against what the original code gave: largest difference 1, few bytes unequal."""

from __future__ import annotations

import functools
import hashlib
import math
import os
from fractions import Fraction
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from pipeline.distortions import TYPES, Prepared, apply, draw
from tests.distortions import golden

DETERMINISTIC = (1, 2, 4, 7, 8, 10, 16, 17, 18, 21, 22, 24, 25)
STOCHASTIC = (3, 5, 11, 12, 13, 14, 19, 20, 23)


@functools.cache
def differences(kind: int) -> list[np.ndarray]:
    """|ours - golden| at the sampled pixels, one array per golden output of a type."""
    found = []
    for row in golden.rows():
        if row["type"] == kind:
            prepared = golden.prepared(row["image"])
            draws = golden.draws(kind, row["level"], prepared.shape, row["draw"])
            ours = apply(prepared, kind, row["level"], draws)[row["y"], row["x"]].astype(int)
            found.append(np.abs(ours - np.stack([row["r"], row["g"], row["b"]], axis=1)))
    return found


def test_golden_figures_cover_every_open_type():
    assert {row["type"] for row in golden.rows()} == set(DETERMINISTIC + STOCHASTIC)
    assert {kind.id for kind in TYPES if kind.stand_in} == {6, 9, 15}


@pytest.mark.parametrize("kind", DETERMINISTIC)
def test_deterministic_type_equals_the_original(kind: int):
    each = differences(kind)
    assert len(each) == 15
    assert max(difference.max() for difference in each) <= 1
    assert max((difference > 0).mean() for difference in each) <= 0.02


def test_few_bytes_of_all_deterministic_classes_differ():
    everything = np.concatenate([difference.ravel() for kind in DETERMINISTIC for difference in differences(kind)])
    assert (everything > 0).mean() <= 0.0015


@pytest.mark.parametrize("kind", STOCHASTIC)
def test_stochastic_type_given_the_draws_equals_the_original(kind: int):
    each = differences(kind)
    assert len(each) >= 5
    assert max(difference.max() for difference in each) <= 1
    assert np.mean([(difference > 0).mean() for difference in each]) <= (0.07 if kind == 3 else 0.002)


@pytest.mark.parametrize("kind", (1, 10, 13, 17, 18, 20, 21, 22, 23))
def test_whole_outputs_have_the_golden_means(kind: int):
    for row in golden.rows():
        if row["type"] == kind:
            prepared = golden.prepared(row["image"])
            ours = apply(prepared, kind, row["level"], golden.draws(kind, row["level"], prepared.shape, row["draw"]))
            np.testing.assert_allclose(ours.mean(axis=(0, 1)), row["mean_rgb"], atol=2e-3)


@pytest.mark.parametrize("kind", (7, 20, 21))
def test_whole_outputs_are_the_golden_bytes(kind: int):
    """Type 7 has exact ties, which the original's doubles settle."""
    for row in golden.rows():
        if row["type"] == kind:
            prepared = golden.prepared(row["image"])
            ours = apply(prepared, kind, row["level"], golden.draws(kind, row["level"], prepared.shape, row["draw"]))
            assert hashlib.sha256(ours.tobytes()).hexdigest() == row["sha256_rgb"], (row["image"], row["level"])


def narrow(low: int, high: int, shape: tuple[int, int] = (70, 65)) -> Prepared:
    return Prepared(np.random.default_rng(high).integers(low, high + 1, (*shape, 3), dtype=np.uint8))


def to_bytes(values: np.ndarray) -> np.ndarray:
    """The second stretch in doubles, as the original's, and the rounding."""
    low, high = values.min(), values.max()
    return np.floor(255 * ((values - low) / (high - low) if high > low else values) + 0.5).astype(np.uint8)


@pytest.mark.parametrize(("low", "high"), [(90, 107), (3, 61), (100, 101), (17, 231)])
@pytest.mark.parametrize("kind", (7, 20, 21))
def test_narrow_ranges_are_stretched_twice_in_doubles(kind: int, low: int, high: int):
    prepared = narrow(low, high)
    for level in range(1, 6):
        draws = draw(kind, np.random.default_rng(level), prepared.shape, level)
        ours = apply(prepared, kind, level, draws)
        if kind == 7:
            expected = through_hsv((prepared.image - low) / (high - low), TYPES[6].levels[level - 1])
        elif kind == 21:
            rows, columns = (nearest(size, TYPES[20].levels[level - 1]) for size in prepared.shape[:2])
            expected = prepared.unit[prepared.image[rows][:, columns]]
        else:
            expected = prepared.unit[patched(prepared.image, draws)]
        assert np.array_equal(ours, to_bytes(expected)), (level, low, high)


def patched(image: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Type 20 without its stretches, patch after patch."""
    out = image.copy()
    height, width, _ = image.shape
    for u in draws:
        x, y = math.floor(u[0] * (width - 48) + 0.5) + 16, math.floor(u[1] * (height - 48) + 0.5) + 16
        to_x, to_y = math.floor((u[2] - 0.5) * 16 + x + 0.5) - 1, math.floor((u[3] - 0.5) * 16 + y + 0.5) - 1
        out[to_y : to_y + 16, to_x : to_x + 16] = out[y - 1 : y + 15, x - 1 : x + 15].copy()
    return out


def through_hsv(image: np.ndarray, factor: float) -> np.ndarray:
    """RGB to HSV, S times ``factor``, and back, in numpy's doubles."""
    r, g, b = np.moveaxis(image, 2, 0)
    most, least = image.max(axis=2), image.min(axis=2)
    chroma = np.where(most > least, most - least, 1)
    hue = np.where(most == b, 2 / 3 + 1 / 6 * (r - g) / chroma, 0.0)
    hue = np.where(most == g, 1 / 3 + 1 / 6 * (b - r) / chroma, hue)
    hue = np.where(most == r, 1 / 6 * (g - b) / chroma, hue)
    hue = np.where(most > least, np.where(hue < 0, hue + 1, hue), 0.0)
    s = np.where(most > least, 1 - least / np.where(most > 0, most, 1), 0.0) * factor
    hues = np.stack([hue - 2 / 3, hue, hue - 1 / 3], axis=2)
    hues = np.where(hues < 0, hues + 1, hues)
    share = np.select([hues < 1 / 6, hues < 1 / 2, hues < 2 / 3], [6 * hues, 1.0, 4 - 6 * hues], 0.0)
    return (most * (1 - s))[..., None] + (s * most)[..., None] * share


def nearest(size: int, strength: float) -> list[int]:
    """The specification in fractions: where each row or column of type 21 comes from."""
    z = 0.95 - strength**0.6
    small = math.ceil(z * size)
    down = [min(max(math.floor(0.5 + (i + 0.5) / z + 0.5), 1), size) - 1 for i in range(small)]
    return [down[min(math.floor(Fraction(2 * i + 1, 2) * small / size), small - 1)] for i in range(size)]


def test_pixelate_keeps_exact_ties_on_their_side():
    image = np.random.default_rng(0).integers(0, 256, (64, 321, 3), dtype=np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    out = apply(Prepared(image), 21, 5, None)
    rows, columns = nearest(64, 0.5), nearest(321, 0.5)
    assert np.array_equal(out, to_bytes(image[rows][:, columns] / 255))


def kadid(name: str) -> np.ndarray:
    path = Path(os.environ.get("IQA_DATA", "none")) / "kadid_vectors" / f"{name}.png"
    if not path.is_file():
        pytest.skip("IQA_DATA names no folder with kadid_vectors")
    return imagecodecs.png_decode(path.read_bytes())[..., :3]


def test_kadid_own_blurred_image_is_reproduced_to_the_bit():
    assert np.array_equal(apply(Prepared(kadid("I01")), 1, 2, None), kadid("I01_01_02"))
