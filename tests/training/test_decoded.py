"""Where images stay: equal batches from the device, the host and nowhere; what does not fit is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stand_in import StandIn, job

from pipeline.seeding import generator
from pipeline.shards import decoded
from pipeline.shards.decoded import DeviceImages, HostImages, Subset, decoded_bytes, fitting
from pipeline.training import views
from pipeline.training.loop import train

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


@pytest.mark.parametrize("seed", range(4))
def test_squares_are_equal_wherever_images_stay(seed: int) -> None:
    images = Subset(Sized(), np.array([8, 0, 2, 3, 4, 5, 6, 7, 1]))
    samples = np.random.default_rng(seed).permutation(9)[:7]
    draws = views.draw(generator(seed, "train/views", 0), 7)
    full, half = views.corners(images.shapes[samples], 32, draws)
    cuts = [(full, 32), (half, 64)]
    on_device = DeviceImages(images, torch.device("cpu"), readers=2).cut(samples, cuts)
    for host in (HostImages(images, keep=True), HostImages(images, keep=False, readers=3)):
        for ours, expected in zip(on_device, host.cut(samples, cuts), strict=True):
            assert ours.dtype == torch.uint8 and torch.equal(ours, expected)
        host.close()
    for row, sample in enumerate(samples):  # beyond the edges the mirror image, as numpy pads
        padded = np.pad(images.image(int(sample)), ((70, 70), (70, 70), (0, 0)), mode="symmetric")
        for squares, (corners, side) in zip(on_device, cuts, strict=True):
            top, left = corners[row] + 70
            assert np.array_equal(squares[row], padded[top : top + side, left : left + side])


def test_weights_are_equal_with_every_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = {}
    for mode in decoded.MODES:
        train(*job(tmp_path / mode, StandIn(), cache=mode))
        written[mode] = (tmp_path / mode / "out" / "encoder.safetensors").read_bytes()
        assert f"cache {mode}" in capsys.readouterr().err
    assert written["device"] == written["host"] == written["none"]


def test_what_does_not_fit_goes_to_the_next_place_and_says_so() -> None:
    gb = 10**9
    assert fitting("device", 5 * gb, 6 * gb, 9 * gb) == ("device", "")
    assert fitting("device", 5 * gb, 4 * gb, 9 * gb) == ("host", "5.0 GB do not fit in 4.0 GB of the device")
    both = "5.0 GB do not fit in 4.0 GB of the device; 5.0 GB do not fit in 3.0 GB of the host"
    assert fitting("device", 5 * gb, 4 * gb, 3 * gb) == ("none", both)
    assert fitting("host", 5 * gb, 9 * gb, 3 * gb)[0] == "none" == fitting("none", 5 * gb, 9 * gb, 9 * gb)[0]


def test_a_run_that_finds_no_room_trains_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*job(tmp_path / "roomy", StandIn()))
    monkeypatch.setattr(decoded, "free_memory", lambda: 2000)
    capsys.readouterr()
    images = StandIn()
    train(*job(tmp_path / "tight", images, cache="device"))
    said = capsys.readouterr().err
    assert "cache none (0.0 GB do not fit in 0.0 GB of the device; 0.0 GB do not fit in 0.0 GB of the host)" in said
    assert images.read == 64  # decoded each time
    name = "out/encoder.safetensors"
    assert (tmp_path / "tight" / name).read_bytes() == (tmp_path / "roomy" / name).read_bytes()


def test_bytes_are_those_of_the_decoded_images() -> None:
    assert decoded_bytes(Sized()) == sum(Sized().image(index).nbytes for index in range(9))
