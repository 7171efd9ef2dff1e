"""Published checkpoints: their key names, what is refused, and that the features stage's extractor reads the result."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pipeline import cli
from pipeline.artifacts import ArtifactError
from pipeline.encoder import import_checkpoint, weights
from pipeline.encoder.network import ResNet, initialise
from pipeline.encoder.preprocessing import Preprocessing, bicubic_half_scale
from pipeline.features import load_extractor

State = dict[str, torch.Tensor]
CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def trunk_state(depth: int, width: int = 8) -> State:
    """Random weights under the key names of torchvision's and timm's trunk (tests/encoder/test_network.py)."""
    generator, trunk = torch.Generator().manual_seed(depth), ResNet(depth, width)
    initialise(trunk, generator)
    state = {key: value.clone() for key, value in trunk.state_dict().items()}
    for key, value in state.items():
        if ".running_" in key:
            value += 0.1 * (torch.rand(value.shape, generator=generator) - 0.5)
    return state


def torchvision(depth: int) -> State:
    state = trunk_state(depth)
    dim = ResNet(depth, 8).dim
    return {**state, "fc.weight": torch.rand(1000, dim), "fc.bias": torch.rand(1000)}


def contrique(depth: int = 50, prefix: str = "") -> State:
    """CONTRIQUE's names: torchvision's children in a Sequential, and its projector's."""
    state = {}
    for key, value in trunk_state(depth).items():
        first, rest = key.split(".", 1)
        state[f"{prefix}encoder.{CHILDREN[first]}.{rest}"] = value
    dim = ResNet(depth, 8).dim
    projector = {"0.weight": (dim, dim), "3.weight": (128, dim)}
    for place, size in ((1, dim), (4, 128)):
        projector |= {f"{place}.{name}": (size,) for name in ("weight", "bias", "running_mean", "running_var")}
        projector[f"{place}.num_batches_tracked"] = ()
    return {**state, **{f"{prefix}projector.{key}": torch.rand(shape) for key, shape in projector.items()}}


def same_weights(trunk: ResNet, state: State) -> bool:
    found = trunk.state_dict()
    return set(found) == set(state) and all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_torchvisions_and_timms_names_are_ours(tmp_path: Path, depth: int) -> None:
    torch.save(torchvision(depth), tmp_path / "resnet.pth")
    found = import_checkpoint.read_checkpoint(tmp_path / "resnet.pth")
    assert same_weights(found.trunk, trunk_state(depth)) and found.trunk.depth == depth
    assert found.left_out == ("fc.weight", "fc.bias") and found.preprocessing == import_checkpoint.IMAGENET


@pytest.mark.parametrize("prefix", ["", "module."])
def test_contriques_names_are_mapped(tmp_path: Path, prefix: str) -> None:
    state = contrique(prefix=prefix)
    assert len(state) == 318 + 12 and f"{prefix}encoder.4.0.downsample.1.running_mean" in state
    torch.save(state, tmp_path / "CONTRIQUE_checkpoint25.tar")
    found = import_checkpoint.read_checkpoint(tmp_path / "CONTRIQUE_checkpoint25.tar")
    assert same_weights(found.trunk, trunk_state(50)) and found.preprocessing == Preprocessing(half="bicubic")
    assert len(found.left_out) == 12 and all(key.startswith("projector.") for key in found.left_out)


def test_safetensors_wrappers_half_precision_and_old_files_are_read(tmp_path: Path) -> None:
    state = trunk_state(18)
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "model.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "wrapped.pth")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    for name in ("model.safetensors", "wrapped.pth", "legacy.pth", "old.pth"):
        assert same_weights(import_checkpoint.read_checkpoint(tmp_path / name).trunk, state), name
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, tmp_path / "half.pth")
    assert import_checkpoint.read_checkpoint(tmp_path / "half.pth").trunk.conv1.weight.dtype == torch.float32
    torch.save({**state, "bn1.weight": state["bn1.weight"].to(torch.float8_e4m3fn)}, tmp_path / "eighth.pth")
    assert same_weights(import_checkpoint.read_checkpoint(tmp_path / "eighth.pth").trunk, state)  # ones


