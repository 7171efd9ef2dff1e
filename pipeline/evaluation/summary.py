"""The metrics of one encoder on one database, as they go into JSON: medians over splits, then every split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.features import FeatureTable

if TYPE_CHECKING:
    from pipeline.evaluation.protocol import SplitResult

MEASURES = ("srocc", "plcc", "plcc_raw", "krocc", "rmse", "srocc_within")


def summary(
    table: FeatureTable, scored: pa.Table, protocol: str, lambdas: Sequence[float], results: Sequence[SplitResult]
) -> dict[str, object]:
    """``{encoder, database, protocol, images, groups, nr: {medians}, fr: {medians}, splits: [...], ...}``; no NaN."""
    modes = list(dict.fromkeys(result.mode for result in results))
    found: dict[str, object] = {
        "encoder": scored["encoder"][0].as_py(),
        "database": scored["database"][0].as_py(),
        "protocol": protocol,
        "weights_sha256": table.metadata.get("weights_sha256"),
        "dim": table.dim,
        "images": len(scored),
        "groups": len(scored["group"].unique()),
        "non_finite": table.metadata.get("non_finite", []),
        "splits": [_split(result, lambdas) for result in results],
    }
    for mode in modes:
        found[mode] = _medians([result for result in results if result.mode == mode], lambdas)
    return found


def _medians(results: Sequence[SplitResult], lambdas: Sequence[float]) -> dict[str, object]:
    medians: dict[str, object] = {}
    for name in MEASURES:
        values = [getattr(result.measures, name) for result in results]
        known = [value for value in values if value is not None]
        if known:
            medians[name] = float(np.median(known))
    values = [result.measures.srocc for result in results]
    medians["srocc_min"], medians["srocc_max"] = min(values), max(values)
    edges = {lambdas[0], lambdas[-1]}
    medians["lambda_at_edge"] = sum(float(result.chosen.model.lambdas[0]) in edges for result in results)
    return medians


def _split(result: SplitResult, lambdas: Sequence[float]) -> dict[str, object]:
    return {
        "mode": result.mode,
        "split": result.split.index,
        "train": len(result.split.train),
        "val": len(result.split.val),
        "test": len(result.split.test),
        "shared_groups": result.shared_groups,
        "lambda": float(result.chosen.model.lambdas[0]),
        "lambda_rule": result.chosen.rule,
        "intercept": float(result.chosen.model.intercept[0]),
        **result.measures.as_dict(),
    }
