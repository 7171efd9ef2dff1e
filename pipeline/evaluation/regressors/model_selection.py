"""Choosing a regressor's settings without the test part: on the split's validation part, or by leaving one group out
of train and val.

Two validation groups make lambda jump over its whole grid from split to split, so below ``min_groups`` the second rule
holds and the model is then fitted on train and val together; otherwise it is fitted on train alone. The criterion is
SROCC; of equal values the smoother model wins (the larger lambda, the smaller C).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.evaluation.agreement.measures import srocc
from pipeline.evaluation.splits import Split, SplitError

VALIDATION, LEFT_OUT = "validation", "leave_one_group_out"
Trial = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (rows to fit on, rows to predict) -> [rows, candidates]


def validates(split: Split, groups: np.ndarray, min_groups: int) -> bool:
    """Whether the validation part has enough groups to choose by."""
    return len(set(groups[split.val])) >= min_groups


def train_and_val(split: Split) -> np.ndarray:
    """Rows of both parts, ascending."""
    return np.sort(np.concatenate([split.train, split.val]))


def several_groups(rows: np.ndarray, groups: np.ndarray) -> bool:
    """Whether ``rows`` are of more than one group: then predictions are judged over all of them together."""
    return len(set(groups[rows])) > 1


def left_out(trial: Trial, rows: np.ndarray, groups: np.ndarray, y: np.ndarray, *, pooled: bool) -> list[float]:
    """SROCC of predictions of each group by the others: over all groups together if the test part has several (it is
    judged like that), else the mean of the groups' own. ``groups`` and ``y`` are of all rows.
    """
    names = sorted(set(groups[rows]))
    if len(names) < 2:
        raise SplitError(f"one group ({names[0]}) to train and validate on: nothing can be chosen by leaving it out")
    predictions = np.empty((len(rows), 0))
    for name in names:
        out = groups[rows] == name
        predicted = trial(rows[~out], rows[out])
        if not predictions.shape[1]:
            predictions = np.empty((len(rows), predicted.shape[1]))
        predictions[out] = predicted
    parts = [np.ones(len(rows), dtype=bool)] if pooled else [groups[rows] == name for name in names]
    return [float(value) for value in np.mean([sroccs(predictions[p], y[rows][p]) for p in parts], axis=0)]


def sroccs(predictions: np.ndarray, y: np.ndarray) -> list[float]:
    """SROCC of every column."""
    return [srocc(column, y) for column in predictions.T]


def best(criterion: Sequence[float], smoothest: Sequence[int]) -> int:
    """The index of the largest criterion; of equal ones the first in the order of ``smoothest``."""
    return int(max(smoothest, key=lambda index: criterion[index]))
