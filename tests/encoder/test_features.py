"""Features and weights on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.artifacts import ArtifactError
from pipeline.encoder import weights
from pipeline.encoder.network import ResNet
from pipeline.encoder.preprocessing import half_scale
from pipeline.encoder.trunk import BATCH_PIXELS, TrunkExtractor, as_input
from pipeline.training.random_init import random_trunk, set_running_statistics


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    chance = np.random.default_rng(2)
    shapes = [(64, 48), (51, 67), (64, 48), (64, 48), (33, 40), (51, 67)]
    return [chance.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


@pytest.fixture(scope="module")
def trunk(images: list[np.ndarray]) -> ResNet:
    trunk = random_trunk(18, 16, seed=7)
    set_running_statistics(trunk, images)
    return trunk


def test_a_saved_encoder_loads_as_an_extractor(tmp_path: Path, trunk: ResNet, images: list[np.ndarray]) -> None:
    digest = weights.save_encoder(tmp_path, trunk, "some_set", {"seed": 7})
    loaded = weights.load_encoder(tmp_path)
    assert (loaded.name, loaded.dim, loaded.sha256) == ("some_set", 256, digest)
    features = loaded.extract(images)
    assert features.dtype == np.float32 and features.shape == (6, 256)
    assert np.linalg.norm(features[:, :128], axis=1) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(features[:, 128:], axis=1) == pytest.approx(1, abs=1e-5)
    card = json.loads((tmp_path / "encoder.json").read_text())
    assert card["kind"] == "resnet" and card["architecture"] == "resnet18-w16" and card["provenance"] == {"seed": 7}


def test_features_are_the_trunks_means_at_both_scales(trunk: ResNet, images: list[np.ndarray]) -> None:
    image = images[1].astype(np.float64) / 255
    padded = np.pad(image, ((0, 1), (0, 1), (0, 0)), mode="edge")  # 51 x 67: both odd
    half = padded.reshape(26, 2, 34, 2, 3).mean((1, 3))
    expected = []
    for scale in (image, half):
        with torch.no_grad():
            vector = trunk(torch.from_numpy(scale).float().permute(2, 0, 1)[None])[0].mean((1, 2)).numpy()
        expected.append(vector / np.linalg.norm(vector))
    ours = TrunkExtractor(trunk, name="x", sha256="0").extract([images[1]])[0]
    assert np.abs(ours - np.concatenate(expected)).max() < 1e-5


def test_features_do_not_depend_on_batch_or_order(
    trunk: ResNet, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = TrunkExtractor(trunk, name="x", sha256="0")
    together = ours.extract(images)
    alone = np.concatenate([ours.extract([image]) for image in images])
    order = np.random.default_rng(0).permutation(len(images))
    shuffled = ours.extract([images[i] for i in order])
    monkeypatch.setitem(BATCH_PIXELS, "cpu", 2 * 64 * 48)
    small = ours.extract(images)
    assert max(np.abs(together - other).max() for other in (alone, small)) <= 1e-5
    assert np.abs(together[order] - shuffled).max() <= 1e-5


def test_no_images_give_an_empty_table(trunk: ResNet) -> None:
    assert TrunkExtractor(trunk, name="x", sha256="0").extract([]).shape == (0, 256)


def test_bf16_features_are_near(trunk: ResNet, images: list[np.ndarray]) -> None:
    fp32 = TrunkExtractor(trunk, name="x", sha256="0").extract(images)
    bf16 = TrunkExtractor(trunk, name="x", sha256="0", precision="bf16").extract(images)
    assert 0 < np.abs(fp32 - bf16).max() < 0.02
    with pytest.raises(ValueError, match="precision: 'fp8'"):
        TrunkExtractor(trunk, name="x", sha256="0", precision="fp8")


def test_equal_weights_give_equal_bytes(tmp_path: Path, trunk: ResNet) -> None:
    for name in ("a", "b"):
        weights.save_encoder(tmp_path / name, trunk, "x", {})
    for name in ("encoder.safetensors", "encoder.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_half_the_bytes_give_nearly_the_same_features(tmp_path: Path, trunk: ResNet, images: list[np.ndarray]) -> None:
    weights.save_encoder(tmp_path / "whole", trunk, "x", {})
    weights.save_encoder(tmp_path / "half", trunk, "x", {}, half=True)
    sizes = [(tmp_path / name / "encoder.safetensors").stat().st_size for name in ("whole", "half")]
    assert 0.45 < sizes[1] / sizes[0] < 0.55
    whole, half = (weights.load_encoder(tmp_path / name).extract(images) for name in ("whole", "half"))
    assert 0 < np.abs(whole - half).max() < 1e-3


def test_other_weights_than_the_cards_are_refused(tmp_path: Path, trunk: ResNet) -> None:
    weights.save_encoder(tmp_path, trunk, "x", {})
    path = tmp_path / "encoder.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="encoder.safetensors: sha256"):
        weights.load_encoder(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match="missing"):
        weights.load_encoder(tmp_path)


def test_a_card_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "encoder.json").write_text('{"kind": "floor"}')
    with pytest.raises(ArtifactError, match="floor"):
        weights.load_encoder(tmp_path)


def test_the_running_statistics_are_the_images(images: list[np.ndarray]) -> None:
    trunk = random_trunk(18, 16, seed=7)
    same = [images[0], images[2], images[3]]
    set_running_statistics(trunk, same)
    with torch.no_grad():
        pixels = as_input(torch.from_numpy(np.stack(same)))
        means = [trunk.conv1(scale).mean((0, 2, 3)) for scale in (pixels, half_scale(pixels))]
    assert torch.allclose(trunk.bn1.running_mean, (means[0] + means[1]) / 2, atol=1e-5)
    assert trunk.bn1.momentum == 0.1 and not trunk.training
    again = random_trunk(18, 16, seed=7)
    set_running_statistics(again, same)
    assert all(torch.equal(a, b) for a, b in zip(trunk.state_dict().values(), again.state_dict().values(), strict=True))


def test_running_statistics_of_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        set_running_statistics(random_trunk(18, 16, seed=7), [])
