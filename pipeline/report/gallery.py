"""Pictures beside their figures: the images of a database whose opinions were predicted best and worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artifacts import read_table
from pipeline.databases.pixels import PLACE, ChangedImageError, decode_row
from pipeline.images import ImageError
from pipeline.report.evaluations import Evaluation
from pipeline.report.sheets import Cell, Row, Sheet, thumbnail

SHOWN = 6  # images of each kind
SIDE = 160  # pixels of a thumbnail's longer side: some 4 kB


def gallery(evaluation: Evaluation, data: Path, root: Path) -> Sheet | None:
    """Two rows, the images whose mean test prediction without a reference is nearest to the opinion and farthest from
    it, each of another group. None where there is no such prediction, or an image is no longer what was ingested.
    """
    path = data / "databases" / f"{evaluation.database}.parquet"
    means = _mean_predictions(data, evaluation)
    if not path.is_file() or not len(means):
        return None
    places = {row["image_id"]: row for row in read_table(path, PLACE).to_pylist()}
    mos, prediction = (means[name].to_numpy() for name in ("mos_mean", "prediction_mean"))
    order, groups = np.argsort(np.abs(prediction - mos), kind="stable"), means["group"].to_pylist()
    rows = []
    for label, ranked in (("predicted best", order), ("predicted worst", order[::-1])):
        cells = []
        for index in _of_other_groups(ranked.tolist(), groups):
            name = means["image_id"][index].as_py()
            try:
                picture = thumbnail(decode_row(root, places[name]), SIDE)
            except (KeyError, ChangedImageError, ImageError):
                return None
            cells.append(Cell(picture, (f"score {prediction[index]:.2f},", f"people {mos[index]:.2f}"), name))
        rows.append(Row(label, tuple(cells)))
    return Sheet(f"{evaluation.encoder}, {evaluation.database}", (), tuple(rows))


def _mean_predictions(data: Path, evaluation: Evaluation) -> pa.Table:
    """image_id, group, prediction_mean, mos_mean of the headline's regressor, in the order of the names."""
    table = read_table(data / "predictions" / evaluation.encoder / f"{evaluation.database}.parquet")
    wanted = {"part": "test", "mode": "nr", "regressor": evaluation.regressor}
    for name, value in wanted.items():
        table = table.filter(pc.equal(table[name], value))
    means = table.group_by(["image_id", "group"], use_threads=False).aggregate(
        [("prediction", "mean"), ("mos", "mean")]
    )
    return means.sort_by("image_id")


def _of_other_groups(ranked: Sequence[int], groups: Sequence[str]) -> list[int]:
    """The first :data:`SHOWN` rows of different groups."""
    first: dict[str, int] = {}
    for index in ranked:
        first.setdefault(groups[index], index)
    return list(first.values())[:SHOWN]
