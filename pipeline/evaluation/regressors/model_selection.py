"""Choosing a regressor's strength without the test part: on the split's validation part, or by leaving one group out of
train and val.

Two validation groups make lambda jump over its whole grid from split to split, so below ``min_groups`` the second rule
holds and the model is then fitted on train and val together; otherwise it is fitted on train alone. The criterion is
SROCC; of equal values the smoother model wins (the larger lambda, the smaller C).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.agreement.measures import srocc
from pipeline.evaluation.regressors.gram import Sums
from pipeline.evaluation.regressors.ridge import Ridge, fit, predict
from pipeline.evaluation.splits import Split, SplitError

VALIDATION, LEFT_OUT = "validation", "leave_one_group_out"
Trial = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (rows to fit on, rows to predict) -> [rows, candidates]


@dataclass(frozen=True)
class Fitted:
    """What a regressor gives for one split: predictions of ``val`` (empty unless it chose) and ``test``, the ``rule``
    that chose, the ``settings`` chosen (for JSON) and whether one of them is an end of its grid.
    """

    val: np.ndarray
    test: np.ndarray
    rule: str
    settings: Mapping[str, float]
    at_edge: bool


@dataclass(frozen=True)
class Chosen:
    """The chosen lambda's fit, how it was chosen (``validation`` or ``leave_one_group_out``) and the criterion [L]."""

    model: Ridge
    rule: str
    criterion: tuple[float, ...]


def fit_ridge(
    sums: Sums, split: Split, groups: np.ndarray, lambdas: np.ndarray, *, standardise: bool, min_groups: int = 5
) -> Fitted:
    """A ridge of ``split``, its lambda chosen, and its predictions. ``groups``: the group of every position."""
    chosen = choose(sums, split, groups, lambdas, standardise=standardise, min_groups=min_groups)
    val = split.val if chosen.rule == VALIDATION else split.val[:0]
    on_val, on_test = (predict(sums.source, part, chosen.model)[:, 0] for part in (val, split.test))
    found = float(chosen.model.lambdas[0])
    settings = {"lambda": found, "intercept": float(chosen.model.intercept[0])}
    return Fitted(on_val, on_test, chosen.rule, settings, found in (lambdas[0], lambdas[-1]))


def choose(
    sums: Sums, split: Split, groups: np.ndarray, lambdas: np.ndarray, *, standardise: bool, min_groups: int = 5
) -> Chosen:
    """Fit ``split`` and choose lambda."""

    def trial(on: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return predict(sums.source, rows, fit(sums, on, lambdas, standardise=standardise))

    smoothest = np.argsort(-lambdas)
    if validates(split, groups, min_groups):
        model = fit(sums, split.train, lambdas, standardise=standardise)
        criterion = sroccs(predict(sums.source, split.val, model), sums.y[split.val])
        return Chosen(model.at(best(criterion, smoothest)), VALIDATION, tuple(criterion))
    both = np.sort(np.concatenate([split.train, split.val]))
    pooled = len(set(groups[split.test])) > 1
    criterion = left_out(trial, both, groups, sums.y, pooled=pooled)
    model = fit(sums, both, lambdas[[best(criterion, smoothest)]], standardise=standardise)
    return Chosen(model, LEFT_OUT, tuple(criterion))


def validates(split: Split, groups: np.ndarray, min_groups: int) -> bool:
    """Whether the validation part has enough groups to choose by."""
    return len(set(groups[split.val])) >= min_groups


def left_out(trial: Trial, both: np.ndarray, groups: np.ndarray, y: np.ndarray, *, pooled: bool) -> list[float]:
    """SROCC of predictions of each group by the others: over all groups together if the test part has several (it is
    judged like that), else the mean of the groups' own.
    """
    names = sorted(set(groups[both]))
    if len(names) < 2:
        raise SplitError(f"one group ({names[0]}) to train and validate on: nothing can be chosen by leaving it out")
    predictions = np.empty((len(both), 0))
    for name in names:
        out = groups[both] == name
        found = trial(both[~out], both[out])
        if not predictions.shape[1]:
            predictions = np.empty((len(both), found.shape[1]))
        predictions[out] = found
    parts = [np.ones(len(both), dtype=bool)] if pooled else [groups[both] == name for name in names]
    return [float(value) for value in np.mean([sroccs(predictions[p], y[both][p]) for p in parts], axis=0)]


def sroccs(predictions: np.ndarray, y: np.ndarray) -> list[float]:
    """SROCC of every column."""
    return [srocc(column, y) for column in predictions.T]


def best(criterion: Sequence[float], smoothest: Sequence[int] | np.ndarray) -> int:
    """The index of the largest criterion; of equal ones the first in the order of ``smoothest``."""
    return int(max(smoothest, key=lambda index: criterion[index]))
