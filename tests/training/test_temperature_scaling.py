"""Bias-corrected temperature scaling: what it finds, what it refuses, and the verb that calibrates a classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from scipy.special import softmax
from test_classifier import TINY, OneLevelEach, job
from typer.testing import CliRunner

from pipeline.artifacts import ArtifactError, read_json
from pipeline.cli import app
from pipeline.distortions import distort_all
from pipeline.encoder.network import ResNet
from pipeline.encoder.trunk import as_input
from pipeline.training.loop import train
from pipeline.training.methods.classifier import HEAD, build, five_crops, load_classifier
from pipeline.training.temperature_scaling import Scaling, ScalingError, fit_scaling

SLOPE, BIAS = 0.4, np.array([1.5, -1.0, 0.0, -2.0, 1.5])


def made(n: int = 60_000, *, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and outputs that are drawn from what a temperature of 2.5 and ``BIAS`` make of them."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 4, (n, 5)).astype(dtype)
    chances = softmax(SLOPE * logits.astype(np.float64) + BIAS, axis=1)
    return logits, (random.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_known_temperature_and_known_biases_are_found(dtype: type) -> None:
    logits, outputs = made(dtype=dtype)
    found = fit_scaling(logits, outputs)
    assert found.temperature == pytest.approx(1 / SLOPE, rel=0.03)
    np.testing.assert_allclose(found.bias, BIAS, atol=0.08)  # four deviations of an estimate from 60,000 images
    assert found.bias.dtype == np.float64 and found.bias.sum() == pytest.approx(0, abs=1e-12)
    assert found.after < found.before - 0.5


def test_the_fit_is_the_minimum() -> None:
    """There the mean probability of each output is its share of the images (the gradient of its bias is 0), and the
    scaled logits are as large, in the mean, at the right output as in expectation (that of the temperature).
    """
    logits, outputs = made(2000)
    logits += 100.0  # the same for all outputs: changes nothing
    found = fit_scaling(logits, outputs)
    chances = softmax(found(logits), axis=1)
    np.testing.assert_allclose(chances.mean(axis=0), np.bincount(outputs) / len(outputs), atol=1e-6)
    expected = (chances * logits).sum(axis=1).mean()
    assert logits[np.arange(len(logits)), outputs].mean() == pytest.approx(expected, abs=1e-5)
    assert found.after == pytest.approx(-np.log(chances[np.arange(len(chances)), outputs]).mean(), abs=1e-12)


def test_logits_that_say_nothing_get_the_shares_of_the_outputs() -> None:
    outputs = np.repeat([0, 1, 2], [50, 30, 20])
    found = fit_scaling(np.zeros((100, 3)), outputs)
    np.testing.assert_allclose(softmax(found(np.zeros((1, 3))))[0], [0.5, 0.3, 0.2], atol=1e-6)


@pytest.mark.parametrize(
    "logits, outputs, message",
    (
        (np.zeros((0, 3)), np.zeros(0, int), "no image of the outputs 0, 1, 2"),
        (np.zeros((4, 3)), np.array([0, 1, 1, 0]), "no image of the outputs 2"),
        (np.full((3, 3), np.nan), np.arange(3), "expected finite logits"),
        (np.zeros(3), np.arange(3), "expected finite logits"),
        (np.zeros((3, 3)), np.arange(2), "expected finite logits"),
        (np.zeros((3, 3)), np.arange(1, 4), r"outputs are 0..2, got 1..3"),
        (np.tile(np.eye(3), (5, 1)), np.tile(np.arange(3), 5), "every output is named rightly"),
        (-np.tile(np.eye(3), (5, 1)), np.tile(np.arange(3), 5), "do not tell the outputs apart"),
    ),
)
def test_what_cannot_be_fitted_is_refused(logits: np.ndarray, outputs: np.ndarray, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        fit_scaling(logits, outputs)


@pytest.mark.parametrize("pristine", (False, True))
def test_a_folded_head_gives_the_scaled_logits(pristine: bool) -> None:
    network = build(ResNet(18, 8), pristine).eval()
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(1))
    crops = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    scaling = Scaling(1.7, np.linspace(-2, 2, 25 + pristine), 0.0, 0.0)
    with torch.inference_mode():
        before = network(crops).numpy()
        scaling.fold(network)
        after = network(crops).numpy()
    np.testing.assert_allclose(after, scaling(before), atol=1e-5)


def tell_types(folder: Path, pristine: bool) -> None:
    """Give the classifier in ``folder`` a head that knows some types: the mean features of each in one image, of length
    1 and far apart.
    """
    network = load_classifier(folder, torch.device("cpu")).network
    features: dict[int, list[torch.Tensor]] = {}
    for sample in distort_all(smooth(0), np.random.default_rng(np.random.Philox(5))):
        with torch.inference_mode():
            pooled = network.trunk(as_input(torch.from_numpy(five_crops(sample.image, 32)))).mean(dim=(0, 2, 3))
        features.setdefault(sample.type if pristine else sample.type - 1, []).append(pooled)
    features.pop(-1, None)
    means = torch.stack([torch.stack(features[key]).mean(0) for key in sorted(features)])
    means = torch.nn.functional.normalize(means - means.mean(0)) * 10
    (folder / HEAD).write_bytes(save({"weight": means, "bias": torch.zeros(len(means))}))


def smooth(seed: int) -> np.ndarray:
    """uint8 [64, 72, 3], smooth colours."""
    grey = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(grey).resize((72, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("pristine", (False, True))
def test_the_verb_calibrates_a_classifier(tmp_path: Path, pristine: bool) -> None:
    images = OneLevelEach(sources=3)
    train(*job(tmp_path / "run", images, TINY.model_copy(update={"pristine": pristine})))
    source, out, photographs = tmp_path / "run/out", tmp_path / "mine", tmp_path / "photographs"
    tell_types(source, pristine)
    photographs.mkdir()
    for index in range(2):
        Image.fromarray(smooth(index)).save(photographs / f"{index}.png")
    asked = ["calibrate", str(photographs), "--classifier", str(source), "--out", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert f"on 2 photographs in {125 + pristine} classes" in done.output
    card, before = read_json(out / "encoder.json"), read_json(source / "encoder.json")
    told = card["provenance"].pop("calibration")
    assert card == before | {"name": "mine"} and "photographs/" not in (out / "encoder.json").read_text()
    assert (told["photographs"], told["images"], len(told["bias"])) == (2, 2 * (125 + pristine), 25 + pristine)
    assert (out / "encoder.safetensors").read_bytes() == (source / "encoder.safetensors").read_bytes()
    first, second = (load_classifier(folder, torch.device("cpu")).of_image(images.image(1)) for folder in (source, out))
    np.testing.assert_allclose(second, first / told["temperature"] + told["bias"], atol=1e-4)

    again = CliRunner().invoke(app, asked)
    assert again.exit_code == 2 and "--force replaces it" in again.output
    itself = CliRunner().invoke(app, [*asked[:-1], str(source), "--force"])
    assert itself.exit_code == 2 and "the classifier itself" in itself.output
    (photographs / "2.png").write_bytes(b"no image")
    Image.fromarray(smooth(2)[:40]).save(photographs / "3.png")
    head = (out / HEAD).read_bytes()
    part = CliRunner().invoke(app, [*asked, "--force"])
    assert part.exit_code == 1 and "2.png: " in part.output and (out / HEAD).read_bytes() == head
    assert "3.png: image: height and width must be 64..8192 pixels, got 40 x 72" in part.output
    for path in photographs.iterdir():
        path.unlink()
    none = CliRunner().invoke(app, [*asked, "--force"])
    assert none.exit_code == 2 and "no photograph to calibrate on" in none.output
    assert (out / HEAD).read_bytes() == head


def test_an_encoder_is_not_calibrated(tmp_path: Path) -> None:
    train(*job(tmp_path, OneLevelEach()))
    (tmp_path / "out" / HEAD).unlink()
    asked = ["calibrate", str(tmp_path), "--classifier", str(tmp_path / "out"), "--out", str(tmp_path / "mine")]
    result = CliRunner().invoke(app, asked)
    assert isinstance(result.exception, ArtifactError) and not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    "photographs, out, message",
    (
        ("nowhere", "mine", "nowhere: missing"),
        (".", "encoder", "encoder: an encoder is there, and no classifier; give it another name"),
        (".", "file", "file: not a folder"),
    ),
)
def test_what_is_asked_wrongly_is_one_line(tmp_path: Path, photographs: str, out: str, message: str) -> None:
    """Before a model is read; ``--force`` or not, an encoder is never replaced."""
    for folder in ("encoder", "classifier"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "encoder.json").write_text("{}")
    (tmp_path / "file").touch()
    places = [str(tmp_path / photographs), "--classifier", str(tmp_path / "classifier"), "--out", str(tmp_path / out)]
    result = CliRunner().invoke(app, ["calibrate", *places, "--force"])
    assert result.exit_code == 2 and result.output == f"synthetic-iqa: {tmp_path / message}\n"
    assert (tmp_path / "encoder" / "encoder.json").read_text() == "{}"
