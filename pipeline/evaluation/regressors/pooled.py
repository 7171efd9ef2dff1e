"""Several databases as one, for a regressor that has seen photographs as people take them and as they are distorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.evaluation.regressors.scored_features import scored_rows
from pipeline.features import FeatureTable, feature_table

RANGE = (0.0, 1.0)


@dataclass(frozen=True)
class Opinions:
    """A database's feature table, and what its opinions mean: their declared range and direction."""

    table: FeatureTable
    range: tuple[float, float]
    higher_is_better: bool


def pooled_features(databases: Mapping[str, Opinions], *, encoder: str, name: str) -> pa.Table:
    """One feature table of the scored images of all ``databases`` (name -> its opinions), without references.

    Opinions are put on :data:`RANGE`, 1 best, by each database's declared range. Images of a smaller database are
    repeated, so that all count alike to within one repetition. Groups stay apart.
    """
    most = max(len(scored_rows(opinions.table)) for opinions in databases.values())
    columns, features = [], []
    for database, opinions in databases.items():
        rows = scored_rows(opinions.table)
        rows = np.tile(rows, max(1, round(most / len(rows))))
        chosen, (low, high) = opinions.table.columns.take(pa.array(rows)), opinions.range
        mos = (chosen["mos"].to_numpy() - low) / (high - low)
        nothing = pa.nulls(len(chosen), pa.string())
        changed = {
            "mos": pa.array(mos if opinions.higher_is_better else 1 - mos),
            "group": pa.array([f"{database}/{group}" for group in chosen["group"].to_pylist()]),
            "reference_id": nothing,
            "higher_is_better": pa.array([True] * len(chosen)),
        }
        for column, values in changed.items():
            chosen = chosen.set_column(chosen.column_names.index(column), column, values)
        columns.append(chosen)
        features.append(opinions.table.matrix()[rows])
    tables = [opinions.table for opinions in databases.values()]
    unknown = [image for table in tables for image in table.metadata.get("non_finite", [])]  # type: ignore[attr-defined]
    metadata = {**tables[0].metadata, "non_finite": unknown}
    return feature_table(
        pa.concat_tables(columns), np.concatenate(features), encoder=encoder, database_name=name, metadata=metadata
    )
