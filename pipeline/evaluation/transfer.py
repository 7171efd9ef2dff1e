"""A network trained on types of one database and judged on every image of another (paper 4, section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.databases import Manifest
from pipeline.evaluation.agreement import correlation_interval
from pipeline.evaluation.comparison.compare import pooled
from pipeline.evaluation.predictions import Part, predictions_table
from pipeline.evaluation.results import metrics_of
from pipeline.evaluation.splits import Split, SplitError


def limited_to_types(
    splits: Iterable[Split], scored: pa.Table, manifest: Manifest, types: Sequence[int]
) -> list[Split]:
    """Of each split the images of ``types`` (the bank's numbers): train and validation part train, the test part
    validates, since another database is judged on (80 / 20 % by reference of a random protocol). ``test`` is empty.

    :class:`SplitError` for a database whose types are not the bank's, and for types that a part has no image of.
    """
    if not manifest.bank_types:
        raise SplitError(f"{manifest.name}: its types are not numbered as the bank's are")
    inside = np.isin(scored["type"].fill_null(0).to_numpy(), list(types))
    none = np.empty(0, np.int64)
    limited = []
    for split in splits:
        rows = np.sort(np.concatenate([split.train, split.val]))
        made = Split(split.index, rows[inside[rows]], split.test[inside[split.test]], none)
        if not len(made.train) or not len(made.val):
            raise SplitError(
                f"{manifest.name}, split {split.index}: no image of the types {', '.join(map(str, types))}"
            )
        limited.append(made)
    return limited


def across(
    predictions: Mapping[tuple[str, int], np.ndarray],
    scored: pa.Table,
    rows: np.ndarray,
    *,
    encoder: str,
    database: str,
) -> tuple[pa.Table, dict[str, object]]:
    """The predictions table and the metrics of networks that were trained on another database: ``predictions`` are
    (regressor, split of the source) -> float64 [len(rows)], for ``rows`` of the ``scored`` images of ``database``.

    Figures are medians over the splits; ``pooled`` is of each image's mean prediction, with its interval over groups.
    """
    parts = [Part("nr", name, split, "test", rows, values) for (name, split), values in predictions.items()]
    table = predictions_table(scored, sorted(parts, key=lambda part: part.split), encoder=encoder, database=database)
    figures = metrics_of(table)
    for name, own in figures["nr"].items():  # type: ignore[attr-defined]
        mine = pooled(table.filter(pc.equal(table["regressor"], name)))
        own["pooled"] = asdict(correlation_interval(mine["prediction"], mine["mos"], mine["group"]))
    return table, figures
