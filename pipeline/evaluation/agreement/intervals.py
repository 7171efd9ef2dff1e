"""Intervals that respect groups: images of one reference share its content, so it is references that are left out.

An image-level bootstrap of 16 references x 125 images is about four times too narrow when contents differ, and a
bootstrap of few references is too narrow as well; the delete-one-group jackknife with a t quantile, on Fisher's z,
holds its coverage from 6 groups on. Below 6 no interval is given, nor where nothing changes whichever group is left out
(constant or perfect predictions): an interval without width would claim certainty. More than 200 groups (single
photographs) are left out in 200 blocks of neighbouring names, which takes 200 correlations and not 10,000; neighbours
that are alike only widen the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.agreement.measures import srocc

MIN_GROUPS = 6
MOST_BLOCKS = 200
_NO_SPREAD = 1e-9  # a standard error below this is rounding
Statistic = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Interval:
    """``value`` with its two-sided interval at ``level``; ``low`` and ``high`` are None where none is claimed.
    ``groups`` counts what was left out in turn: groups, or blocks of them.
    """

    value: float
    low: float | None
    high: float | None
    groups: int
    level: float = 0.95

    def contains(self, other: float) -> bool | None:
        """Whether ``other`` is inside; None where there is no interval."""
        return None if self.low is None or self.high is None else self.low <= other <= self.high

    def verdict(self, published: float) -> str:
        """``reproduced`` only if the published figure is inside, else ``differs``; or ``no interval``."""
        inside = self.contains(published)
        return "no interval" if inside is None else "reproduced" if inside else "differs"


def correlation_interval(
    prediction: np.ndarray,
    mos: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    statistic: Statistic = srocc,
    level: float = 0.95,
) -> Interval:
    """Interval of a correlation by the jackknife over groups on Fisher's z, t with (groups - 1) degrees of freedom."""
    value = statistic(prediction, mos)
    left_out = _left_out(groups, lambda keep: _fisher(statistic(prediction[keep], mos[keep])))
    half = _half_width(left_out, level)
    if half is None:
        return Interval(value, None, None, len(left_out), level)
    centre = _fisher(value)
    return Interval(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)), len(left_out), level)


def difference_interval(
    first: np.ndarray,
    second: np.ndarray,
    mos: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    statistic: Statistic = srocc,
    level: float = 0.95,
) -> tuple[Interval, float | None]:
    """Interval of statistic(first) - statistic(second) on the same images, groups left out of both at once, and the
    two-sided p of no difference (None where no interval is claimed).
    """

    def difference(keep: np.ndarray) -> float:
        return statistic(first[keep], mos[keep]) - statistic(second[keep], mos[keep])

    value = difference(np.ones(len(mos), dtype=bool))
    left_out = _left_out(groups, difference)
    half = _half_width(left_out, level)
    if half is None:
        return Interval(value, None, None, len(left_out), level), None
    return Interval(value, value - half, value + half, len(left_out), level), _p(value, _error(left_out), len(left_out))


def _left_out(groups: Sequence[str] | np.ndarray, statistic: Callable[[np.ndarray], float]) -> np.ndarray:
    names, place = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    blocks = place * min(len(names), MOST_BLOCKS) // len(names)
    return np.array([statistic(blocks != block) for block in range(min(len(names), MOST_BLOCKS))])


def _error(left_out: np.ndarray) -> float:
    """The jackknife's standard error."""
    count = len(left_out)
    return float(np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean()) ** 2)))


def _half_width(left_out: np.ndarray, level: float) -> float | None:
    from scipy.stats import t

    if len(left_out) < MIN_GROUPS or _error(left_out) < _NO_SPREAD:
        return None
    return float(t.ppf((1 + level) / 2, len(left_out) - 1)) * _error(left_out)


def _p(value: float, error: float, groups: int) -> float:
    from scipy.stats import t

    return float(2 * t.sf(abs(value) / error, groups - 1))


def _fisher(correlation: float) -> float:
    return float(np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12)))
