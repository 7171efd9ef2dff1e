"""Exported models: the same numbers by onnxruntime, and by torch and safetensors alone."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.artifacts import read_json
from pipeline.encoder.network import ResNet, initialise
from pipeline.encoder.pooling import Pool
from pipeline.encoder.weights import load_encoder, save_encoder
from pipeline.features import load_extractor
from pipeline.scoring import Linear, load_regressor, save_regressor
from pipeline.scoring.export import ExportError, checks, exportable, folder, onnx_file, write_folder, write_onnx

Run = Callable[..., tuple[int, str, str]]
POOL = Pool(layers=(1,), statistics=("mean", "std"), spaces=("lab", "hsv", "ms"))
SIZES = [(64, 64), (65, 64), (33, 57), (128, 129), (155, 201)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two encoders, of the papers' feature and of the widest, each with a regressor of both modes."""
    root = tmp_path_factory.mktemp("project")
    for name, depth, pool in (("small", 18, Pool()), ("wide", 50, POOL)):
        trunk = ResNet(depth, 8)
        initialise(trunk, torch.Generator().manual_seed(1))
        save_encoder(root / "data/models" / name, trunk, name, {"params": {"crop": 64}}, pool=pool)
        extractor = load_extractor(root / "data/models" / name)
        draw, dim = np.random.default_rng(2), extractor.dim
        fits = {mode: Linear(draw.normal(size=dim), draw.uniform(size=dim), np.ones(dim), 3) for mode in ("nr", "fr")}
        about = {"encoder": name, "weights_sha256": extractor.sha256, "database": "photos", "dim": dim}
        meaning = {"higher_is_better": False, "range": [1.0, 5.0], "modes": {"nr": {}, "fr": {}}, "title": "Photos"}
        save_regressor(root / "data/regressors" / name / "photos", fits, {**about, **meaning})
    return root


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    return checks.drawn_picture(np.random.default_rng(number), *size)


