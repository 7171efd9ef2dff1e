"""Contact sheets: any aspect, bounded, labelled, with the right figures under the pictures."""

from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.distortions import Sample
from pipeline.metrics import METRICS
from pipeline.report import sheets

NAMES = sheets.type_names()


def _image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _samples(image: np.ndarray) -> Iterator[Sample]:
    yield Sample(0, 0, 0, image)
    for kind in range(1, 26):
        for level in range(1, 6):
            shift = 0 if kind == 1 and level == 1 else kind + level
            yield Sample(0, kind, level, np.clip(image.astype(int) + shift, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("shape", [(64, 64), (600, 20), (20, 600), (1, 1), (2, 3000)])
def test_thumbnail_fits_keeps_the_aspect_and_never_enlarges(shape):
    made = sheets.thumbnail(_image(*shape), 100)
    assert max(made.shape[:2]) == min(100, max(shape))
    assert min(made.shape) >= 1


def test_distortion_sheet_has_25_labelled_rows_of_5_with_value_psnr_and_ssim():
    image = _image(48, 72)
    made = sheets.distortion_sheet("a photo", _samples(image), NAMES, side=60)
    assert len(made.rows) == 25 and all(len(row.cells) == 5 for row in made.rows)
    assert made.rows[8].label == "9  jpeg2000" and "stand-in" in made.rows[8].note
    first, second = made.rows[0].cells[:2]
    assert first.caption == ("0.1", "identical", "1.000")
    shifted = np.clip(image.astype(int) + 3, 0, 255).astype(np.uint8)
    psnr, ssim = (METRICS[name](image, shifted) for name in ("psnr", "ssim"))
    assert second.caption == ("0.5", f"{psnr:.1f} dB", f"{ssim:.3f}")
    assert second.alt.startswith("gaussian blur, level 2: PSNR")
    assert second.image.shape == (40, 60, 3)


def test_below_the_window_of_ssim_stands_a_dash():
    made = sheets.distortion_sheet("tiny", _samples(_image(5, 5)), NAMES)
    assert made.rows[0].cells[0].caption == ("0.1", "identical", "–")


def test_native_cells_are_the_middle_at_its_own_pixels():
    image = _image(100, 120)
    made = sheets.distortion_sheet("a photo", _samples(image), NAMES, side=30, native=True)
    np.testing.assert_array_equal(made.rows[0].cells[0].image, image[35:65, 45:75])


def test_a_late_pristine_image_is_refused():
    with pytest.raises(ValueError, match="pristine"):
        sheets.distortion_sheet("x", [Sample(1, 1, 1, _image(8, 8))], NAMES)


def test_drawing_holds_every_thumbnail_and_is_repeatable():
    image = _image(48, 72)
    made = sheets.distortion_sheet("a photo", _samples(image), NAMES, side=60)
    drawn = sheets.draw(made)
    np.testing.assert_array_equal(drawn, sheets.draw(made))
    thumb = made.rows[24].cells[4].image
    windows = np.lib.stride_tricks.sliding_window_view(drawn[-120:, -220:, 0], thumb.shape[:2])
    assert (windows == thumb[..., 0]).all(axis=(2, 3)).any()


def test_drawing_is_bounded_whatever_comes():
    tall = sheets.plain_sheet("é" * 300, [("ø" * 500, _image(900, 2)) for _ in range(30)], columns=1, side=900)
    assert max(sheets.draw(tall).shape) <= sheets.MAX_SIDE
    empty = sheets.Sheet("nothing", (), ())
    assert sheets.draw(empty).ndim == 3
