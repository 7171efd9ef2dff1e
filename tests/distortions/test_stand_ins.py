"""Types 6, 9 and 15: what the stand-ins promise, and how near they come to KADID-10k's own images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline.distortions import TYPES, Prepared, apply, describe
from pipeline.distortions.denoise import denoised
from pipeline.distortions.normalise import stretch_bytes
from tests.distortions import golden
from tests.distortions.test_bank import generator, photograph
from tests.distortions.test_parity import kadid

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_jpeg2000_reaches_its_bytes(name):
    """Within 2 %; level 5, where a coding pass is a few per cent of the file, within 4 % and not above."""
    prepared = golden.prepared(name)
    for level in range(1, 6):
        record = describe(prepared, 9, level, None)
        assert record["target_bytes"] == prepared.image.size / TYPES[8].levels[level - 1]
        assert record["bytes"] == pytest.approx(record["target_bytes"], rel=0.04 if level == 5 else 0.02)
        assert record["bytes"] <= 1.02 * record["target_bytes"]


@pytest.mark.parametrize("made", ("noise", "steps", "flat"))
def test_jpeg2000_is_never_more_than_two_percent_above_its_bytes(made):
    image = np.random.default_rng(0).integers(0, 256, (384, 512, 3), dtype=np.uint8)
    if made == "steps":
        image = np.kron(image[::32, ::32], np.ones((32, 32, 1), np.uint8))
    if made == "flat":
        image[:] = 90
    prepared = Prepared(image)
    for level in range(1, 6):
        record = describe(prepared, 9, level, None)
        assert record["bytes"] <= 1.02 * record["target_bytes"]


def test_jpeg2000_sizes_are_those_of_files_that_end_with_the_layer():
    import imagecodecs

    from pipeline.distortions.compression import encode_layers

    prepared = golden.prepared("coffee")
    file = encode_layers(prepared.pristine, tuple(sorted(TYPES[8].levels, reverse=True)))
    assert list(file.sizes) == sorted(file.sizes)
    whole = np.asarray(imagecodecs.jpeg2k_decode(file.data))
    assert np.array_equal(file.decode(len(file.sizes)), whole)
    marks = len(file.data) - file.sizes[-1]
    assert 0 < marks < 16 * len(file.sizes) * 18


def test_jpeg2000_counts_no_empty_layers():
    from pipeline.distortions.compression import encode_layers

    image = golden.prepared("coffee").pristine
    near = encode_layers(image, tuple(400 - step for step in range(8)))  # too near for another coding pass each
    assert len(set(near.sizes)) == 8 and len(near.distinct()) < 8
    pixels = [near.decode(layer).tobytes() for layer in range(1, 9)]
    assert near.distinct() == [n + 1 for n in range(8) if n == 0 or pixels[n] != pixels[n - 1]]
    assert near.nearest(1e9) == near.distinct()[-1]


def test_jpeg2000_takes_the_second_file_only_where_it_is_nearer():
    from pipeline.distortions.compression import TOLERANCE, encode_layers, encode_levels

    levels = TYPES[8].levels
    for name in PHOTOGRAPHS:
        image = golden.prepared(name).pristine
        first = encode_layers(image, tuple(sorted(levels, reverse=True)))
        for ratio, cut in encode_levels(image, levels).items():
            target, before = image.size / ratio, first.sizes[first.nearest(image.size / ratio) - 1]
            if cut.file.data == first.data or abs(before / target - 1) <= TOLERANCE:
                assert cut.size == before
            else:
                assert abs(cut.size - target) < abs(before - target)
                assert not np.array_equal(cut.decode(), first.decode(first.nearest(target)))


@pytest.mark.parametrize("level", range(1, 6))
def test_quantization_gives_at_most_the_palettes_colors(level):
    out = apply(golden.prepared("chelsea"), 6, level, None)
    colors = np.unique(out.reshape(-1, 3), axis=0)
    assert len(colors) <= TYPES[5].levels[level - 1]
    assert out.min() == 0 and out.max() == 255


def nearness(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """PSNR over R, G, B, and SSIM of luma."""
    luma = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (ours, theirs)]
    return peak_signal_noise_ratio(theirs, ours, data_range=255), structural_similarity(*luma, data_range=255)


def by_rows(image: np.ndarray, size: int) -> np.ndarray:
    """The alternative for type 6: Pillow's median cut and its own error diffusion along the rows."""
    from PIL import Image

    source = Image.fromarray(image)
    palette = source.quantize(size, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return stretch_bytes(
        np.asarray(source.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))
    )


def undithered(ours: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The other one: each pixel's nearest of the same colours, without error diffusion."""
    colors = np.unique(ours.reshape(-1, 3), axis=0)
    distance = ((image.reshape(-1, 1, 3).astype(int) - colors) ** 2).sum(axis=2)
    return colors[distance.argmin(axis=1)].reshape(image.shape)


def test_quantization_is_nearer_to_kadid_than_the_alternatives():
    source, theirs = kadid("I01"), kadid("I01_06_05")
    ours = apply(Prepared(source), 6, 5, None)
    assert np.array_equal(np.unique(ours.reshape(-1, 3), axis=0), np.unique(theirs.reshape(-1, 3), axis=0))
    assert (ours == theirs).all(axis=2).mean() > 0.9
    figures = [nearness(image, theirs) for image in (ours, by_rows(source, 8), undithered(ours, source))]
    print("quantization: ours, median cut by rows, no diffusion", np.round(figures, 3).tolist())
    assert all(figures[0][0] > other[0] and figures[0][1] > other[1] for other in figures[1:])


def test_denoise_is_nearer_to_kadid_than_the_alternatives():
    prepared, theirs = Prepared(kadid("I01")), kadid("I01_15_05")
    key = np.array([5, 9], np.uint64)
    ways = (
        None,
        lambda plane: cv2.GaussianBlur(plane, (0, 0), 2.0),
        lambda plane: cv2.bilateralFilter(plane, 9, 1.0, 3.0),
    )
    figures = [nearness(denoised(prepared, 0.15, key, way), theirs) for way in ways]
    print("denoise: ours, Gaussian sigma 2, bilateral 9", np.round(figures, 3).tolist())
    assert all(figures[0][0] > other[0] and figures[0][1] > other[1] for other in figures[1:])


def test_block_transform_reconstructs_what_it_does_not_threshold():
    from pipeline.distortions.denoise import threshold_blocks

    for shape in ((64, 64), (67, 70), (97, 131)):
        plane = np.random.default_rng(1).random(shape).astype(np.float32)
        out = np.empty_like(plane)
        threshold_blocks(plane, np.float32(0.0), out)
        np.testing.assert_allclose(out, plane, atol=2e-6)
        threshold_blocks(np.full(shape, 0.25, np.float32), np.float32(9.0), out)
        np.testing.assert_allclose(out, 0.25, atol=1e-6)


def test_denoise_takes_given_normals():
    prepared = Prepared(photograph())
    normals = generator().standard_normal(prepared.shape)
    out = apply(prepared, 15, 1, normals)
    assert np.array_equal(out, apply(prepared, 15, 1, normals)) and out.min() == 0 and out.max() == 255
