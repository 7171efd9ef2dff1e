"""Ridge regression with an intercept for all lambdas at once, in float64.

min over (w, b) of |y - Xw - b|^2 + lambda |w|^2, the intercept not penalised. All lambdas share one centred Gram
matrix: X'X (primal, images >= features) or XX' (dual, fewer images than features).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.regressors.gram import Gram, Sums
from pipeline.evaluation.regressors.scored_features import ScoredFeatures
from pipeline.evaluation.regressors.shifted_systems import shifted_solutions


@dataclass(frozen=True)
class Ridge:
    """Fits for ``lambdas`` [L]: ``coef`` float64 [dim, L] and ``intercept`` [L], in the units of the raw features."""

    lambdas: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """float64 [n, L] for features [n, dim]."""
        return np.asarray(np.asarray(x, dtype=np.float64) @ self.coef + self.intercept)

    def at(self, index: int) -> Ridge:
        """The fit of one lambda, still with an axis of length 1."""
        return Ridge(
            self.lambdas[index : index + 1], self.coef[:, index : index + 1], self.intercept[index : index + 1]
        )


def fit(sums: Sums, positions: np.ndarray, lambdas: np.ndarray, *, standardise: bool) -> Ridge:
    """Ridge on the rows at ``positions`` (ascending) of ``sums``' source, by whichever form is smaller.

    ``standardise`` scales every feature by its standard deviation over those rows (a constant one by 1); the returned
    coefficients are for raw features all the same.
    """
    if len(positions) < sums.source.dim:
        return fit_dual(sums.source.take(positions), sums.y[positions], lambdas, standardise=standardise)
    return fit_primal(sums.of(positions), lambdas, shift=sums.shift, standardise=standardise)


def fit_primal(moments: Gram, lambdas: np.ndarray, *, shift: np.ndarray, standardise: bool) -> Ridge:
    """From the sums of the rows (their ``xx`` is overwritten)."""
    from scipy.linalg.blas import dsyr

    mean, level = moments.x / moments.n, moments.y / moments.n
    cross = moments.xy - moments.x * level
    gram = dsyr(-float(moments.n), mean, a=moments.xx, lower=1, overwrite_a=1)
    scale = _scale(np.sqrt(np.maximum(np.diag(gram), 0) / moments.n), shift, standardise)
    if standardise:
        gram /= scale[:, None] * scale
    coef = shifted_solutions(gram, cross / scale, lambdas) / scale[:, None]
    return Ridge(np.asarray(lambdas), coef, level - (mean + shift) @ coef)


def fit_dual(x: np.ndarray, y: np.ndarray, lambdas: np.ndarray, *, standardise: bool) -> Ridge:
    """From the rows themselves: float64 [n, dim], overwritten."""
    mean, level = x.mean(axis=0), float(y.mean())
    x -= mean
    scale = _scale(np.sqrt(np.mean(x**2, axis=0)) if standardise else np.ones(x.shape[1]), mean, standardise)
    if standardise:
        x /= scale
    weights = shifted_solutions((x @ x.T).T, y - level, lambdas)
    coef = (x.T @ weights) / scale[:, None]
    return Ridge(np.asarray(lambdas), coef, level - mean @ coef)


def predict(source: ScoredFeatures, positions: np.ndarray, model: Ridge) -> np.ndarray:
    """float64 [len(positions), L], block by block; ``positions`` ascending."""
    out = np.empty((len(positions), len(model.lambdas)))
    for index, (start, stop) in enumerate(source.bounds()):
        low, high = np.searchsorted(positions, (start, stop))
        if high > low:
            out[low:high] = model.predict(source.load(index)[positions[low:high] - start])
    return out


def _scale(deviation: np.ndarray, level: np.ndarray, standardise: bool) -> np.ndarray:
    """Standard deviations, 1 for a feature that is constant up to rounding."""
    if not standardise:
        return np.ones_like(deviation)
    return np.where(deviation > 1e-9 * np.maximum(1.0, np.abs(level)), deviation, 1.0)
