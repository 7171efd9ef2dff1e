"""Baselines that are not trained and need no images: their kinds and their cards."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.features.brisque import Brisque36
from pipeline.features.floor import Floor
from pipeline.metrics import METRICS

KINDS: dict[str, Callable[[], Floor | Brisque36]] = {"floor": Floor, "brisque36": Brisque36}


def card(name: str) -> dict[str, object]:
    """The ``encoder.json`` of a baseline without a model: of a kind in :data:`KINDS` or a full-reference metric."""
    if name in METRICS:
        metric = METRICS[name]
        what = {"kind": "metric", "name": name, "version": metric.version, "dim": 1, "sha256": metric.sha256}
        return {**what, "higher_is_better": metric.higher_is_better, "needs_reference": True, "trained_on": None}
    extractor = KINDS[name]()
    return {**extractor.provenance, "dim": extractor.dim, "sha256": extractor.sha256, "trained_on": None}
