"""The predictions table: one row for every image of a validation or test part, of every split, mode and regressor.

It is the contract of evaluation. Whatever predicts opinions writes it; metrics, comparisons, tables and the page are
computed from it and read nothing else about a method.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import Refusal
from pipeline.artifacts import column

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
_OF_THE_IMAGE = ("image_id", "group", "mos", "stratum", "type", "level")
_KEY = ("mode", "regressor", "split", "part")


class PredictionsError(Refusal, ValueError):
    """A table that is not one method's predictions on one database; the message names the column."""


@dataclass(frozen=True)
class Part:
    """Predictions of one part of one split, to be written. ``part``: ``val`` | ``test`` | ``whole``; ``rows``:
    positions in the table of images; ``prediction``: float64 [len(rows)]; ``penalty``: the ridge's lambda.
    """

    mode: str
    regressor: str
    split: int
    part: str
    rows: np.ndarray
    prediction: np.ndarray
    penalty: float | None = None


@dataclass(frozen=True)
class Predicted:
    """One part of one split as the table has it: vectors of equal length, in the table's order.

    ``types`` and ``levels`` hold whole numbers or None; ``strata`` is None where the database has none.
    """

    prediction: np.ndarray
    mos: np.ndarray
    types: np.ndarray
    levels: np.ndarray
    strata: list[str | None] | None


def predictions_table(images: pa.Table, parts: Iterable[Part], *, encoder: str, database: str) -> pa.Table:
    """The table (schema :data:`PREDICTIONS`) of ``parts`` in their order; empty parts are left out.

    ``images`` has a row for each scored image: image_id, group, mos, stratum, type, level (a feature table's columns,
    or the database's table).
    """
    pieces = [PREDICTIONS.empty_table()]
    for part in parts:
        taken = images.select(list(_OF_THE_IMAGE)).take(pa.array(part.rows))
        constant: dict[str, object] = {
            "encoder": encoder,
            "database": database,
            "mode": part.mode,
            "regressor": part.regressor,
        }
        constant |= {"split": part.split, "part": part.part, "lambda": part.penalty}
        arrays = {name: pa.array([value] * len(part.rows), _type(name)) for name, value in constant.items()}
        arrays |= {name: taken[name].cast(_type(name)) for name in _OF_THE_IMAGE}  # some are read as dictionaries
        arrays["prediction"] = pa.array(part.prediction, pa.float64())
        pieces.append(pa.Table.from_arrays([arrays[name] for name in PREDICTIONS.names], schema=PREDICTIONS))
    return pa.concat_tables(pieces)


def parts_of(predictions: pa.Table) -> dict[tuple[str, str, int, str], Predicted]:
    """(mode, regressor, split, part) -> its predictions, in the order of the table's rows."""
    keys = list(zip(*(predictions[name].to_pylist() for name in _KEY), strict=True))
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    which = np.array([number[key] for key in keys], dtype=np.int64)
    prediction, mos = (predictions[name].to_numpy() for name in ("prediction", "mos"))
    types, levels, strata = (
        np.asarray(predictions[name].to_pylist(), dtype=object) for name in ("type", "level", "stratum")
    )
    parts = {}
    for key, index in number.items():
        rows = np.flatnonzero(which == index)
        names = strata[rows].tolist()
        known = names if any(name is not None for name in names) else None
        parts[key] = Predicted(prediction[rows], mos[rows], types[rows], levels[rows], known)
    return parts


def only_value(table: pa.Table, column: str) -> str:
    """The one value of ``column``; :class:`PredictionsError` if there are none or several."""
    values = pc.unique(table[column]).to_pylist()
    if len(values) != 1:
        raise PredictionsError(f"{column} is {', '.join(map(str, values)) or 'nothing'}; a table has exactly one")
    return str(values[0])


def _type(name: str) -> pa.DataType:
    return PREDICTIONS.field(name).type