def without(state: State, *keys: str) -> State:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: without(s, "bn1.bias"), "beside a ResNet-18's keys, missing: bn1.bias$"),
        (lambda s: {**s, "head.weight": torch.ones(1)}, "unexpected: head.weight$"),
        (lambda s: {**s, "bn1.bias": torch.ones(3)}, "of another shape: bn1.bias$"),
        (lambda s: {**s, "layer3.6.conv1.weight": torch.ones(1)}, "unexpected: layer3.6.conv1.weight"),
        (lambda s: {**s, "bn1.bias": torch.full((8,), torch.nan)}, "bn1.bias has values that are no numbers"),
        (
            lambda s: {"blocks.0.qkv": torch.ones(1)},
            r"missing: conv1.weight, .* and \d+ more; unexpected: blocks",
        ),
        (lambda s: {**s, "bn1.bias": s["bn1.bias"].to(torch.complex64)}, "bn1.bias is not an array of real numbers"),
        (lambda s: {**s, "bn1.bias": s["bn1.bias"].to_sparse()}, "bn1.bias is not an array of real numbers"),
        (lambda s: {**s, "bn1.bias": torch.ones(8, device="meta")}, "bn1.bias is not an array of real numbers"),
        (lambda s: {**s, "module.bn1.bias": torch.ones(8)}, "bn1.bias is there twice, with and without module.$"),
        (lambda s: {"epoch": 3}, "'epoch' is a int, not a tensor"),
        (lambda s: torch.ones(3), "holds no weights by name but a Tensor"),
        (lambda s: {}, "holds no weights by name but a dict"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_keys(
    tmp_path: Path, change: Callable[[State], object], expected: str
) -> None:
    torch.save(change(trunk_state(18)), tmp_path / "odd.pth")
    with pytest.raises(ArtifactError, match=expected) as caught:
        import_checkpoint.read_checkpoint(tmp_path / "odd.pth")
    assert str(caught.value).startswith(f"{tmp_path / 'odd.pth'}: ") and "\n" not in str(caught.value)


class Poison:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_poisoned_file_is_refused_and_nothing_of_it_runs(tmp_path: Path, zipped: bool) -> None:
    mark, path = tmp_path / "ran", tmp_path / "poison.pth"
    torch.save({**trunk_state(18), "x": Poison(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ArtifactError, match="poison.pth: holds Python objects beside tensors .*; nothing of it was run$"
    ):
        import_checkpoint.read_checkpoint(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the poison is real
    assert mark.exists()


def zipped() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("notes.txt", "none")
    return sink.getvalue()


def lightning() -> bytes:
    sink = io.BytesIO()
    torch.save({"state_dict": {}, "hyper_parameters": argparse.Namespace(rate=1)}, sink)
    return sink.getvalue()


def scripted() -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("noise.pth", b"\x07" + bytes(range(250)), "no file of weights that torch or safetensors wrote"),
        ("noise.safetensors", bytes(range(250)), "no file of weights that torch or safetensors wrote"),
        ("cut.safetensors", b"\x90\x00\x00\x00\x00\x00\x00\x00{", "a damaged safetensors file"),
        ("empty.pth", b"", "an empty file"),
        ("page.pth", b"\n<!DOCTYPE html><html>quota exceeded</html>", "a web page"),
        ("pointer.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        ("archive.pth", zipped(), "a zip archive that is no whole checkpoint of torch"),
        ("list.pkl", b"\x80\x04]q\x00.", "a pickle of Python objects"),
        (
            "lightning.ckpt",
            lightning(),
            r"holds Python objects beside tensors \(argparse.Namespace\): save its state_dict",
        ),
        ("scripted.pt", scripted(), "a TorchScript archive"),
    ],
)
def test_what_is_no_checkpoint_is_named_in_our_words(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=f"{name}: {said}") as caught:
        import_checkpoint.read_checkpoint(tmp_path / name)
    assert not re.search(r"weights_only|0x[0-9a-f]{6}|\x1b|\n", str(caught.value))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="none.pth: no such file"):
        import_checkpoint.read_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize("size", [(64, 48), (65, 49), (99, 64)])
def test_bicubic_halving_is_pillows(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(picture).resize((size[1] // 2, size[0] // 2), Image.Resampling.BICUBIC))
    ours = bicubic_half_scale(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    difference = np.abs(np.rint(ours[0].permute(1, 2, 0).numpy() * 255) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.02
    assert bicubic_half_scale(torch.rand(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["synthetic-iqa", "import-weights", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_verb_writes_what_the_features_stage_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(contrique(), tmp_path / "checkpoint.tar")
    out = tmp_path / "models" / "contrique"
    assert run(monkeypatch, tmp_path / "checkpoint.tar", "--out", out) == 0
    said = capsys.readouterr().out
    assert "resnet50-w8, CONTRIQUE key names, half scale bicubic; left out: projector.0.weight" in said
    card = json.loads((out / "encoder.json").read_text())
    assert card["name"] == "contrique" and card["preprocessing"]["half"] == "bicubic" and card["provenance"]["sha256"]
    picture = np.random.default_rng(2).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    feature = load_extractor(out).extract([picture])[0]
    difference = np.abs(feature - written_out(trunk_state(50), picture))
    assert difference[:256].max() < 1e-6 and difference[256:].max() < 5e-4  # one grey level here and there in the half
    assert run(monkeypatch, tmp_path / "checkpoint.tar", "--out", out) == 2
    assert "an encoder is there already" in capsys.readouterr().err
    assert run(monkeypatch, tmp_path / "checkpoint.tar", "--out", out, "--force", "--normalise", "imagenet") == 0
    other = weights.load_encoder(out).extract([picture])[0]
    assert np.abs(other - feature).max() > 1e-3
    assert run(monkeypatch, tmp_path / "checkpoint.tar", "--out", tmp_path / "My Model") == 2


def written_out(state: State, picture: np.ndarray) -> np.ndarray:
    """CONTRIQUE's demo: the image and its bicubic half as bytes / 255, each vector of length 1, full scale first."""
    trunk = ResNet(50, 8).eval()
    trunk.load_state_dict(state)
    small = Image.fromarray(picture).resize((picture.shape[1] // 2, picture.shape[0] // 2), Image.Resampling.BICUBIC)
    vectors = []
    for scale in (picture, np.asarray(small)):
        with torch.no_grad():
            vector = trunk(torch.from_numpy(scale.copy()).permute(2, 0, 1)[None].float() / 255).mean((2, 3))[0]
        vectors.append((vector / vector.norm()).numpy())
    return np.concatenate(vectors)


def test_imagenets_mean_is_taken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torchvision(18), tmp_path / "resnet18.pth")
    assert run(monkeypatch, tmp_path / "resnet18.pth", "--out", tmp_path / "imagenet") == 0
    trunk, card = weights.load_trunk(tmp_path / "imagenet")
    picture = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    given = (picture / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        vector = trunk.eval()(torch.from_numpy(given).permute(2, 0, 1)[None].float()).mean((2, 3))[0]
    full = weights.load_encoder(tmp_path / "imagenet").extract([picture])[0][: trunk.dim]
    assert np.allclose(full, (vector / vector.norm()).numpy(), atol=1e-5) and card["preprocessing"]["half"] == "area"


def test_a_card_with_an_unknown_sight_is_refused(tmp_path: Path) -> None:
    weights.save_encoder(tmp_path, ResNet(18, 8), "x", {}, Preprocessing(half="bicubic"))
    card = json.loads((tmp_path / "encoder.json").read_text())
    for preprocessing in ({"half": "nearest"}, {"depth": 3}, "grey", {"deviation": [1, 0, 1]}):
        (tmp_path / "encoder.json").write_text(json.dumps({**card, "preprocessing": preprocessing}))
        with pytest.raises(ArtifactError, match="encoder.json: preprocessing: "):
            weights.load_encoder(tmp_path)
