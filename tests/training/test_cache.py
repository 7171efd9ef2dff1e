"""Where images stay: equal batches from the device, the host and nowhere; what does not fit is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stand_in import StandIn, job

from pipeline.seeding import generator
from pipeline.training import cache, trainer, views
from pipeline.training.cache import Choice, DeviceImages, HostImages, bytes_of, choose, image_shapes
from pipeline.training.trainer import train

SIZES = [(48, 56), (80, 96), (41, 33), (48, 56), (20, 100), (64, 64), (65, 64), (31, 18), (80, 96)]


class Sized:
    """Noise of the sizes above."""

    keys = [str(index) for index in range(len(SIZES))]
    labels = np.zeros(len(SIZES), np.int16)
    shapes = np.array(SIZES, np.int32)

    def __len__(self) -> int:
        return len(SIZES)

    def image(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (*SIZES[index], 3), dtype=np.uint8)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_squares_are_equal_wherever_images_stay(seed: int, official: bool) -> None:
    data, rows = Sized(), np.array([8, 0, 2, 3, 4, 5, 6, 7, 1])
    places = np.random.default_rng(seed).permutation(9)[:7]
    draws = views.draw(generator(seed, "train/views", 0), 7)
    shapes = image_shapes(data, rows)
    kept = DeviceImages(data, rows, shapes, torch.device("cpu"), readers=2).squares(places, 32, draws, official)
    for host in (HostImages(data, rows, keep=True), HostImages(data, rows, keep=False, readers=3)):
        for ours, expected in zip(kept, host.squares(places, 32, draws, official), strict=True):
            assert ours.dtype == torch.uint8 and torch.equal(ours, expected)
        host.close()


class Shaped(StandIn):
    """Stand-in images that know their sizes."""

    shapes = np.tile([48, 56], (32, 1))


def test_weights_are_equal_with_every_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = {}
    for mode in cache.MODES:
        train(job(tmp_path / mode, Shaped(), cache=mode))
        written[mode] = (tmp_path / mode / "out" / "encoder.safetensors").read_bytes()
        assert f"cache {mode}" in capsys.readouterr().err
    assert written["device"] == written["host"] == written["none"]


def test_what_does_not_fit_goes_to_the_next_place_and_says_so() -> None:
    gb = 10**9
    assert choose("device", 5 * gb, 6 * gb, 9 * gb) == Choice("device", "")
    assert choose("device", 5 * gb, 4 * gb, 9 * gb) == Choice(
        "host", "5.0 GB of images do not fit in 4.0 GB of the device"
    )
    both = "5.0 GB of images do not fit in 4.0 GB of the device; 5.0 GB of images do not fit in 3.0 GB of the host"
    assert choose("device", 5 * gb, 4 * gb, 3 * gb) == Choice("none", both)
    assert (
        choose("host", 5 * gb, 9 * gb, 3 * gb).mode == "none" and choose("none", 5 * gb, 9 * gb, 9 * gb).mode == "none"
    )


def test_a_run_that_finds_no_room_trains_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(job(tmp_path / "roomy", Shaped()))
    monkeypatch.setattr(trainer, "free_memory", lambda: 2000)
    capsys.readouterr()
    data = Shaped()
    train(job(tmp_path / "tight", data, cache="device"))
    said = capsys.readouterr().err
    assert "train stand_in: 0.0 GB of images do not fit in 0.0 GB of the device; " in said and "cache none" in said
    assert data.read == 64  # decoded each time
    name = "out/encoder.safetensors"
    assert (tmp_path / "tight" / name).read_bytes() == (tmp_path / "roomy" / name).read_bytes()


def test_bytes_are_those_of_the_decoded_images() -> None:
    data = Sized()
    assert bytes_of(data.shapes, 9) == sum(data.image(index).nbytes for index in range(9))
    assert bytes_of(None, 2) == 2 * 3 * 256 * 256 and image_shapes(StandIn(), np.arange(3)) is None
