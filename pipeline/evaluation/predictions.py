"""The predictions table: one row for every image of a validation or test part, of every split, mode and regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.artifacts import column

if TYPE_CHECKING:
    from pipeline.evaluation.protocol import SplitResult

WHOLE = -1  # the number of the "split" that is the whole set


PREDICTIONS = pa.schema(
    [
        column("encoder", pa.string(), "what made the features, or the metric"),
        column("database", pa.string(), "the human-scored database"),
        column("mode", pa.string(), "nr: features of the image; fr: absolute difference of its and its reference's"),
        column("regressor", pa.string(), "ridge, svr; none for a metric, whose value is the prediction"),
        column("split", pa.int32(), "number of the split; -1 for the whole set"),
        column("image_id", pa.string(), "the image's name in its database"),
        column("group", pa.string(), "images of one group are never on two sides of a split"),
        column("part", pa.string(), "val (only where it chose), test, or whole: every scored image, of metrics only"),
        column("mos", pa.float64(), "mean opinion in the database's own units"),
        column(
            "prediction",
            pa.float64(),
            "of the regressor fitted without this image, in the units of mos; a metric's value, negated where its "
            "direction is not that of mos",
        ),
        column("lambda", pa.float64(), "the ridge's chosen regularisation; null for others", nullable=True),
        column("stratum", pa.string(), "what correlations are also computed within", nullable=True),
        column("type", pa.int16(), "distortion type in the database's numbering", nullable=True),
        column("level", pa.int16(), "distortion level in the database's numbering", nullable=True),
    ]
)
_COPIED = ("encoder", "database", "image_id", "group", "mos", "stratum", "type", "level")


def predictions_table(scored: pa.Table, results: Sequence[SplitResult]) -> pa.Table:
    """The table of ``results`` over the rows of ``scored``, ordered by regressor, mode, split, part and row."""
    pieces = [PREDICTIONS.empty_table()]
    for result in results:
        val = result.split.val[: len(result.fitted.val)]
        test = "whole" if result.split.index == WHOLE else "test"
        for part, rows, values in (("val", val, result.fitted.val), (test, result.split.test, result.fitted.test)):
            if len(rows):
                pieces.append(_piece(scored, result, part, rows, values))
    return pa.concat_tables(pieces)


def _piece(scored: pa.Table, result: SplitResult, part: str, rows: np.ndarray, values: np.ndarray) -> pa.Table:
    taken = scored.select(list(_COPIED)).take(pa.array(rows))
    columns = {
        name: taken[name].cast(PREDICTIONS.field(name).type) for name in _COPIED
    }  # some are read as dictionaries
    for name, text in (("mode", result.mode), ("regressor", result.regressor), ("part", part)):
        columns[name] = pa.array([text] * len(rows))
    columns["split"] = pa.array([result.split.index] * len(rows), pa.int32())
    columns["prediction"] = pa.array(values)
    columns["lambda"] = pa.array([result.fitted.settings.get("lambda")] * len(rows), pa.float64())
    return pa.Table.from_arrays([columns[name] for name in PREDICTIONS.names], schema=PREDICTIONS)
