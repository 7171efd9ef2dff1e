"""Metrics that need no opinions (PSNR, SSIM, NIQE, ...): nothing is fitted, the value is the prediction.

They pass through the splits of all others, so that their figures stand beside a regressor's, and are judged on the
whole set as well, which is what the literature prints.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.agreement.by_distortion import by_distortion
from pipeline.evaluation.agreement.measures import measure
from pipeline.evaluation.leaks import check_parts
from pipeline.evaluation.predictions import PREDICTIONS, WHOLE, predictions_table
from pipeline.evaluation.protocol import Protocol, SplitResult, make_splits, strata_of
from pipeline.evaluation.regressors.model_selection import Fitted
from pipeline.evaluation.results import heading, over_splits, split_entry
from pipeline.evaluation.splits import Split, shared_groups
from pipeline.features import FeatureTable

_NOTHING = np.empty(0, dtype=np.int64)


def is_metric(table: FeatureTable) -> bool:
    """Whether the table declares itself to be of a metric: one number an image, with its direction."""
    return table.metadata.get("kind", "features") == "metric"


def evaluate_metric(
    table: FeatureTable, protocol: Protocol, *, sha256: Mapping[str, str] | None = None
) -> tuple[pa.Table, dict[str, object]]:
    """The predictions table and the metrics of a metric: mode ``fr`` if it needs references, else ``nr``.

    The prediction is the value, negated where the metric's declared direction is not the opinions', so that a good
    metric has a positive SROCC on every database. Values that are not finite are set to the mean of the finite ones (no
    opinion enters) and named. A table without a value gives no rows, and ``absent`` says why.
    """
    scored, values = _scored(table)
    if not len(scored) or not np.isfinite(values).any():
        why = "no image with a reference" if table.metadata.get("needs_reference") and not len(scored) else "no value"
        return PREDICTIONS.empty_table(), _absent(table, protocol, why)
    values = np.where(np.isfinite(values), values, values[np.isfinite(values)].mean())
    found = heading(table, scored, protocol.name)
    prediction = values if table.metadata["higher_is_better"] == found["higher_is_better"] else -values
    mode = "fr" if table.metadata["needs_reference"] else "nr"
    rows = np.arange(len(scored))
    splits = make_splits(scored, protocol)
    if sha256 is not None:
        check_parts(splits, [sha256[name] for name in scored["image_id"].to_pylist()])
    results = [_judged(mode, split, prediction, scored) for split in splits]
    whole = _judged(mode, Split(WHOLE, _NOTHING, _NOTHING, rows), prediction, scored)
    found |= {"kind": "metric", "regressor": "none", "others": {}, mode: over_splits(results)}
    found |= {"whole": {mode: whole.measures.as_dict()}, "types": by_distortion(scored, results)}
    found |= {"splits": [split_entry(result) for result in results]}
    return predictions_table(scored, [*results, whole]), found


def _scored(table: FeatureTable) -> tuple[pa.Table, np.ndarray]:
    keep = pc.and_(pc.invert(table.columns["is_reference"]), table.columns["mos"].is_valid())
    where = keep.combine_chunks().to_numpy(zero_copy_only=False)
    return table.columns.filter(keep), table.matrix()[where, 0].astype(np.float64)


def _judged(mode: str, split: Split, prediction: np.ndarray, scored: pa.Table) -> SplitResult:
    mos = scored["mos"].to_numpy()
    fitted = Fitted(np.empty(0), prediction[split.test], "none", {}, False)
    found = measure(fitted.test, mos[split.test], strata_of(scored, split.test))
    return SplitResult("none", mode, split, fitted, found, shared_groups(split, scored["group"].to_pylist()))


def _absent(table: FeatureTable, protocol: Protocol, why: str) -> dict[str, object]:
    return {
        "encoder": table.path.parent.name,
        "database": table.path.stem,
        "protocol": protocol.name,
        "kind": "metric",
        "regressor": "none",
        "others": {},
        "absent": why,
        "images": 0,
        "groups": 0,
        "dim": table.dim,
        "weights_sha256": table.metadata.get("weights_sha256"),
        "non_finite": table.metadata.get("non_finite", []),
        "types": {},
        "splits": [],
    }
