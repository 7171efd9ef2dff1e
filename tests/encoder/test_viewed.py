"""An encoder that is shown images in another colour space: other features, other identity, the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import stages.readout
from pipeline.artifacts import ArtifactError
from pipeline.encoder import weights
from pipeline.encoder.colour import SPACES
from pipeline.encoder.network import ResNet
from pipeline.encoder.preprocessing import Preprocessing, half_scale
from pipeline.features import load_extractor, weights_sha256
from pipeline.params import ReadoutParams
from tests import profile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[:67])  # an odd side


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    weights.save_encoder(tmp_path / "mine", ResNet(18, 8), "mine", {"trained_on": "dead_leaves", "selection": "last"})
    return tmp_path / "mine"


def shown(folder: Path, space: str, image: np.ndarray, precision: str = "fp32") -> np.ndarray:
    out = folder.with_name(f"mine-{space}")
    weights.show_in(space, folder, out)
    return weights.load_encoder(out, precision=precision).extract([image])[0]


def test_both_scales_are_converted_after_halving(image: np.ndarray) -> None:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    for name, space in SPACES.items():
        full, half = Preprocessing(space=name).scales(pixels)
        assert torch.equal(full, space(pixels)) and torch.equal(half, space(half_scale(pixels)))


def test_rgb_changes_nothing_and_other_spaces_do(folder: Path, image: np.ndarray) -> None:
    plain = weights.load_encoder(folder).extract([image])[0]
    assert np.array_equal(shown(folder, "rgb", image), plain)
    halves = np.split(np.arange(len(plain)), 2)
    for space in ("lab", "hsv", "grey", "ms"):
        found = shown(folder, space, image)
        assert all(np.abs(found[half] - plain[half]).max() > 1e-3 for half in halves), space


def test_a_grey_image_is_what_it_was_in_grey(folder: Path, image: np.ndarray) -> None:
    grey = np.repeat(image[..., :1], 3, axis=2)
    plain = weights.load_encoder(folder).extract([grey])[0]
    assert np.abs(shown(folder, "grey", grey) - plain).max() < 1e-6
    assert np.abs(shown(folder, "lab", grey) - plain).max() > 1e-3


def test_colours_are_not_converted_in_half_precision(folder: Path, image: np.ndarray) -> None:
    assert np.abs(shown(folder, "lab", image, "bf16") - shown(folder, "lab", image)).max() < 0.02


def test_the_space_is_part_of_what_features_carry(folder: Path, image: np.ndarray) -> None:
    plain = weights_sha256(folder)
    assert plain == json.loads((folder / "encoder.json").read_text())["sha256"]
    found = {plain}
    for space in ("lab", "hsv", "grey", "ms"):
        shown(folder, space, image)
        out = folder.with_name(f"mine-{space}")
        assert (out / "encoder.safetensors").read_bytes() == (folder / "encoder.safetensors").read_bytes()
        card = json.loads((out / "encoder.json").read_text())
        assert card["name"] == f"mine-{space}" and card["provenance"]["trained_on"] == "dead_leaves"
        assert load_extractor(out).sha256 == weights_sha256(out)
        found.add(weights_sha256(out))
    assert len(found) == 5


def test_an_imported_encoder_of_another_preprocessing_is_another_encoder(folder: Path) -> None:
    trunk = weights.load_trunk(folder)[0]
    for name, mean in (("a", (0.0, 0.0, 0.0)), ("b", (0.5, 0.5, 0.5))):
        shown = Preprocessing(half="bicubic", mean=mean)
        weights.save_encoder(folder.with_name(name), trunk, "imported", {}, shown)
    assert weights_sha256(folder.with_name("a")) != weights_sha256(folder.with_name("b"))


def test_what_is_no_network_or_no_space_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="space: 'xyz' is not one of rgb, lab, hsv, grey, ms"):
        weights.show_in("xyz", folder, tmp_path / "out")
    (tmp_path / "floor").mkdir()
    (tmp_path / "floor/encoder.json").write_text('{"kind": "floor"}')
    with pytest.raises(ArtifactError, match="floor"):
        weights.show_in("lab", tmp_path / "floor", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_stage_writes_an_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "data/models").mkdir(parents=True)
    folder.rename(folder.parent / "data/models/mine")
    readout = ReadoutParams(encoder="mine", pool={"spaces": ("hsv",)})
    stages.readout.run(profile.read("tiny").model_copy(update={"readouts": {"mine_hsv": readout}}), "mine_hsv")
    card = json.loads(Path("data/models/mine_hsv/encoder.json").read_text())
    assert card["preprocessing"]["space"] == "hsv" and card["name"] == "mine_hsv"