@pytest.fixture
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at export itself, over fewer sizes: the sizes of this file follow."""
    monkeypatch.setattr(checks, "SIZES", "64x64 67x101 128x300")


@pytest.mark.slow
def test_onnx_gives_our_features_and_scores_of_any_size(project: Path, tmp_path: Path, few_checks) -> None:
    import onnx

    name = "wide"
    regressor = load_regressor(project / "data/regressors" / name / "photos")
    model = exportable(project / "data/models" / name, regressor)
    difference = write_onnx(model, tmp_path)
    assert difference.features < 1e-5 and difference.images == 8
    run, ours = onnx_file.runner((tmp_path / "model.onnx").read_bytes()), load_encoder(project / "data/models" / name)
    for number, size in enumerate(SIZES):
        batch = np.stack([picture(100 * number + each, size) for each in range(1 + number % 3)])
        if number % 3 == 2:
            batch = np.repeat(batch[..., :1], 3, axis=3)
        features, scores = run(batch)
        expected = ours.extract(list(batch))
        np.testing.assert_allclose(features, expected, atol=1e-4)
        assert scores is not None
        np.testing.assert_allclose(scores, regressor.modes["nr"].predict(expected), atol=1e-4 * 4)
    described = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert described["higher_is_better"] == "false" and json.loads(described["range"]) == [1, 5]
    assert json.loads(described["pool"])["scales"] == model.pool.scales and described["database"] == "photos"
    assert described["fingerprint"] == ours.sha256


ALONE = """
import sys
allowed = {"torch", "torchgen", "safetensors", "functorch", "typing_extensions", "sympy", "mpmath", "networkx",
           "filelock", "fsspec", "jinja2", "markupsafe", "packaging", "setuptools", "pkg_resources", "optree"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top in allowed | {"modelling", "synthetic_iqa"}:
            return None
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
from modelling import Model
import torch
model = Model()
pixels = torch.tensor(list(open(sys.argv[2], "rb").read())).view(2, 120, 91, 3)
images = pixels.permute(0, 3, 1, 2).float() / 255
images.requires_grad_(True)
scores = model.scores(images)
scores.sum().backward()
assert images.grad.abs().sum() > 0
print(scores.tolist(), model.scores(images, images[[1, 0]]).tolist(), model.features(images)[:, :9].tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "wide"])
def test_a_folder_runs_with_torch_and_safetensors_alone(project: Path, name: str, tmp_path: Path, few_checks) -> None:
    regressor = load_regressor(project / "data/regressors" / name / "photos")
    model = exportable(project / "data/models" / name, regressor)
    assert write_folder(model, tmp_path / "out").features < 1e-5
    assert not [module for module in sys.modules if module.split(".")[0] == folder.PACKAGE]
    batch = np.stack([picture(each, (120, 91)) for each in range(2)])
    (tmp_path / "pixels").write_bytes(batch.tobytes())
    command = [sys.executable, "-I", "-c", ALONE, str(tmp_path / "out"), str(tmp_path / "pixels")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    alone, against, features = json.loads(f"[{done.stdout.replace('] [', '], [')}]")
    expected = load_encoder(project / "data/models" / name).extract(list(batch))
    np.testing.assert_allclose(features, expected[:, :9], atol=1e-5)
    np.testing.assert_allclose(alone, regressor.modes["nr"].predict(expected), atol=1e-4)
    apart = np.abs(expected[[1, 0]] - expected)
    np.testing.assert_allclose(against, regressor.modes["fr"].predict(apart), atol=1e-4)
    config = read_json(tmp_path / "out" / "config.json")
    assert config["regressor"]["range"] == [1, 5] and config["fingerprint"] == model.extractor.sha256


def test_modelling_is_short() -> None:
    lines = (Path(folder.__file__).parent / "modelling.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 50


def test_an_export_that_computes_something_else_leaves_the_one_that_was_there(
    project: Path, tmp_path: Path, few_checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    model = exportable(project / "data/models/small", None)
    write_folder(model, tmp_path)
    before = content()
    wrong = folder.code() | {
        "modelling.py": folder.code()["modelling.py"].replace("F.relu(x + y)", "F.relu(x + 1.01 * y)")
    }
    monkeypatch.setattr(folder, "code", lambda: wrong)
    with pytest.raises(ExportError, match="differs from ours by .*so nothing was kept"):
        write_folder(model, tmp_path)
    assert content() == before


def test_a_protocol_that_resizes_is_refused(project: Path) -> None:
    regressor = load_regressor(project / "data/regressors/small/photos")
    resizing = dataclasses.replace(regressor, card={**regressor.card, "short_side": 512})
    with pytest.raises(ExportError, match="shorter side of 512 first"):
        exportable(project / "data/models/small", resizing)


def test_the_verb_writes_a_model_with_its_card(
    project: Path, tmp_path: Path, few_checks, monkeypatch: pytest.MonkeyPatch, synthetic_iqa: Run
) -> None:
    monkeypatch.chdir(project)
    code, out, err = synthetic_iqa("export", "small", "--to", "folder", "--out", tmp_path / "model")
    assert code == 0 and not err, err
    assert "small as folder, within" in out and "lower is better, photos runs from 1 to 5" in out
    card = (tmp_path / "model" / "README.md").read_text()
    assert "license: mit" in card and "**Lower is better, photos runs from 1 to 5.**" in card
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors", "modelling.py", "synthetic_iqa"]
    code, out, _ = synthetic_iqa("export", "small", "--to", "folder", "-o", tmp_path / "m", "--regressor", "none")
    assert code == 0 and out.endswith("features alone\n")
    code, out, err = synthetic_iqa("export", "huge", "--to", "onnx", "-o", tmp_path / "m")
    assert code == 2 and "huge: no encoder of this name; there are released, small, wide" in err
