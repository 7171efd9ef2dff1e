"""The classifier of the types: its labels and crops, what it learns, and that it resumes to the bit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stand_in import StandIn

from pipeline.artifacts import ArtifactError
from pipeline.devices import Device
from pipeline.encoder.card import read_card
from pipeline.encoder.network import ResNet
from pipeline.encoder.weights import load_encoder, load_trunk, save_encoder
from pipeline.params import ClassificationParams
from pipeline.training.confusion import confusion, predicted_types
from pipeline.training.loop import Loop, Run, train
from pipeline.training.methods.classifier import (
    HEAD,
    Classifier,
    build,
    five_crops,
    load_classifier,
    outputs_of,
)
from pipeline.training.views import crop_corners

TINY = ClassificationParams(width=8, crop=32, batch=8, epochs=2, learning_rate=3e-3, validate_every=1)


class OneLevelEach(StandIn):
    """The stand-in's kinds as level 1 of types 1, 2, ...; its kind 0 is the pristine image."""

    def __init__(self, **given: int) -> None:
        super().__init__(**given)
        self.kinds, self.labels = self.labels, np.where(self.labels > 0, 5 * (self.labels - 1) + 1, 0).astype(np.int16)

    def image(self, index: int) -> np.ndarray:
        labels, self.labels = self.labels, self.kinds
        image = super().image(index)
        self.labels = labels
        return image


def job(folder: Path, images: StandIn, params: ClassificationParams = TINY, **changes: object) -> tuple[Run, partial]:  # type: ignore[type-arg]
    out, checkpoints = folder / "out", folder / "checkpoints"
    run = Run(name="types", out=out, checkpoints=checkpoints, device=Device("cpu"), threads=1, checkpoint_every=2)
    return run, partial(Classifier, images=images, params=params, **{"seed": 5, **changes})


@pytest.mark.parametrize("label, with_pristine, without", ((0, 0, -1), (1, 1, 0), (5, 1, 0), (6, 2, 1), (125, 25, 24)))
def test_outputs_of_labels(label: int, with_pristine: int, without: int) -> None:
    assert outputs_of(np.array([label]), pristine=True) == [with_pristine]
    assert outputs_of(np.array([label]), pristine=False) == [without]


def test_crops_lie_inside_or_are_centred() -> None:
    places = np.random.default_rng(0).random((500, 2))
    corners = crop_corners(np.tile([[40, 70]], (500, 1)), 32, places)
    assert corners.min(axis=0).tolist() == [0, 0] and corners.max(axis=0).tolist() == [8, 38]
    assert crop_corners(np.array([[20, 31]]), 32, places[:1]).tolist() == [[-6, 0]]


def test_five_crops_are_the_corners_and_the_centre() -> None:
    image = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
    crops = five_crops(image, 32)
    for crop, (top, left) in zip(crops, ((0, 0), (0, 28), (8, 0), (8, 28), (4, 14)), strict=True):
        np.testing.assert_array_equal(crop, image[top : top + 32, left : left + 32])
    assert five_crops(image[:10, :10], 32).shape == (5, 32, 32, 3)


def test_the_first_loss_is_the_logarithm_of_the_outputs() -> None:
    for pristine in (False, True):
        network = build(ResNet(18, 8), pristine)
        logits = network(torch.rand(3, 3, 32, 32))
        assert logits.shape == (3, 25 + pristine) and logits.abs().max() == 0


@pytest.mark.parametrize("pristine", (False, True))
def test_it_learns_kinds_and_is_read_again(tmp_path: Path, pristine: bool) -> None:
    images = OneLevelEach(sources=6)
    params = TINY.model_copy(update={"epochs": 15.0, "pristine": pristine})
    seen = []

    def validation(logits):  # type: ignore[no-untyped-def]
        seen.append(logits(images.image(1)).shape)
        return 0.5

    train(*job(tmp_path, images, params, validation=validation))
    history = pq.read_table(tmp_path / "out" / "history.parquet")
    assert np.mean(history["loss"].to_pylist()[-6:]) < 0.4 * history["loss"][0].as_py()
    assert {value for value in history["type_accuracy"].to_pylist() if value is not None} == {0.5}
    assert set(seen) == {(5, 25 + pristine)}
    classifier = load_classifier(tmp_path / "out", torch.device("cpu"))
    held = OneLevelEach(sources=9)
    rows = np.flatnonzero((held.sources >= 6) & (held.labels > 0))
    figures = confusion(held.labels[rows].astype(int), predicted_types(classifier.of_image, held, rows, "test"))
    assert figures["accuracy"] > 0.6 and np.sum(figures["matrix"]) == len(rows) == figures["images"]
    assert load_encoder(tmp_path / "out").extract([held.image(0)]).shape == (1, 128)  # an encoder as any other


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    images = OneLevelEach()
    train(*job(tmp_path / "whole", images))
    run, make = job(tmp_path / "cut", images)

    loop = Loop(run, make)
    loop.method.prepare(1)
    for batch in loop.method.batches(0, 2, 0, 1):
        loop.step(batch)
    train(run, make)  # from the checkpoint of step 2
    for name in ("encoder.safetensors", HEAD):
        assert (tmp_path / "cut/out" / name).read_bytes() == (tmp_path / "whole/out" / name).read_bytes()


def test_it_begins_from_an_encoder(tmp_path: Path) -> None:
    """Its weights, its width and the opinions that it has seen, with a new head; another encoder is another run."""
    images = OneLevelEach()
    train(*job(tmp_path, images))
    seen = {"database": "koniq10k", "split": 0, "images": ["a.png"]}
    save_encoder(tmp_path / "out", load_trunk(tmp_path / "out")[0], "mine", {}, opinions=[seen])
    run, make = job(tmp_path, images, TINY.model_copy(update={"width": 16}), encoder=tmp_path / "out")
    method, trunk = make(run, torch.device("cpu")), load_trunk(tmp_path / "out")[0]
    for name, value in trunk.state_dict().items():
        assert torch.equal(method.network.trunk.state_dict()[name], value)
    method.write(method.network, tmp_path / "next", {})
    assert read_card(tmp_path / "next")["opinions"] == [seen]
    assert trunk.width == 8 and not method.network.head.weight.any()
    assert "encoder" in method.fingerprint() and "encoder" not in job(tmp_path, images)[1](run, "cpu").fingerprint()


def test_pristine_images_are_left_out_unless_asked_for() -> None:
    images = OneLevelEach()
    run, make = job(Path("unused"), images)
    assert (images.labels[make(run, torch.device("cpu")).rows] > 0).all()
    with_pristine = TINY.model_copy(update={"pristine": True})
    assert len(job(Path("unused"), images, with_pristine)[1](run, torch.device("cpu")).rows) == len(images)


def test_confusion_counts_types_levels_and_what_no_one_can_see() -> None:
    labels = np.array([1, 2, 6, 11, 125])
    figures = confusion(labels, np.array([1, 2, 2, 3, 25]))
    assert figures["accuracy"] == 0.8 and figures["invisible"] == 0.4
    assert figures["by_type"] == {"1": 0.5, "2": 1.0, "3": 1.0, "25": 1.0}
    assert figures["by_level"] == {"1": 1.0, "2": 0.0, "5": 1.0}
    assert np.array(figures["matrix"])[0, 1] == 1


def test_an_encoder_is_no_classifier(tmp_path: Path) -> None:
    train(*job(tmp_path, OneLevelEach()))
    (tmp_path / "out" / HEAD).write_bytes(b"no head")
    with pytest.raises(ArtifactError, match=HEAD):
        load_classifier(tmp_path / "out", torch.device("cpu"))
