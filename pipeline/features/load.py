"""From an encoder's folder to something that extracts or compares: ``encoder.json`` says of which kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pipeline import artifacts, encoder
from pipeline.features import baselines
from pipeline.features.metrics import METRICS, Metric, niqe
from pipeline.features.table import FeatureError

KINDS = ("resnet", *baselines.KINDS, "metric")


@runtime_checkable
class Extractor(Protocol):
    """What turns images into features. An attribute ``standardise`` (default False) declares that the numbers have
    different units, so that a regressor must scale them by its training part.
    """

    name: str
    dim: int
    sha256: str

    def extract(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 H x W x 3 images of one size -> float32 [n, dim]; each row depends on its own image only."""
        ...


def load_extractor(folder: Path, *, device: str = "cpu", precision: str = "fp32") -> Extractor:
    """The extractor of ``folder``, weights checked against their hash. :class:`FeatureError` for a kind that is not
    known and for a metric that needs a reference (:func:`load_metric`).
    """
    card = _card(folder)
    if card["kind"] == "resnet":
        return encoder.load(folder, device=device, precision=precision)
    if card["kind"] != "metric":
        return baselines.KINDS[card["kind"]]()
    if card.get("needs_reference"):
        raise FeatureError(f"{folder}: {card.get('name')} compares an image with its reference; one alone has no value")
    return niqe.load(folder)


def load_metric(folder: Path) -> Metric | None:
    """The full-reference metric of ``folder``; None for whatever looks at an image alone."""
    card = _card(folder)
    if card["kind"] != "metric" or not card.get("needs_reference"):
        return None
    if card.get("name") not in METRICS:
        raise FeatureError(f"{folder}: no metric is called {card.get('name')!r}; known: {', '.join(METRICS)}")
    return METRICS[card["name"]]


def weights_sha256(folder: Path) -> str:
    """The hash that features made by this encoder carry: of the weights' file as it lies there (with the
    card's sight, where it has one), or of a baseline's definition. Needs neither torch nor the weights in memory.
    """
    card = _card(folder)
    if card["kind"] == "resnet":
        return encoder.identity(artifacts.sha256_file(Path(folder) / "encoder.safetensors"), card)
    if card["kind"] != "metric":
        return baselines.KINDS[card["kind"]]().sha256
    metric = load_metric(folder)
    return metric.sha256 if metric else artifacts.sha256_file(Path(folder) / niqe.WEIGHTS)


def _card(folder: Path) -> dict[str, Any]:
    path = Path(folder) / "encoder.json"
    card = artifacts.read_json(path)
    kind = card.get("kind") if isinstance(card, dict) else None
    if kind not in KINDS:
        raise FeatureError(f"{path}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    return dict(card)
