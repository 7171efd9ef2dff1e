"""The metrics of one encoder on one database, as they go into JSON: medians over splits, types and levels, every split.

The headline regressor's medians stand at the top level (``nr``, ``fr``), further ones under ``others``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.evaluation.agreement.by_distortion import by_distortion
from pipeline.features import FeatureTable

if TYPE_CHECKING:
    from pipeline.evaluation.protocol import Protocol, SplitResult

MEASURES = ("srocc", "plcc", "plcc_raw", "krocc", "rmse", "srocc_within")


def summary(
    table: FeatureTable,
    scored: pa.Table,
    protocol: Protocol,
    results: Sequence[SplitResult],
    skipped: Mapping[str, str],
) -> dict[str, object]:
    """``{encoder, database, protocol, images, groups, regressor, nr: {medians}, fr: {medians}, others: {...}, types:
    {...}, splits: [...], ...}``; no NaN.
    """
    found = heading(table, scored, protocol.name)
    medians: dict[str, dict[str, object]] = {}
    for regressor, mode in dict.fromkeys((result.regressor, result.mode) for result in results):
        mine = [result for result in results if (result.regressor, result.mode) == (regressor, mode)]
        medians.setdefault(regressor, {})[mode] = over_splits(mine)
    headline = next(iter(medians))
    others: dict[str, object] = {name: part for name, part in medians.items() if name != headline}
    others |= {name: {"skipped": why} for name, why in skipped.items()}
    found |= {"kind": "features", "regressor": headline, **medians[headline], "others": others}
    found |= {"types": by_distortion(scored, results), "splits": [split_entry(result) for result in results]}
    return found


def heading(table: FeatureTable, scored: pa.Table, protocol: str) -> dict[str, object]:
    """What the table is, whatever was done with it."""
    directions = scored["higher_is_better"].unique().to_pylist()
    if len(directions) != 1:
        raise ValueError(f"{table.path}: higher_is_better is {directions}; one database has one direction")
    return {
        "encoder": scored["encoder"][0].as_py(),
        "database": scored["database"][0].as_py(),
        "protocol": protocol,
        "higher_is_better": directions[0],
        "weights_sha256": table.metadata.get("weights_sha256"),
        "dim": table.dim,
        "images": len(scored),
        "groups": len(scored["group"].unique()),
        "non_finite": table.metadata.get("non_finite", []),
    }


def over_splits(results: Sequence[SplitResult]) -> dict[str, object]:
    """Medians of the measures over the splits of one regressor and mode, and how the fits ended."""
    medians: dict[str, object] = {}
    for name in MEASURES:
        values = [getattr(result.measures, name) for result in results]
        known = [value for value in values if value is not None]
        if known:
            medians[name] = float(np.median(known))
    sroccs = [result.measures.srocc for result in results]
    medians["srocc_min"], medians["srocc_max"] = min(sroccs), max(sroccs)
    medians["fits"] = dict(sorted(Counter(result.measures.fit_status for result in results).items()))
    if results[0].regressor != "none":
        edge = "lambda_at_edge" if results[0].regressor == "ridge" else "grid_at_edge"
        medians[edge] = sum(result.fitted.at_edge for result in results)
    return medians


def split_entry(result: SplitResult) -> dict[str, object]:
    """One split."""
    chosen = {"lambda_rule": result.fitted.rule} if result.regressor != "none" else {}
    return {
        "regressor": result.regressor,
        "mode": result.mode,
        "split": result.split.index,
        "train": len(result.split.train),
        "val": len(result.split.val),
        "test": len(result.split.test),
        "shared_groups": result.shared_groups,
        **chosen,
        **result.fitted.settings,
        **result.measures.as_dict(),
    }
