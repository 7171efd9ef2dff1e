"""Composites in training: a class each for the contrastive loss; no type for the classifier, and none for the probe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from stand_in import TINY, StandIn, job
from test_authentic import Photographs

from pipeline.labels import CLASSES
from pipeline.params import ClassificationParams
from pipeline.shards.decoded import Subset
from pipeline.training.authentic import Mixture
from pipeline.training.labels import AUTHENTIC
from pipeline.training.methods.classifier import Classifier


class Composites(StandIn):
    """The stand-in's eight kinds as labels 122 to 129: the last four are composites."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = self.labels + np.int16(122)


def test_the_loss_has_a_class_for_each_recipe_and_authentic_images_come_after(tmp_path: Path) -> None:
    params = TINY.model_copy(update={"neighbour_weight": 0.5})
    for images in (Composites(), Mixture(Composites(), Subset(Photographs(), np.arange(12)))):
        run, make = job(tmp_path, images, params)
        method = make(run, torch.device("cpu"))
        method.prepare(1)
        batch = next(method.batches(0, 1, 0, 1))
        given = dict(zip(images.keys, images.labels.tolist(), strict=True))
        expected = [given[name] for name in batch.names]
        mixed = AUTHENTIC in images.labels
        assert method.set_classes == 130 and method.classes == 130 + (params.batch if mixed else 0)
        places = [130 + place if label == AUTHENTIC else label for place, label in enumerate(expected)]
        assert batch.labels.tolist() == places
        assert torch.isfinite(method.loss(batch)["loss"])
        assert method.positive_weights[125, 124] == 0.5
        assert torch.equal(method.positive_weights[126:, 126:], torch.eye(method.classes - 126, dtype=torch.float64))
        assert not method.positive_weights[126:, :126].any()


def test_the_classifier_sees_no_composite(tmp_path: Path) -> None:
    run, _ = job(tmp_path, Composites())
    params = ClassificationParams(width=8, crop=32, batch=8, epochs=1)
    for pristine in (False, True):
        images = Composites()
        method = Classifier(
            run, torch.device("cpu"), images=images, params=params.model_copy(update={"pristine": pristine}), seed=5
        )
        assert set(images.labels[method.rows].tolist()) == {122, 123, 124, 125} and CLASSES == 126
