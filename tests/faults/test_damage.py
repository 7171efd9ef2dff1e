"""Flipped bits: in a shard, its record, the manifest, a sample table, an encoder's weights and card, a checkpoint.

Each is seen or changes nothing; a wrong number never comes out.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import ArtifactError
from pipeline.encoder import weights
from pipeline.encoder.network import ResNet
from pipeline.shards.reader import ShardSet
from pipeline.training import checkpoint
from pipeline.verify import checks, problems

pytestmark = pytest.mark.faults


@pytest.fixture
def copy(undisturbed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undisturbed, tmp_path / "copy"))


def flips(path: Path, count: int) -> Iterator[int]:
    """Flip ``count`` bits of a file, one at a time, spread over all of it; the file is whole again afterwards."""
    whole = path.read_bytes()
    random = np.random.default_rng(len(whole))
    for bit in random.choice(8 * len(whole), min(count, 8 * len(whole)), replace=False).tolist():
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        yield bit
    path.write_bytes(whole)


def verified(folder: Path) -> list[str]:
    return [text for check in checks(folder) for text in problems(check)]


@pytest.mark.parametrize("name", ["sources-00001.tar", "sources-00001.tar.meta.json", "sources-00001.parquet"])
def test_verify_sees_every_flipped_bit_of_a_shards_files(name: str, copy: Path) -> None:
    folder = copy / "sources"
    assert verified(folder) == []
    for bit in flips(folder / name, 60):
        found = verified(folder)
        assert len(found) == 1 and f"sources/{name}: " in found[0], bit


def test_a_manifest_with_a_flipped_bit_is_refused_or_says_the_same(copy: Path) -> None:
    folder = copy / "sources"
    expected, refused = artifacts.read_manifest(folder), 0
    for _ in flips(folder / "manifest.json", 400):
        try:
            assert artifacts.read_manifest(folder) == expected  # white space between two words
        except ArtifactError:
            refused += 1
    assert refused > 200


def test_no_flipped_bit_of_a_shard_gives_another_image(undisturbed: Path, copy: Path) -> None:
    good, folder, refused = ShardSet(undisturbed / "sources"), copy / "sources", 0
    for _ in flips(folder / "sources-00000.tar", 100):
        read = ShardSet(folder)
        for index in (0, 1):
            try:
                assert np.array_equal(read.image(index), good.image(index))
            except ArtifactError as error:
                refused += "is damaged (crc32)" in str(error)
    assert refused > 5


def encoder(folder: Path) -> tuple[Path, Callable[[], dict[str, Any]]]:
    weights.save_encoder(folder, ResNet(18, 8), "tried", {})
    return folder / weights.WEIGHTS, lambda: weights.load_trunk(folder)[0].state_dict()


def saved_checkpoint(folder: Path) -> tuple[Path, Callable[[], dict[str, Any]]]:
    import torch

    checkpoint.save(folder, {"weights": torch.arange(300, dtype=torch.float32)}, step=3, identity="one")
    return folder / "step-00000003.pt", lambda: checkpoint.load(folder, "one") or {}


@pytest.mark.parametrize("made", [encoder, saved_checkpoint])
def test_weights_with_a_flipped_bit_are_refused(made: Callable[..., Any], tmp_path: Path) -> None:
    path, load = made(tmp_path)
    assert load()
    for bit in flips(path, 60):
        with pytest.raises(ArtifactError, match=path.name):
            load()
            raise AssertionError(bit)
    assert load()


@pytest.mark.parametrize("made", [encoder, saved_checkpoint])
def test_cut_weights_are_refused(made: Callable[..., Any], tmp_path: Path) -> None:
    path, load = made(tmp_path)
    whole = path.read_bytes()
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArtifactError, match=path.name):
            load()


def test_a_card_or_pointer_with_a_flipped_bit_never_gives_other_weights(tmp_path: Path) -> None:
    """The hash in it is what the weights are held against: flipped there, they are refused."""
    for made, name, own in ((encoder, weights.CARD, "card"), (saved_checkpoint, checkpoint.POINTER, "pointer")):
        path, load = made(tmp_path / own)
        expected = {key: value.numpy().tobytes() for key, value in load().items()}
        refused = 0
        for _ in flips(path.with_name(name), 200):
            try:
                found = load()
            except ArtifactError:
                refused += 1
                continue
            assert not found or {key: value.numpy().tobytes() for key, value in found.items()} == expected
        assert refused > 20
