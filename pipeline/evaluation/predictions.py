"""The predictions table: one row for every image of a validation or test part, of every split and mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.artifacts import column

if TYPE_CHECKING:
    from pipeline.evaluation.protocol import SplitResult


PREDICTIONS = pa.schema(
    [
        column("encoder", pa.string(), "what made the features"),
        column("database", pa.string(), "the human-scored database"),
        column("mode", pa.string(), "nr: features of the image; fr: absolute difference of its and its reference's"),
        column("split", pa.int32(), "number of the split"),
        column("image_id", pa.string(), "the image's name in its database"),
        column("group", pa.string(), "images of one group are never on two sides of a split"),
        column("part", pa.string(), "val (only where it chose lambda) or test"),
        column("mos", pa.float64(), "mean opinion in the database's own units"),
        column("prediction", pa.float64(), "of the ridge fitted without this image, in the units of mos"),
        column("lambda", pa.float64(), "the chosen regularisation"),
        column("stratum", pa.string(), "what correlations are also computed within", nullable=True),
        column("type", pa.int16(), "distortion type in the database's numbering", nullable=True),
        column("level", pa.int16(), "distortion level in the database's numbering", nullable=True),
    ]
)
_COPIED = ("encoder", "database", "image_id", "group", "mos", "stratum", "type", "level")


def predictions_table(scored: pa.Table, results: Sequence[SplitResult]) -> pa.Table:
    """The table of ``results`` over the rows of ``scored``, in the order of modes, splits, parts and rows."""
    pieces = []
    for result in results:
        val = result.split.val[: len(result.val)]
        for part, rows, values in (("val", val, result.val), ("test", result.split.test, result.test)):
            if len(rows):
                pieces.append(_piece(scored, result, part, rows, values))
    return pa.concat_tables(pieces)


def _piece(scored: pa.Table, result: SplitResult, part: str, rows: np.ndarray, values: np.ndarray) -> pa.Table:
    taken = scored.select(list(_COPIED)).take(pa.array(rows))
    columns = {
        name: taken[name].cast(PREDICTIONS.field(name).type) for name in _COPIED
    }  # some are read as dictionaries
    columns["mode"] = pa.array([result.mode] * len(rows))
    columns["split"] = pa.array([result.split.index] * len(rows), pa.int32())
    columns["part"] = pa.array([part] * len(rows))
    columns["prediction"] = pa.array(values)
    columns["lambda"] = pa.array([float(result.chosen.model.lambdas[0])] * len(rows))
    return pa.Table.from_arrays([columns[name] for name in PREDICTIONS.names], schema=PREDICTIONS)
