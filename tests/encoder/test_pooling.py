"""What is read out of a network: the papers' feature is the default; every other pool is another encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import stages.readout
from pipeline.artifacts import ArtifactError
from pipeline.encoder import weights
from pipeline.encoder.colour import SPACES
from pipeline.encoder.network import ResNet, channels_last, folded, initialise, weight_generator
from pipeline.encoder.pooling import Pool
from pipeline.encoder.preprocessing import Preprocessing, half_scale
from pipeline.encoder.trunk import TrunkExtractor
from pipeline.features import load_extractor, weights_sha256
from pipeline.params import load

ROOT = Path(__file__).parents[2]
RICH = Pool(layers=(2, 3), statistics=("mean", "std"), spaces=("rgb", "ms"), scales=2)


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[:67])  # an odd side


@pytest.fixture(scope="module")
def trunk() -> ResNet:
    trunk = ResNet(18, 8)
    initialise(trunk, weight_generator(3))
    return channels_last(trunk).eval()  # as the extractor has it, to the bit


@pytest.fixture
def folder(tmp_path: Path, trunk: ResNet) -> Path:
    weights.save_encoder(tmp_path / "mine", trunk, "mine", {"trained_on": "dead_leaves", "selection": "last"})
    return tmp_path / "mine"


def read_out(folder: Path, pool: Pool, image: np.ndarray, precision: str = "fp32") -> np.ndarray:
    out = folder.with_name("another")
    weights.save_readout(folder, out, pool)
    return weights.load_encoder(out, precision=precision).extract([image])[0]


def test_blocks_are_normalised_one_by_one_in_the_declared_order(trunk: ResNet, image: np.ndarray) -> None:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    expected = []
    with torch.no_grad():
        for space in ("rgb", "ms"):
            for scale in (pixels, half_scale(pixels)):
                x = trunk.maxpool(torch.relu(trunk.bn1(trunk.conv1(SPACES[space](scale)))))
                maps = [x := trunk.get_submodule(f"layer{number}")(x) for number in (1, 2, 3)][1:]
                for layer in maps:
                    flat = layer[0].flatten(1).double().numpy()
                    expected += [vector / np.linalg.norm(vector) for vector in (flat.mean(1), flat.std(1))]
    found = TrunkExtractor(trunk, name="x", sha256="", pool=RICH).extract([image])[0]
    assert len(found) == RICH.dim(trunk) == 2 * 2 * 2 * (16 + 32)
    assert np.abs(found - np.concatenate(expected)).max() < 1e-6


def test_the_default_is_the_papers_feature(trunk: ResNet, image: np.ndarray) -> None:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float().contiguous(memory_format=torch.channels_last) / 255
    with torch.no_grad():
        vectors = [trunk(scale).mean((2, 3)) for scale in (pixels, half_scale(pixels))]
    expected = torch.cat([F.normalize(vector, dim=1) for vector in vectors], 1).numpy()
    assert np.array_equal(TrunkExtractor(trunk, name="x", sha256="").extract([image]), expected)


def test_batch_norms_are_folded_into_the_convolutions(trunk: ResNet) -> None:
    images, drawn = torch.rand(2, 3, 70, 50), torch.Generator().manual_seed(4)
    for depth in (18, 50):
        net = ResNet(depth, 8).eval()
        initialise(net, weight_generator(depth))
        for norm in (module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.running_mean.normal_(generator=drawn)
            norm.running_var.uniform_(0.5, 2, generator=drawn)
        with torch.no_grad():
            maps, fewer = net.maps(images, (2, 4)), folded(net).maps(images, (2, 4))
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded(net).modules())
        for layer, expected in maps.items():
            torch.testing.assert_close(fewer[layer], expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_layers_behind_the_last_that_is_read_are_not_computed(trunk: ResNet) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(trunk.get_submodule("layer3"), "forward", None)
        maps = trunk.maps(images, (1, 2))
    assert {layer: tuple(values.shape[1:]) for layer, values in maps.items()} == {1: (8, 16, 16), 2: (16, 8, 8)}


def test_one_place_has_no_deviation_and_more_scales_are_halves_of_the_last(trunk: ResNet, image: np.ndarray) -> None:
    pool = Pool(layers=(4,), statistics=("std",), scales=3)
    feature = TrunkExtractor(trunk, name="x", sha256="", pool=pool).extract([image[:32, :32]])[0]
    assert not feature.any() and feature.shape == (3 * trunk.dim,)
    pixels = torch.rand(1, 3, 9, 14)
    scales = Preprocessing().scales(pixels, 3)
    assert torch.equal(scales[2], half_scale(half_scale(pixels)))


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ({"layers": (5,)}, "pool.layers: 5; each of 1, 2, 3, 4 once at most"),
        ({"layers": ()}, "pool.layers: an empty list"),
        ({"statistics": ("mean", "mean")}, "pool.statistics: a name given twice"),
        ({"spaces": ("xyz",)}, "pool.spaces: 'xyz'; each of rgb, lab, hsv, grey, ms"),
        ({"scales": 0}, "pool.scales: 0 is not in 1..4"),
    ],
)
def test_a_pool_that_can_not_be_is_refused_by_its_key(pool: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Pool(**pool)  # type: ignore[arg-type]


def test_a_card_with_an_unknown_pool_is_refused(folder: Path) -> None:
    card = json.loads((folder / "encoder.json").read_text())
    for pool in ({"space": ["rgb"]}, {"layers": [7]}, {"scales": "two"}, ["rgb"]):
        (folder / "encoder.json").write_text(json.dumps({**card, "pool": pool}))
        with pytest.raises(ArtifactError, match=r"encoder.json: .*"):
            weights.load_encoder(folder)


def test_a_grey_image_is_what_it_was_in_grey(folder: Path, image: np.ndarray) -> None:
    grey = np.repeat(image[..., :1], 3, axis=2)
    plain = weights.load_encoder(folder).extract([grey])[0]
    assert np.abs(read_out(folder, Pool(spaces=("grey",)), grey) - plain).max() < 1e-6
    assert np.abs(read_out(folder, Pool(spaces=("lab",)), grey) - plain).max() > 1e-3


def test_colours_are_not_converted_in_half_precision(folder: Path, image: np.ndarray) -> None:
    lab = Pool(spaces=("lab",))
    assert np.abs(read_out(folder, lab, image, "bf16") - read_out(folder, lab, image)).max() < 0.02


def test_the_pool_is_part_of_what_features_carry(folder: Path, image: np.ndarray) -> None:
    plain, found = weights_sha256(folder), set()
    assert plain == json.loads((folder / "encoder.json").read_text())["sha256"]
    for pool in (Pool(), Pool(spaces=("lab",)), Pool(layers=(2, 3)), Pool(scales=1), RICH):
        feature, out = read_out(folder, pool, image), folder.with_name("another")
        assert (out / "encoder.safetensors").read_bytes() == (folder / "encoder.safetensors").read_bytes()
        card = json.loads((out / "encoder.json").read_text())
        assert card["name"] == "another" and card["provenance"]["trained_on"] == "dead_leaves"
        stored = load_extractor(out)
        assert stored.dim == card["dim"] == len(feature) and stored.sha256 == weights_sha256(out)
        assert np.array_equal(stored.extract([image])[0], feature)
        found.add(stored.sha256)
    assert len(found) == 5 and plain in found and "pool" not in json.loads((folder / "encoder.json").read_text())


def test_an_imported_encoder_of_another_preprocessing_is_another_encoder(folder: Path, trunk: ResNet) -> None:
    for name, mean in (("a", (0.0, 0.0, 0.0)), ("b", (0.5, 0.5, 0.5))):
        shown = Preprocessing(half="bicubic", mean=mean)
        weights.save_encoder(folder.with_name(name), trunk, "imported", {}, shown)
    assert weights_sha256(folder.with_name("a")) != weights_sha256(folder.with_name("b"))


def test_a_baseline_has_no_other_readout(tmp_path: Path) -> None:
    (tmp_path / "floor").mkdir()
    (tmp_path / "floor/encoder.json").write_text('{"kind": "floor"}')
    with pytest.raises(ArtifactError, match="floor"):
        weights.save_readout(tmp_path / "floor", tmp_path / "out", RICH)
    assert not (tmp_path / "out").exists()


def test_the_stage_writes_an_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "data/models").mkdir(parents=True)
    folder.rename(folder.parent / "data/models/mine")
    text = (ROOT / "params.yaml").read_text()
    line = "readouts: {mine_rich: {encoder: released, pool: {layers: [2, 3], statistics: [mean, std], spaces: [hsv]}}}"
    Path("params.yaml").write_text(text.replace("readouts: {}", line))
    Path("data/models/mine").rename("data/models/released")
    stages.readout.run(load(Path("params.yaml")), "mine_rich")
    card = json.loads(Path("data/models/mine_rich/encoder.json").read_text())
    assert card["pool"] == {"layers": [2, 3], "statistics": ["mean", "std"], "spaces": ["hsv"], "scales": 2}
    assert card["name"] == "mine_rich" and card["dim"] == 2 * 2 * (16 + 32)
