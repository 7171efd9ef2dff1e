"""Where a method is good and where not: per distortion type, per level, and in each cell of the two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.evaluation.agreement.logistic import LogisticFit
from pipeline.evaluation.agreement.measures import srocc

if TYPE_CHECKING:
    from pipeline.evaluation.protocol import SplitResult


def by_distortion(scored: pa.Table, results: Sequence[SplitResult]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """regressor -> mode -> rows ``{type, level, images, srocc, rmse, bias}``; empty where the database has no types.

    A row is a whole type (level None), a whole level (type None) or a cell. Its figures are medians over the splits
    that test such images: ``images`` of a test part, SROCC among them (None where their opinions do not differ), root
    mean square and mean of mapped prediction minus opinion, in the units of mos.
    """
    kinds, levels = (np.asarray(scored[name].to_pylist(), dtype=object) for name in ("type", "level"))
    if all(kind is None for kind in kinds):
        return {}
    parts = _parts(kinds, levels)
    mos, found = scored["mos"].to_numpy(), dict[str, dict[str, list[dict[str, object]]]]()
    for regressor, mode in dict.fromkeys((result.regressor, result.mode) for result in results):
        mine = [result for result in results if (result.regressor, result.mode) == (regressor, mode)]
        rows = (_row(kind, level, where, mine, mos) for (kind, level), where in parts.items())
        found.setdefault(regressor, {})[mode] = [row for row in rows if row]
    return found


def _parts(kinds: np.ndarray, levels: np.ndarray) -> dict[tuple[int | None, int | None], np.ndarray]:
    """Which images each row is about: types, then levels, then cells."""
    type_names = sorted({int(kind) for kind in kinds if kind is not None})
    level_names = sorted({int(level) for level in levels if level is not None})
    keys: list[tuple[int | None, int | None]] = [(kind, None) for kind in type_names]
    keys += [(None, level) for level in level_names]
    keys += [(kind, level) for kind in type_names for level in level_names]
    every = np.ones(len(kinds), dtype=bool)
    is_type = {kind: kinds == kind for kind in type_names} | {None: every}
    is_level = {level: levels == level for level in level_names} | {None: every}
    return {(kind, level): is_type[kind] & is_level[level] for kind, level in keys}


def _row(
    kind: int | None, level: int | None, where: np.ndarray, results: Sequence[SplitResult], mos: np.ndarray
) -> dict[str, object]:
    figures: dict[str, list[float]] = {"images": [], "srocc": [], "rmse": [], "bias": []}
    for result in results:
        inside = where[result.split.test]
        if not inside.any():
            continue
        prediction, opinion = result.fitted.test[inside], mos[result.split.test][inside]
        mapped = LogisticFit(result.measures.fit_status, result.measures.betas, result.measures.plcc)
        error = mapped(prediction) - opinion
        figures["images"].append(len(opinion))
        figures["rmse"].append(float(np.sqrt(np.mean(error**2))))
        figures["bias"].append(float(np.mean(error)))
        if len(opinion) > 1 and np.ptp(opinion) > 0:
            figures["srocc"].append(srocc(prediction, opinion))
    if not figures["images"]:
        return {}
    medians = {name: float(np.median(values)) if values else None for name, values in figures.items()}
    return {"type": kind, "level": level, **medians}
