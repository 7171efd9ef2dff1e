"""Higher levels are further from the pristine image; and the rule for samples from beyond the border."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.distortions import TYPES, Prepared, apply, draw
from pipeline.distortions.jitter import jitter
from tests.distortions import golden
from tests.distortions.test_bank import generator, photograph

NOT_ORDERED = (10, 18, 21, 25)


def psnr(prepared: Prepared, kind: int, level: int, seed: int) -> float:
    out = apply(prepared, kind, level, draw(kind, generator(1000 * seed + 10 * kind + level), prepared.shape, level))
    error = np.mean((out.astype(float) - prepared.pristine) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("kind", [kind.id for kind in TYPES])
def test_psnr_falls_with_the_level(kind):
    photographs = [golden.prepared(name) for name in ("astronaut", "chelsea", "coffee")]
    seeds = range(12 if kind in (20, 23) else 1)  # a few patches or blocks: where they fall matters more than how many
    means = [
        np.mean([psnr(prepared, kind, level, seed) for prepared in photographs for seed in seeds])
        for level in range(1, 6)
    ]
    if kind in NOT_ORDERED:
        print(TYPES[kind - 1].name, np.round(means, 2).tolist())
    else:
        assert all(one > two for one, two in zip(means, means[1:], strict=False)), means


@pytest.mark.parametrize(("kind", "level"), [(1, 1), (3, 1), (8, 1), (18, 3)])
def test_four_classes_are_the_pristine_image(kind, level):
    prepared = golden.prepared("chelsea")
    out = apply(prepared, kind, level, draw(kind, generator(), prepared.shape, level))
    assert np.array_equal(out, prepared.pristine)


def test_a_sample_from_beyond_the_padded_image_is_black_and_spreads():
    prepared = Prepared(photograph())
    height, width, _ = prepared.shape
    fields = np.zeros((5, 2, height, width))
    fields[0, 0, 0, 50] = 3.5  # rows: 3.5 up from the first row, but only ceil(0.5) rows of padding
    fields[0, 1, 40, 40] = 0.5
    once = jitter(prepared, 1.0, fields)
    assert (once[0, 50] == 0).all()
    fields[1, 0, 2, 50], fields[1, 1, 0, 0] = 1.5, 0.25
    spread = jitter(prepared, 1.0, fields)
    assert (spread[0, 50] == 0).all() and (spread[2, 50] == 0).all()
    untouched = np.ones((height, width), bool)
    untouched[:8, 40:60] = untouched[36:44, 36:44] = False
    untouched[0, 0] = False
    assert np.abs(spread.astype(int) - prepared.pristine)[untouched].max() <= 1


@pytest.mark.parametrize("level", (4, 5))
def test_far_displacements_equal_the_plain_formula(level):
    """The window and the pixels outside it against cubic convolution written out, one pass."""
    prepared = Prepared(photograph())
    height, width, _ = prepared.shape
    amount = TYPES[18].levels[level - 1]
    fields = np.zeros((5, 2, height, width))
    fields[0] = generator(level).standard_normal((2, height, width))
    y, x = np.mgrid[:height, :width]
    shift = -amount * fields[0]
    whole = np.floor(shift).astype(int)

    def weight(t: np.ndarray) -> np.ndarray:
        t = np.abs(t)
        near = 1.5 * t**3 - 2.5 * t**2 + 1
        return np.where(t < 1, near, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))

    expected = np.zeros(prepared.shape)
    for j in range(-1, 3):
        for k in range(-1, 3):
            rows = np.clip(y + whole[0] + j, 0, height - 1)
            columns = np.clip(x + whole[1] + k, 0, width - 1)
            taps = weight(shift[0] - whole[0] - j) * weight(shift[1] - whole[1] - k)
            expected += taps[..., None] * prepared.image[rows, columns]
    expected = (expected - expected.min()) / (expected.max() - expected.min()) * 255
    assert np.abs(jitter(prepared, amount, fields) - expected).max() <= 0.51
