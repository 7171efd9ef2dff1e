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

from pipeline import Refusal
from pipeline.evaluation.regressors.gram import RegressionData
from pipeline.evaluation.regressors.ridge import RidgeModel, normal_equations
from pipeline.evaluation.regressors.shifted_systems import shifted_solutions

MOST_ITERATIONS = 200
_HALVINGS, _CONVERGED = 30, 1e-8  # least share of a step; the gradient's length beside that at w = 0


class OrderError(Refusal, ArithmeticError):
    """Pairs that can not be fitted; the message says why."""


@dataclass(frozen=True)
class Order:
    """``differences``: float [pairs, dim], of each pair the feature of the worse image less that of the better one; all
    finite, at least one.

    ``weight`` of all pairs beside all images; ``step``: by how much a prediction should fall, in units of the opinions.
    """

    differences: np.ndarray
    weight: float
    step: float

    def __post_init__(self) -> None:
        if not len(self.differences) or not np.isfinite(self.differences).all():
            raise OrderError("an order needs pairs, and features of theirs that are finite")

    def share(self, coef: np.ndarray) -> float:
        """Share of the pairs whose prediction falls at all, for coefficients float64 [dim] of the raw features."""
        return float(np.mean(self.differences @ coef < 0))


def fit_ordered(data: RegressionData, rows: np.ndarray, penalty: float, order: Order) -> RidgeModel:
    """The fit on ``rows`` (ascending) of ``data`` at lambda ``penalty``; :class:`OrderError` if it does not converge.

    Each iteration solves the least squares of the images and of the pairs that do not fall enough, and takes of the way
    to its solution the largest of 1, 1/2, 1/4, ... that does not raise the sum. It ends at a solution for which these
    are the same pairs.
    """
    system = normal_equations(data.gram(rows), data.shift, data.standardise)
    pairs = order.differences.astype(np.float64) / system.scale
    each, at = order.weight * len(rows) / len(pairs), np.array([penalty])
    full = np.tril(system.matrix)
    full += np.tril(full, -1).T

    def sum_of(coef: np.ndarray) -> float:
        short = np.maximum(0.0, order.step + pairs @ coef)
        return float(coef @ (full @ coef) - 2 * coef @ system.right + penalty * coef @ coef + each * short @ short)

    def gradient(coef: np.ndarray) -> float:
        short = np.maximum(0.0, order.step + pairs @ coef)
        return float(np.linalg.norm(full @ coef + penalty * coef - system.right + each * (short @ pairs)))

    coef = shifted_solutions(system.matrix, system.right, at)[:, 0]
    for _ in range(MOST_ITERATIONS):
        active = order.step + pairs @ coef > 0
        chosen = pairs[active]
        matrix = np.asfortranarray(full + each * (chosen.T @ chosen))
        target = shifted_solutions(matrix, system.right - each * order.step * chosen.sum(axis=0), at)[:, 0]
        before = sum_of(coef)
        steps = (coef + (target - coef) / 2**halving for halving in range(_HALVINGS))
        nearer = next((one for one in steps if sum_of(one) <= before), None)
        if nearer is None:
            break
        coef = nearer
        if np.array_equal(order.step + pairs @ target > 0, active):
            break
    if gradient(coef) > _CONVERGED * gradient(np.zeros_like(coef)):
        raise OrderError(
            f"the order's fit does not converge (lambda {penalty:g}, weight {order.weight:g}, {len(pairs)} pairs); "
            "lower the weight or raise evaluate.lambda_min"
        )
    coef = (coef / system.scale)[:, None]
    return RidgeModel(at, coef, system.level - system.mean @ coef)
