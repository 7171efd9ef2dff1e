"""Sizes, flat images, awkward arrays, refusals, codecs that fail, threads and processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.distortions import DistortionError, DnCNN, Prepared, apply, distort, distort_all, pristine
from tests.distortions.test_bank import generator, photograph


def digest(image: np.ndarray) -> list[int]:
    import zlib

    return [zlib.crc32(sample.image) for sample in distort_all(image, generator(2))]


@pytest.mark.parametrize("shape", [(64, 64), (64, 301), (257, 64), (131, 67), (66, 1031)])
def test_odd_sizes_give_images_of_the_same_shape(shape):
    image = photograph(*shape)
    for sample in distort_all(image, generator()):
        assert sample.image.shape == image.shape and sample.image.dtype == np.uint8
        assert sample.image.flags.c_contiguous


@pytest.mark.parametrize("value", (0, 1, 128, 255))
def test_flat_images_are_left_as_they_are(value):
    image = np.full((64, 72, 3), value, np.uint8)
    assert np.array_equal(pristine(image), image)
    for sample in distort_all(image, generator()):
        assert sample.image.shape == image.shape
        if sample.type in (1, 2, 3, 4, 5, 6, 7, 8, 19, 20, 21, 24):
            assert np.array_equal(sample.image, image), sample.record
        if sample.type not in (11, 12, 13, 14, 15, 23):
            assert sample.image.min() == sample.image.max(), sample.record


def test_an_image_of_two_colors_has_all_classes():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = (200, 10, 30)
    assert len(digest(image)) == 126


def test_the_input_is_never_changed():
    image = photograph()
    before = image.copy()
    digest(image)
    assert np.array_equal(image, before)


def test_read_only_and_strided_arrays_give_the_same_bytes():
    image = photograph()
    expected = digest(image)
    locked = image.copy()
    locked.flags.writeable = False
    assert digest(locked) == expected
    doubled = np.repeat(image, 2, axis=1)[:, ::2]
    assert not doubled.flags.c_contiguous
    assert digest(doubled) == expected
    assert digest(np.asfortranarray(image)) == expected
    assert digest(image[::-1][::-1]) == expected


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (np.zeros((80, 80, 3), np.float32), "float32"),
        (np.zeros((80, 80), np.uint8), r"\(80, 80\)"),
        (np.zeros((80, 80, 4), np.uint8), r"\(80, 80, 4\)"),
        (np.zeros((3, 80, 80), np.uint8), r"\(3, 80, 80\)"),
        (np.zeros((63, 80, 3), np.uint8), "64..8192.*63 x 80"),
        (np.zeros((64, 8193, 3), np.uint8), "64..8192.*64 x 8193"),
        ([[1, 2, 3]], "list"),
    ],
)
def test_other_images_are_refused_by_name(image, word):
    with pytest.raises(DistortionError, match=word):
        distort(image, 1, 1, generator())


def test_a_codec_that_fails_is_not_replaced(monkeypatch):
    import imagecodecs

    def broken(*_args, **_keywords):
        raise RuntimeError("codec says no")

    prepared = Prepared(photograph())
    monkeypatch.setattr(imagecodecs, "jpeg8_encode", broken)
    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", broken)
    for kind in ("jpeg", "jpeg2000"):
        with pytest.raises(DistortionError, match=f"{kind}.*codec says no"):
            apply(prepared, kind, 2, None)


def test_a_codec_that_gives_another_shape_is_an_error(monkeypatch):
    import imagecodecs

    monkeypatch.setattr(imagecodecs, "jpeg8_decode", lambda data: np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(DistortionError, match="jpeg"):
        apply(Prepared(photograph()), "jpeg", 1, None)


def test_threads_and_processes_give_the_bytes_of_one():
    images = [photograph(seed=seed) for seed in range(3)]
    expected = [digest(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(digest, images)) == expected
    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            assert list(pool.map(digest, images[:1])) == expected[:1]


def test_threads_can_share_one_prepared_image():
    image = photograph()
    prepared = Prepared(image)
    kinds = [kind for kind in (1, 2, 4, 6, 8, 9, 16, 22, 24, 25) for _ in range(3)]
    expected = [apply(Prepared(image), kind, 4, None) for kind in kinds]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda kind: apply(prepared, kind, 4, None), kinds))
    assert all(np.array_equal(one, two) for one, two in zip(made, expected, strict=True))


def test_numpy_and_python_global_random_state_are_untouched():
    import random

    before, python = np.random.get_state()[1].copy(), random.getstate()
    digest(photograph())
    assert np.array_equal(np.random.get_state()[1], before) and random.getstate() == python


def save_network(path, layers: int = 3, normalised: bool = False) -> None:
    from safetensors.numpy import save_file

    source = np.random.default_rng(0)
    tensors = {}
    for number in range(layers):
        shape = (1 if number == layers - 1 else 4, 1 if number == 0 else 4, 3, 3)
        tensors[f"model.{3 * number}.weight"] = (source.normal(0, 0.1, shape)).astype(np.float32)
        tensors[f"model.{3 * number}.bias"] = source.normal(0, 0.01, shape[0]).astype(np.float32)
        if normalised and 0 < number < layers - 1:
            for part in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"model.{3 * number + 1}.{part}"] = source.uniform(0.5, 1.5, 4).astype(np.float32)
    save_file(tensors, path)


@pytest.mark.parametrize("normalised", (False, True))
def test_a_users_dncnn_takes_the_stand_ins_place(tmp_path, normalised):
    import torch
    from safetensors.numpy import load_file

    torch.set_num_threads(1)
    path = tmp_path / "dncnn.safetensors"
    save_network(path, normalised=normalised)
    network = DnCNN(path)
    plane = np.random.default_rng(1).random((300, 270)).astype(np.float32)
    weights = {name: torch.from_numpy(value) for name, value in load_file(path).items()}
    x = torch.from_numpy(plane)[None, None]
    for number in range(3):
        x = torch.nn.functional.conv2d(
            x, weights[f"model.{3 * number}.weight"], weights[f"model.{3 * number}.bias"], padding=1
        )
        if normalised and number == 1:
            names = [f"model.4.{part}" for part in ("running_mean", "running_var", "weight", "bias")]
            x = torch.nn.functional.batch_norm(x, *(weights[name] for name in names))
        x = x if number == 2 else x.relu()
    np.testing.assert_allclose(network(plane), plane - x[0, 0].numpy(), atol=1e-5)
    image = photograph()
    record = next(s.record for s in distort_all(image, generator(), denoiser=network) if s.type == 15)
    assert record["stand_in"] is True and record["denoiser"].startswith("dncnn:")
    assert not np.array_equal(distort(image, 15, 1, generator(), denoiser=network), distort(image, 15, 1, generator()))


@pytest.mark.parametrize("value", (np.nan, np.inf))
def test_a_denoiser_that_gives_no_numbers_is_an_error(value):
    def broken(plane: np.ndarray) -> np.ndarray:
        plane[3, 4] = value
        return plane

    with pytest.raises(DistortionError, match="not finite"):
        distort(photograph(), 15, 1, generator(), denoiser=broken)
    with pytest.raises(DistortionError, match="plane"):
        distort(photograph(), 15, 1, generator(), denoiser=lambda plane: plane[:1])


def test_a_file_that_is_no_dncnn_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"fc.weight": np.zeros((4, 4), np.float32)}, path)
    with pytest.raises(DistortionError, match="not a DnCNN"):
        DnCNN(path)
