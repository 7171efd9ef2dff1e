"""Targets: folders of images and of shards, streamed, with what cannot be read named and left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipeline.artifacts import read_table
from pipeline.cli import app
from pipeline.devices import Device
from pipeline.domains import DOMAINS, Outputs, TargetError, domains_table, in_words, similarity, target_outputs
from pipeline.encoder.network import ResNet, initialise
from pipeline.engine import Engine
from pipeline.params import ClassificationParams
from pipeline.training.loop import Run
from pipeline.training.methods.classifier import Classifier, TypeLogits, build

NAMES = [f"type_{number}" for number in range(1, 26)]
PARAMS = ClassificationParams(width=8, crop=32)


def network(seed: int = 1, pristine: bool = False):  # type: ignore[no-untyped-def]
    trunk = ResNet(18, 8)
    initialise(trunk, torch.Generator().manual_seed(seed))
    made = build(trunk, pristine)
    torch.nn.init.normal_(made.head.weight, generator=torch.Generator().manual_seed(seed))
    return made


def classifier(**changes: bool) -> TypeLogits:
    return TypeLogits(network(**changes), PARAMS.crop, torch.device("cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(2)
    for index, size in enumerate([(40, 50), (33, 64), (20, 24)]):  # the last is smaller than a crop
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image either")
    return tmp_path


def test_a_folder_is_asked_image_by_image_and_what_is_broken_is_named(folder: Path) -> None:
    outputs, failed = target_outputs(folder, classifier(), Engine(), describe="test")
    assert len(outputs) == 3 and [Path(path).name for path in failed] == ["broken.png"]
    alone = classifier().of_image(np.asarray(Image.open(folder / "1.png")))
    np.testing.assert_allclose(outputs.probabilities[1], Outputs.of([alone]).probabilities[0], atol=1e-6)


def test_workers_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.domains.targets.PER_TASK", 1)
    serial, _ = target_outputs(folder, classifier(), Engine(), describe="test")
    split, failed = target_outputs(folder, classifier(), Engine("processes", 2), describe="test")
    np.testing.assert_array_equal(serial.probabilities, split.probabilities)
    np.testing.assert_array_equal(serial.votes, split.votes)
    assert len(failed) == 1


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no images here"):
        target_outputs(tmp_path, classifier(), Engine(), describe="test")


def test_the_table_has_a_row_a_type() -> None:
    outputs = Outputs.of(np.random.default_rng(0).normal(size=(30, 5, 26)))
    table = domains_table("mine", "types", similarity(outputs, seed=1), NAMES, len(outputs))
    assert table.schema.equals(DOMAINS) and table["domain"].to_pylist() == list(range(1, 26))
    assert set(table["n"].to_pylist()) == {30} and table["name"].to_pylist() == NAMES


def test_in_words() -> None:
    values = np.zeros((4, 1, 25))
    values[:, :, 2], values[:, :, 8] = 3, 2.5
    words = in_words(similarity(Outputs.of(values), seed=1, resamples=5), NAMES)
    assert words.startswith("most like type_3 (0.3") and ", type_9 (0.2" in words and words.count("type_") == 2
    even = in_words(similarity(Outputs.of(np.zeros((4, 1, 25))), seed=1, resamples=5), NAMES)
    assert even == "like no type more than any other"


def test_the_verb_prints_words_and_writes_a_table(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(name="types", out=tmp_path / "model", checkpoints=tmp_path / "unused", device=Device("cpu"))
    method = Classifier.__new__(Classifier)  # only what write() reads
    method.run, method.params, method.rows, method.seed = run, PARAMS, np.arange(0), 1
    method.images, method.opinions = object(), ()  # type: ignore[assignment]
    method.write(network(), run.out, {})
    table = tmp_path / "table.parquet"
    result = CliRunner().invoke(app, ["domains", str(folder), "--classifier", str(run.out), "--out", str(table)])
    assert result.exit_code == 1, result.output  # one file is broken
    assert f"{folder}: 3 images, " in result.output and "broken.png: a text file" in result.output
    assert read_table(table).num_rows == 25
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.cli.domains.RELEASED", (Path("released"),))
    none = CliRunner().invoke(app, ["domains", str(folder)])
    assert none.exit_code == 2 and "released/classifier and data/models/types: no classifier here" in none.output
    for place, name in (("data/models/types", "types"), ("released/classifier", "released")):  # the better one later
        shutil.copytree(run.out, place)
        assert CliRunner().invoke(app, ["domains", str(folder), "--out", str(table)]).exit_code == 1
        assert set(read_table(table)["classifier"].to_pylist()) == {name}
    refused = CliRunner().invoke(app, ["domains", str(folder), "--classifier", "nothing"])
    assert refused.exit_code == 2 and "no classifier here" in refused.output
