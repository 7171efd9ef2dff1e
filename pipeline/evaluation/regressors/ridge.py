"""Ridge regression with an intercept for all lambdas at once, in float64.

min over (w, b) of |y - Xw - b|^2 + lambda |w|^2, the intercept not penalised. All lambdas share one centred Gram
matrix: X'X (primal, images >= features) or XX' (dual, fewer images than features).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.regressors.gram import Gram, RegressionData
from pipeline.evaluation.regressors.model_selection import (
    LEFT_OUT,
    VALIDATION,
    best,
    left_out,
    several_groups,
    sroccs,
    train_and_val,
    validates,
)
from pipeline.evaluation.regressors.regressor import Fitted
from pipeline.evaluation.regressors.scored_features import ScoredFeatures
from pipeline.evaluation.regressors.shifted_systems import shifted_solutions
from pipeline.evaluation.splits import Split


@dataclass(frozen=True)
class RidgeModel:
    """Fits for ``lambdas`` [L]: ``coef`` float64 [dim, L] and ``intercept`` [L], in the units of the raw features."""

    lambdas: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, L] for features [n, dim]."""
        return np.asarray(np.asarray(x, dtype=np.float64) @ self.coef + self.intercept)

    def at(self, index: int) -> RidgeModel:
        """The fit of one lambda, still with an axis of length 1."""
        one = slice(index, index + 1)
        return RidgeModel(self.lambdas[one], self.coef[:, one], self.intercept[one])


@dataclass(frozen=True)
class Ridge:
    """The regressor ``ridge``: of ``lambdas`` (ascending) the best on the validation part, or where that has fewer than
    ``min_groups`` groups the best of leaving one group out.
    """

    lambdas: tuple[float, ...]
    min_groups: int = 5

    def check(self, images: int, dim: int) -> None:
        """Takes every table: it is read block by block."""

    def fit(self, data: RegressionData, split: Split) -> Fitted:
        """A ridge of ``split``, its lambda chosen, and its predictions."""
        lambdas = np.asarray(self.lambdas)
        if validates(split, data.groups, self.min_groups):
            rule, val = VALIDATION, split.val
            models = fit(data, split.train, lambdas)
            criterion = sroccs(predict(data.features, val, models), data.mos[val])
            model = models.at(best(criterion, smoothest(lambdas)))
        else:
            rule, val = LEFT_OUT, split.val[:0]
            pooled = several_groups(split.test, data.groups)
            model, _ = fit_leaving_out(data, train_and_val(split), data.groups, lambdas, pooled=pooled)
        on_val, on_test = (predict(data.features, rows, model)[:, 0] for rows in (val, split.test))
        chosen = float(model.lambdas[0])
        settings = {"lambda": chosen, "intercept": float(model.intercept[0])}
        return Fitted(on_val, on_test, rule, settings, chosen in (lambdas[0], lambdas[-1]))


def fit_leaving_out(
    data: RegressionData, rows: np.ndarray, folds: np.ndarray, lambdas: np.ndarray, *, pooled: bool
) -> tuple[RidgeModel, float]:
    """A ridge on ``rows``, its lambda chosen by leaving each of their ``folds`` (names, of all rows) out in turn; and
    the SROCC of the left-out predictions at that lambda.
    """

    def trial(on: np.ndarray, out: np.ndarray) -> np.ndarray:
        return predict(data.features, out, fit(data, on, lambdas))

    criterion = left_out(trial, rows, folds, data.mos, pooled=pooled)
    index = best(criterion, smoothest(lambdas))
    return fit(data, rows, lambdas[[index]]), criterion[index]


def smoothest(lambdas: np.ndarray) -> list[int]:
    """Indices of the lambdas, the largest first."""
    return [int(index) for index in np.argsort(-lambdas)]


def fit(data: RegressionData, rows: np.ndarray, lambdas: np.ndarray) -> RidgeModel:
    """Ridge on ``rows`` (ascending) of ``data``, by whichever form is smaller.

    Features whose units differ (``data.standardise``) are scaled by their standard deviation over those rows (a
    constant one by 1); the returned coefficients are for raw features all the same.
    """
    if len(rows) < data.features.dim:
        return fit_dual(data.features.take(rows), data.mos[rows], lambdas, standardise=data.standardise)
    return fit_primal(data.gram(rows), lambdas, shift=data.shift, standardise=data.standardise)


@dataclass(frozen=True)
class NormalEquations:
    """``matrix`` w = ``right`` of centred rows: float64 [dim, dim] (Fortran order, lower triangle) and [dim].

    w is of features divided by ``scale`` [dim]; ``mean`` [dim] and ``level`` are those of the raw features and of y.
    """

    matrix: np.ndarray
    right: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    level: float


def normal_equations(gram: Gram, shift: np.ndarray, standardise: bool) -> NormalEquations:
    """From the sums of the rows (their ``xx`` is overwritten), measured from ``shift``."""
    from scipy.linalg.blas import dsyr

    mean, level = gram.x / gram.n, gram.y / gram.n
    cross = gram.xy - gram.x * level
    centred = dsyr(-float(gram.n), mean, a=gram.xx, lower=1, overwrite_a=1)
    scale = scales(np.sqrt(np.maximum(np.diag(centred), 0) / gram.n), shift, standardise)
    if standardise:
        centred /= scale[:, None] * scale
    return NormalEquations(centred, cross / scale, scale, mean + shift, level)


def fit_primal(gram: Gram, lambdas: np.ndarray, *, shift: np.ndarray, standardise: bool) -> RidgeModel:
    """From the sums of the rows (their ``xx`` is overwritten)."""
    system = normal_equations(gram, shift, standardise)
    coef = shifted_solutions(system.matrix, system.right, lambdas) / system.scale[:, None]
    return RidgeModel(np.asarray(lambdas), coef, system.level - system.mean @ coef)


def fit_dual(x: np.ndarray, y: np.ndarray, lambdas: np.ndarray, *, standardise: bool) -> RidgeModel:
    """From the rows themselves: float64 [n, dim], overwritten."""
    mean, level = x.mean(axis=0), float(y.mean())
    x -= mean
    scale = scales(np.sqrt(np.mean(x**2, axis=0)) if standardise else np.ones(x.shape[1]), mean, standardise)
    if standardise:
        x /= scale
    weights = shifted_solutions((x @ x.T).T, y - level, lambdas)
    coef = (x.T @ weights) / scale[:, None]
    return RidgeModel(np.asarray(lambdas), coef, level - mean @ coef)


def predict(features: ScoredFeatures, rows: np.ndarray, model: RidgeModel) -> np.ndarray:
    """float64 [len(rows), L], block by block; ``rows`` ascending."""
    out = np.empty((len(rows), len(model.lambdas)))
    for index, (start, stop) in enumerate(features.bounds()):
        low, high = np.searchsorted(rows, (start, stop))
        if high > low:
            out[low:high] = model.predict(features.load(index)[rows[low:high] - start])
    return out


def scales(deviation: np.ndarray, level: np.ndarray, standardise: bool) -> np.ndarray:
    """What features are divided by: their standard deviations, 1 for one that is constant up to rounding."""
    if not standardise:
        return np.ones_like(deviation)
    return np.where(deviation > 1e-9 * np.maximum(1.0, np.abs(level)), deviation, 1.0)
