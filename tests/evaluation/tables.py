"""Small feature tables for the tests of evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import artifacts
from pipeline.features import FeatureTable, feature_table, read_features


def database_of(
    y: Sequence[float] | np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    strata: Sequence[str | None] | None = None,
    official: Sequence[str | None] | None = None,
    references: Sequence[str | None] | None = None,
    is_reference: Sequence[bool] | None = None,
    types: Sequence[int | None] | None = None,
    levels: Sequence[int | None] | None = None,
    falls: bool = False,
) -> pa.Table:
    n = len(y)
    flags = list(is_reference) if is_reference is not None else [False] * n
    return pa.table(
        {
            "image_id": [f"image{i:05d}" for i in range(n)],
            "group": list(groups) if groups is not None else [f"group{i % 10}" for i in range(n)],
            "reference_id": pa.array(list(references) if references is not None else [None] * n, pa.string()),
            "is_reference": flags,
            "mos": pa.array([None if flag else float(v) for flag, v in zip(flags, y, strict=True)], pa.float64()),
            "higher_is_better": [not falls] * n,
            "type": pa.array(list(types) if types is not None else [None] * n, pa.int16()),
            "level": pa.array(list(levels) if levels is not None else [None] * n, pa.int16()),
            "official_split": pa.array(list(official) if official is not None else [None] * n, pa.string()),
            "stratum": pa.array(list(strata) if strata is not None else [None] * n, pa.string()),
        }
    )


def write_features(
    path: Path,
    x: np.ndarray,
    y: np.ndarray,
    *,
    standardise: bool = False,
    weights: str = "ab" * 32,
    encoder: str = "toy",
    database: str = "toys",
    about: dict[str, object] | None = None,
    **columns,
) -> FeatureTable:
    metadata = (about or {}) | {"weights_sha256": weights, "standardise": standardise, "non_finite": []}
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    metadata["non_finite"] = [f"image{i:05d}" for i in bad]
    table = feature_table(
        database_of(y, **columns), x.astype(np.float32), encoder=encoder, database_name=database, metadata=metadata
    )
    artifacts.write_table(path, table, byte_stream_split=("feature",))
    return read_features(path)
