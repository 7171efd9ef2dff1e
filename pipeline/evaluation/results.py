"""The metrics of one method on one database, computed from its predictions table alone.

``metrics_of`` gives what metrics/evaluate/{encoder}/{database}.json holds: facts of the table, and for each mode and
regressor the medians over the splits: ``{"nr": {"ridge": {"srocc": ..., "splits": [...], "types": [...]}}, ...}``. What
predictions do not show (how a fit was made) is handed in as ``facts`` and ``fits``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.agreement.by_distortion import by_distortion
from pipeline.evaluation.agreement.measures import Measures, measure
from pipeline.evaluation.predictions import Predicted, only_value, parts_of

MODES = ("nr", "fr")
MEASURES = ("srocc", "plcc", "plcc_raw", "krocc", "rmse", "srocc_within")
METRIC = "none"  # the regressor of a metric, whose value is the prediction


@dataclass(frozen=True)
class FitFacts:
    """How one split was fitted: images of its parts, groups of the test part that also train or validate, the rule that
    chose the settings (None for a metric), the settings, and whether one of them is an end of its grid.
    """

    train: int
    val: int
    shared_groups: int = 0
    rule: str | None = None
    settings: Mapping[str, float] = field(default_factory=dict)
    at_edge: bool = False


@dataclass(frozen=True)
class SplitResult:
    """The test part of one split, measured; ``fit`` is None where only predictions are known."""

    split: int
    predicted: Predicted
    measures: Measures
    fit: FitFacts | None

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        figures: dict[str, object] = {"split": self.split, "test": self.measures.images}
        if self.fit is not None:
            figures |= {"train": self.fit.train, "val": self.fit.val, "shared_groups": self.fit.shared_groups}
            figures |= {} if self.fit.rule is None else {"lambda_rule": self.fit.rule}
            figures |= self.fit.settings
        return figures | self.measures.as_dict()


@dataclass(frozen=True)
class RegressorResult:
    """One regressor in one mode: its splits in order, and a metric's measures of the whole set."""

    mode: str
    regressor: str
    splits: tuple[SplitResult, ...]
    whole: Measures | None

    def medians(self) -> dict[str, float]:
        """measure -> median over the splits; a measure that no split has is left out."""
        medians = {}
        for name in MEASURES:
            values = [getattr(result.measures, name) for result in self.splits]
            known = [value for value in values if value is not None]
            if known:
                medians[name] = float(np.median(known))
        return medians

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        sroccs = [result.measures.srocc for result in self.splits]
        figures: dict[str, object] = {**self.medians(), "srocc_min": min(sroccs), "srocc_max": max(sroccs)}
        figures["fits"] = dict(sorted(Counter(result.measures.fit_status for result in self.splits).items()))
        fits = [result.fit for result in self.splits if result.fit is not None and result.fit.rule is not None]
        if fits:
            figures[f"{'lambda' if self.regressor == 'ridge' else 'grid'}_at_edge"] = sum(fit.at_edge for fit in fits)
        if self.whole is not None:
            figures["whole"] = self.whole.as_dict()
        figures["types"] = by_distortion([(result.predicted, result.measures) for result in self.splits])
        figures["splits"] = [result.as_dict() for result in self.splits]
        return figures


def results_of(
    predictions: pa.Table, fits: Mapping[tuple[str, str, int], FitFacts] | None = None
) -> list[RegressorResult]:
    """One entry for each mode and regressor of a predictions table, in its order. ``fits``: (mode, regressor, split) ->
    how the split was fitted. ``ValueError`` for predictions or opinions that are not finite.
    """
    parts, fits = parts_of(predictions), fits or {}
    results = []
    for mode, regressor in dict.fromkeys((mode, regressor) for mode, regressor, _, _ in parts):
        mine = {(split, part): value for (m, r, split, part), value in parts.items() if (m, r) == (mode, regressor)}
        splits = tuple(
            SplitResult(split, predicted, _measured(predicted), fits.get((mode, regressor, split)))
            for (split, part), predicted in mine.items()
            if part == "test"
        )
        whole = [_measured(predicted) for (_, part), predicted in mine.items() if part == "whole"]
        if splits:
            results.append(RegressorResult(mode, regressor, splits, whole[0] if whole else None))
    return results


def metrics_of(
    predictions: pa.Table,
    facts: Mapping[str, object] | None = None,
    fits: Mapping[tuple[str, str, int], FitFacts] | None = None,
) -> dict[str, object]:
    """The metrics of one method on one database: ``{encoder, database, kind, regressor, images, groups, nr: {regressor:
    {medians, splits, types, ...}}, fr: ...}``; no NaN. ``regressor`` is the first of the table, the headline.

    ``facts`` stand beside these, or in their place (protocol, images, ...). ``fits``: as for :func:`results_of`.
    """
    results = results_of(predictions, fits)
    headline = results[0].regressor if results else METRIC
    metrics: dict[str, object] = {
        "encoder": only_value(predictions, "encoder"),
        "database": only_value(predictions, "database"),
        "kind": "metric" if headline == METRIC else "features",
        "regressor": headline,
        "images": len(pc.unique(predictions["image_id"])),
        "groups": len(pc.unique(predictions["group"])),
    }
    return metrics | dict(facts or {}) | by_mode(results)


def by_mode(results: Sequence[RegressorResult]) -> dict[str, dict[str, object]]:
    """mode -> regressor -> figures."""
    modes: dict[str, dict[str, object]] = {}
    for result in results:
        modes.setdefault(result.mode, {})[result.regressor] = result.as_dict()
    return modes


def _measured(predicted: Predicted) -> Measures:
    return measure(predicted.prediction, predicted.mos, predicted.strata)
