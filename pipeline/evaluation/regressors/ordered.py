"""A ridge whose predictions also fall by a step from each image to a worse version of it, of which nobody has an
opinion.

min over (w, b) of |y - Xw - b|^2 + lambda |w|^2 + weight (n / pairs) sum over pairs of max(0, step + w . d)^2, where y
is higher for better images and d is the feature of the worse image less that of the better one. So at ``weight`` 1 all
pairs together count as much as all n images. The squared hinge asks nothing of a pair whose prediction falls by
``step`` or more. The problem is convex; Newton's method solves it, one factorisation an iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.regressors.gram import RegressionData
from pipeline.evaluation.regressors.ridge import RidgeModel, normal_equations
from pipeline.evaluation.regressors.shifted_systems import shifted_solutions

MOST_ITERATIONS = 100
_HALVINGS = 30


@dataclass(frozen=True)
class Order:
    """``differences``: float [pairs, dim], of each pair the feature of the worse image less that of the better one.

    ``weight`` of all pairs beside all images; ``step``: by how much a prediction should fall, in units of the opinions.
    """

    differences: np.ndarray
    weight: float
    step: float

    def share(self, coef: np.ndarray) -> float:
        """Share of the pairs whose prediction falls at all, for coefficients float64 [dim] of the raw features."""
        return float(np.mean(self.differences @ coef < 0))


def fit_ordered(data: RegressionData, rows: np.ndarray, penalty: float, order: Order) -> RidgeModel:
    """The fit on ``rows`` (ascending) of ``data`` at lambda ``penalty``.

    Each iteration solves the least squares of the images and of the pairs that do not fall enough, and goes as far
    towards its solution, by halves, as lowers the sum. It ends where these pairs stay the same.
    """
    system = normal_equations(data.gram(rows), data.shift, data.standardise)
    pairs = order.differences.astype(np.float64) / system.scale
    each = order.weight * len(rows) / len(pairs)
    lower = np.tril(system.matrix)
    full = lower + np.tril(lower, -1).T

    def sum_of(coef: np.ndarray) -> float:
        short = np.maximum(0.0, order.step + pairs @ coef)
        return float(coef @ (full @ coef) - 2 * coef @ system.right + penalty * coef @ coef + each * short @ short)

    coef = shifted_solutions(system.matrix, system.right, np.array([penalty]))[:, 0]
    for _ in range(MOST_ITERATIONS):
        active = order.step + pairs @ coef > 0
        chosen = pairs[active]
        matrix = np.asfortranarray(full + each * (chosen.T @ chosen))
        right = system.right - each * order.step * chosen.sum(axis=0)
        target = shifted_solutions(matrix, right, np.array([penalty]))[:, 0]
        before = sum_of(coef)
        for halving in range(_HALVINGS):
            nearer = coef + (target - coef) / 2**halving
            if sum_of(nearer) <= before:
                coef = nearer
                break
        if np.array_equal(order.step + pairs @ target > 0, active):
            break
    coef = (coef / system.scale)[:, None]
    return RidgeModel(np.array([penalty]), coef, system.level - system.mean @ coef)
