"""From an encoder's folder to something that extracts or compares: ``encoder.json`` says of which kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.encoder import CARD, WEIGHTS, Extractor, feature_fingerprint, read_card, stored_encoder
from pipeline.features import baselines
from pipeline.features.feature_table import FeatureError
from pipeline.metrics import METRICS, Metric, niqe

KINDS = ("resnet", *baselines.KINDS, "metric")


def load_extractor(folder: Path, *, device: str = "cpu", precision: str = "fp32") -> Extractor:
    """The extractor of ``folder``, weights checked against their hash. :class:`FeatureError` for a kind that is not
    known and for a metric that needs a reference (:func:`load_metric`).
    """
    card = _card(folder)
    if card["kind"] == "resnet":
        return stored_encoder(folder, device=device, precision=precision)
    if card["kind"] != "metric":
        return baselines.KINDS[card["kind"]]()
    if card.get("needs_reference"):
        raise FeatureError(f"{folder}: {card.get('name')} compares an image with its reference; one alone has no value")
    return niqe.load(folder)


def load_metric(folder: Path) -> Metric | None:
    """The full-reference metric of ``folder``; None for an encoder that needs no reference."""
    card = _card(folder)
    if card["kind"] != "metric" or not card.get("needs_reference"):
        return None
    if card.get("name") not in METRICS:
        raise FeatureError(f"{folder}: no metric is called {card.get('name')!r}; known: {', '.join(METRICS)}")
    return METRICS[card["name"]]


def weights_sha256(folder: Path) -> str:
    """The hash that features made by this encoder carry: of the weights' file as it lies there (with the card's
    preprocessing, where it has one), or of a baseline's definition. Needs neither torch nor the weights in memory.
    """
    card = _card(folder)
    if card["kind"] == "resnet":
        return feature_fingerprint(artifacts.sha256_file(Path(folder) / WEIGHTS), card)
    if card["kind"] != "metric":
        return baselines.KINDS[card["kind"]]().sha256
    metric = load_metric(folder)
    return metric.sha256 if metric else artifacts.sha256_file(Path(folder) / niqe.WEIGHTS)


def _card(folder: Path) -> dict[str, Any]:
    card = read_card(folder)
    if card["kind"] not in KINDS:
        raise FeatureError(f"{Path(folder) / CARD}: kind is {card['kind']!r}; expected one of {', '.join(KINDS)}")
    return card
