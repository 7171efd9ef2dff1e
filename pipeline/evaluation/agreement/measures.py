"""How well predictions agree with opinions: rank and linear correlation, error, overall and within strata.

Nothing here takes an absolute value: a regressor trained on a database predicts in that database's own direction, so
an anti-correlated one shows as a negative number. Where a correlation is undefined (constant predictions, constant
opinions, fewer than two images) it is 0 by declaration, and :class:`Measures` says so in ``fit_status``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipeline.evaluation.agreement.logistic import LogisticFit, fit_logistic, pearson


@dataclass(frozen=True)
class Measures:
    """Agreement of one set of predictions with the opinions of the same images.

    ``plcc`` and ``rmse`` are after the fitted logistic (``plcc`` with the sign of its slope), ``plcc_raw`` is before
    it. ``srocc_within`` is the size-weighted mean of the rank correlation inside the strata, None where there are fewer
    than two strata with an order.
    """

    images: int
    srocc: float
    plcc: float
    plcc_raw: float
    krocc: float
    rmse: float
    srocc_within: float | None
    fit_status: str
    betas: tuple[float, float, float, float]

    @property
    def logistic(self) -> LogisticFit:
        """The fitted curve."""
        return LogisticFit(self.fit_status, self.betas, self.plcc)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {**asdict(self), "betas": list(self.betas)}


def srocc(prediction: np.ndarray, mos: np.ndarray) -> float:
    """Spearman's rank correlation, average ranks for ties; 0 where undefined. Inputs: two vectors of equal length."""
    from scipy.stats import rankdata

    prediction, mos = _pair(prediction, mos)
    return pearson(rankdata(prediction), rankdata(mos)) if len(mos) else 0.0


def krocc(prediction: np.ndarray, mos: np.ndarray) -> float:
    """Kendall's tau-b; 0 where undefined."""
    from scipy.stats import kendalltau

    prediction, mos = _pair(prediction, mos)
    if len(mos) < 2 or np.ptp(prediction) == 0 or np.ptp(mos) == 0:
        return 0.0
    return float(kendalltau(prediction, mos).statistic)


def srocc_within(prediction: np.ndarray, mos: np.ndarray, strata: Sequence[object] | np.ndarray) -> float | None:
    """Mean of SROCC inside the strata, weighted by their sizes.

    A stratum whose opinions are all equal (or with one image) has no order to agree with and is left out. None when
    there are fewer than two strata with an order: the figure would only repeat SROCC.
    """
    prediction, mos = _pair(prediction, mos)
    names = np.asarray([str(value) for value in strata])
    inside = [names == name for name in sorted(set(names))]
    inside = [where for where in inside if where.sum() > 1 and np.ptp(mos[where]) > 0]
    if len(inside) < 2:
        return None
    sizes = np.array([where.sum() for where in inside], dtype=np.float64)
    values = np.array([srocc(prediction[where], mos[where]) for where in inside])
    return float(values @ sizes / sizes.sum())


def measure(prediction: np.ndarray, mos: np.ndarray, strata: Sequence[object] | np.ndarray | None = None) -> Measures:
    """All measures of one set of predictions; ``strata`` (one name an image, None allowed) adds ``srocc_within``.

    Raises ``ValueError`` on non-finite values or unequal lengths: nothing is dropped silently.
    """
    prediction, mos = _pair(prediction, mos)
    fitted: LogisticFit = fit_logistic(prediction, mos)
    error = fitted(prediction) - mos
    return Measures(
        images=len(mos),
        srocc=srocc(prediction, mos),
        plcc=fitted.plcc,
        plcc_raw=pearson(prediction, mos),
        krocc=krocc(prediction, mos),
        rmse=float(np.sqrt(np.mean(error**2))) if len(mos) else 0.0,
        srocc_within=None if strata is None else srocc_within(prediction, mos, strata),
        fit_status=fitted.status,
        betas=fitted.betas,
    )


def _pair(prediction: np.ndarray, mos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prediction, mos = np.asarray(prediction, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    if prediction.shape != mos.shape or prediction.ndim != 1:
        raise ValueError(
            f"measures: predictions {prediction.shape} and opinions {mos.shape} must be equal-length vectors"
        )
    for name, values in (("predictions", prediction), ("opinions", mos)):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ValueError(f"measures: {bad} of {len(values)} {name} are not finite")
    return prediction, mos
