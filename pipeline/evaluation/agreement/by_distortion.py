"""Where a method is good and where not: per distortion type, per level, and in each cell of the two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.agreement.measures import Measures, srocc
from pipeline.evaluation.predictions import Predicted


def by_distortion(splits: Sequence[tuple[Predicted, Measures]]) -> list[dict[str, object]]:
    """Rows ``{type, level, images, srocc, rmse, bias}`` of the test parts of one method; none where there are no types.

    A row is a whole type (level None), a whole level (type None) or a cell. Its figures are medians over the splits
    that test such images: ``images`` of a test part, SROCC among them (None where their opinions do not differ), root
    mean square and mean of mapped prediction minus opinion, in the units of mos.
    """
    types = sorted({int(value) for part, _ in splits for value in part.types if value is not None})
    levels = sorted({int(value) for part, _ in splits for value in part.levels if value is not None})
    if not types:
        return []
    keys: list[tuple[int | None, int | None]] = [(kind, None) for kind in types]
    keys += [(None, level) for level in levels]
    keys += [(kind, level) for kind in types for level in levels]
    errors = [measures.logistic(part.prediction) - part.mos for part, measures in splits]
    rows = (_row(kind, level, splits, errors) for kind, level in keys)
    return [row for row in rows if row is not None]


def _row(
    kind: int | None,
    level: int | None,
    splits: Sequence[tuple[Predicted, Measures]],
    errors: Sequence[np.ndarray],
) -> dict[str, object] | None:
    values: dict[str, list[float]] = {"images": [], "srocc": [], "rmse": [], "bias": []}
    for (part, _), error in zip(splits, errors, strict=True):
        inside = np.ones(len(part.mos), dtype=bool)
        if kind is not None:
            inside &= part.types == kind
        if level is not None:
            inside &= part.levels == level
        if not inside.any():
            continue
        mos = part.mos[inside]
        values["images"].append(len(mos))
        values["rmse"].append(float(np.sqrt(np.mean(error[inside] ** 2))))
        values["bias"].append(float(np.mean(error[inside])))
        if len(mos) > 1 and np.ptp(mos) > 0:
            values["srocc"].append(srocc(part.prediction[inside], mos))
    if not values["images"]:
        return None
    medians = {name: float(np.median(each)) if each else None for name, each in values.items()}
    return {"type": kind, "level": level, **medians}
