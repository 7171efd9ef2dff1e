"""Choosing lambda without the test part: on the split's validation part, or by leaving one group out of train and val.

Two validation groups make lambda jump over its whole grid from split to split, so below ``min_groups`` the second rule
holds and the model is then fitted on train and val together; otherwise it is fitted on train alone. The criterion is
SROCC; of equal values the larger lambda wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.measures import srocc
from pipeline.evaluation.moments import Sums
from pipeline.evaluation.ridge import Ridge, fit, predict
from pipeline.evaluation.splits import Split, SplitError


@dataclass(frozen=True)
class Chosen:
    """The chosen lambda's fit, how it was chosen (``validation`` or ``leave_one_group_out``) and the criterion [L]."""

    model: Ridge
    rule: str
    criterion: tuple[float, ...]


def choose(
    sums: Sums, split: Split, groups: np.ndarray, lambdas: np.ndarray, *, standardise: bool, min_groups: int = 5
) -> Chosen:
    """Fit ``split`` and choose lambda. ``groups`` names the group of every position."""
    if len(set(groups[split.val])) >= min_groups:
        model = fit(sums, split.train, lambdas, standardise=standardise)
        found = predict(sums.source, split.val, model)
        criterion = [srocc(found[:, i], sums.y[split.val]) for i in range(len(lambdas))]
        best = _best(criterion, lambdas)
        return Chosen(model.at(best), "validation", tuple(criterion))
    both = np.sort(np.concatenate([split.train, split.val]))
    criterion = _left_out(sums, both, groups, lambdas, standardise, pooled=len(set(groups[split.test])) > 1)
    model = fit(sums, both, lambdas[[_best(criterion, lambdas)]], standardise=standardise)
    return Chosen(model, "leave_one_group_out", tuple(criterion))


def _left_out(
    sums: Sums, both: np.ndarray, groups: np.ndarray, lambdas: np.ndarray, standardise: bool, *, pooled: bool
) -> list[float]:
    """SROCC of predictions of each group by the others: over all groups together if the test part has several (it is
    judged like that), else the mean of the groups' own.
    """
    names = sorted(set(groups[both]))
    if len(names) < 2:
        raise SplitError(f"one group ({names[0]}) to train and validate on: lambda can't be chosen")
    predictions = np.empty((len(both), len(lambdas)))
    for name in names:
        out = groups[both] == name
        model = fit(sums, both[~out], lambdas, standardise=standardise)
        predictions[out] = predict(sums.source, both[out], model)
    y = sums.y[both]
    parts = [np.ones(len(both), dtype=bool)] if pooled else [groups[both] == name for name in names]
    return [float(np.mean([srocc(predictions[p, i], y[p]) for p in parts])) for i in range(len(lambdas))]


def _best(criterion: list[float], lambdas: np.ndarray) -> int:
    return max(range(len(lambdas)), key=lambda i: (criterion[i], lambdas[i]))
