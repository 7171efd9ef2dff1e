"""Metrics that need no opinions (PSNR, SSIM, NIQE, ...): nothing is fitted, the value is the prediction.

They pass through the splits of all others, so that their figures stand beside a regressor's, and are judged on the
whole set as well, which is what the literature prints.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipeline.evaluation.leaks import SeenOpinions
from pipeline.evaluation.predictions import PREDICTIONS, WHOLE, Part, only_value, predictions_table
from pipeline.evaluation.protocol import Protocol, facts_of, splits_of
from pipeline.evaluation.regressors import scored_rows
from pipeline.evaluation.results import METRIC, FitFacts, metrics_of
from pipeline.evaluation.splits import shared_groups
from pipeline.features import FeatureTable


def is_metric(table: FeatureTable) -> bool:
    """Whether the table declares itself to be of a metric: one number an image, with its direction."""
    return table.metadata.get("kind", "features") == "metric"


def evaluate_metric(
    table: FeatureTable,
    protocol: Protocol,
    *,
    sha256: Mapping[str, str] | None = None,
    seen: SeenOpinions | None = None,
) -> tuple[pa.Table, dict[str, object]]:
    """The predictions table and the metrics of a metric: mode ``fr`` if it needs references, else ``nr``.

    The prediction is the value, negated where the metric's declared direction is not the opinions', so that a good
    metric has a positive SROCC on every database. Values that are not finite are set to the mean of the finite ones (no
    opinion enters) and named. A table without a value gives no rows, and ``absent`` says why. ``sha256`` and ``seen``:
    as for :func:`pipeline.evaluation.evaluate`; a metric that has seen opinions is not judged on the whole set.
    """
    rows = scored_rows(table)
    scored, values = table.columns.take(pa.array(rows)), table.matrix()[rows, 0].astype(np.float64)
    if not len(scored) or not np.isfinite(values).any():
        why = "no image with a reference" if table.metadata.get("needs_reference") and not len(scored) else "no value"
        return PREDICTIONS.empty_table(), _absent(table, protocol, why)
    values = np.where(np.isfinite(values), values, values[np.isfinite(values)].mean())
    prediction = values if table.metadata["higher_is_better"] == scored["higher_is_better"][0].as_py() else -values
    mode = "fr" if table.metadata["needs_reference"] else "nr"
    encoder, database = only_value(scored, "encoder"), only_value(scored, "database")
    groups, seen = scored["group"].to_pylist(), seen or SeenOpinions()
    splits = splits_of(scored, protocol, database, sha256=sha256)
    splits, refused = seen.permitted(splits, scored["image_id"].to_pylist())
    parts = [Part(mode, METRIC, split.index, "test", split.test, prediction[split.test]) for split in splits]
    if not seen.images:
        parts.append(Part(mode, METRIC, WHOLE, "whole", np.arange(len(scored)), prediction))
    fits = {
        (mode, METRIC, split.index): FitFacts(len(split.train), len(split.val), shared_groups(split, groups))
        for split in splits
    }
    predictions = predictions_table(scored, parts, encoder=encoder, database=database)
    return predictions, metrics_of(predictions, facts_of(table, scored, protocol.name, refused_splits=refused), fits)


def _absent(table: FeatureTable, protocol: Protocol, why: str) -> dict[str, object]:
    return {
        "encoder": table.path.parent.name,
        "database": table.path.stem,
        "protocol": protocol.name,
        "kind": "metric",
        "regressor": METRIC,
        "absent": why,
        "images": 0,
        "groups": 0,
        "dim": table.dim,
        "weights_sha256": table.metadata.get("weights_sha256"),
        "non_finite": table.metadata.get("non_finite", []),
    }
