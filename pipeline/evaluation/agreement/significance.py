"""Tests over splits and over tables: random splits overlap, and many comparisons find something by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def corrected_t(differences: Sequence[float], *, ratio: float) -> tuple[float, float]:
    """Nadeau and Bengio's (2003) corrected resampled t of paired differences over J random splits: (t, two-sided p).

    ``ratio`` is test to training images. The variance is multiplied by 1/J + ratio (0.1 + 0.2/0.7 = 0.386 for 10 splits
    of 70/10/20) where the naive one has 1/J, because the splits share their images. Equal differences give t = 0, p = 1
    if they are 0, else p = 0.
    """
    from scipy.stats import t

    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or ratio <= 0:
        raise ValueError(f"corrected_t: {len(values)} differences, ratio {ratio}; needs 2 at least, and more than 0")
    variance = float(values.var(ddof=1)) * (1 / len(values) + ratio)
    mean = float(values.mean())
    if variance == 0:
        return (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
    statistic = mean / float(np.sqrt(variance))
    return statistic, float(2 * t.sf(abs(statistic), len(values) - 1))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p values, in the order given: compare each with the level of the whole table."""
    values = np.asarray(p, dtype=np.float64)
    if len(values) and not ((values >= 0) & (values <= 1)).all():
        raise ValueError("holm: p values must be in [0, 1]")
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1.0, values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(steps) if len(values) else steps
    return [float(value) for value in adjusted]
