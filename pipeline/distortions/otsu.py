"""Type 22: quantisation at thresholds that a Nelder-Mead search finds for Otsu's between-class variance.

The search path is part of the specification: it does not reach the optimum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.distortions.kernels import compiled, part
from pipeline.distortions.normalise import look_up, table_bytes
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes, Floats


@part
def negative_variance(point: Any, mass: Any, mean: Any) -> float:
    """Minus the between-class variance of the rounded thresholds;
    infinite where they leave 0..255 or are not ascending.
    """
    total, before = 0.0, -1
    for k in range(point.size + 1):
        at = 255 if k == point.size else int(np.floor(point[k] + 0.5))
        if at < 0 or at > 255 or at < before:
            return np.inf
        weight = mass[at] - (mass[before] if before >= 0 else 0.0)
        first = mean[at] - (mean[before] if before >= 0 else 0.0)
        if weight <= 0.0:
            return np.inf
        total += weight * (first / weight - mean[255]) ** 2
        before = at
    return -total


@part
def _order(points: Any, values: Any) -> None:
    """Sort the simplex by value, ascending and stable."""
    for i in range(1, values.size):
        value, point, j = values[i], points[i].copy(), i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            points[j] = points[j - 1]
            j -= 1
        values[j] = value
        points[j] = point


@part
def _simplex(start: Any, mass: Any, mean: Any) -> Any:
    """The first n + 1 points and their values, sorted: ``start``, and it with one threshold at a time 5 % further."""
    n = start.size
    points = np.empty((n + 1, n), np.float64)
    values = np.empty(n + 1, np.float64)
    for k in range(n + 1):
        points[k] = start
        if k > 0:
            points[k, k - 1] = start[k - 1] * 1.05 if start[k - 1] != 0 else 0.00025
        values[k] = negative_variance(points[k], mass, mean)
    _order(points, values)
    return points, values


@compiled
def search(start: Any, mass: Any, mean: Any) -> Any:
    """Nelder-Mead from ``start``: coefficients 1, 2, 1/2, 1/2; stops at 1 in x and 1e-4 in the value, or after 200 n
    evaluations or iterations.
    """
    n = start.size
    points, values = _simplex(start, mass, mean)
    evaluations, iterations = n + 1, 1
    while evaluations < 200 * n and iterations < 200 * n:
        spread = np.max(np.abs(points[1:] - points[0]))
        if np.max(np.abs(values[1:] - values[0])) <= 1e-4 and spread <= 1.0:
            break
        center = np.zeros(n, np.float64)
        for k in range(n):
            center += points[k]
        center /= n
        worst = points[n]
        reflected = 2.0 * center - worst
        value = negative_variance(reflected, mass, mean)
        evaluations += 1
        shrink = False
        if value < values[0]:
            expanded = 3.0 * center - 2.0 * worst
            other = negative_variance(expanded, mass, mean)
            evaluations += 1
            if other < value:
                points[n], values[n] = expanded, other
            else:
                points[n], values[n] = reflected, value
        elif value < values[n - 1]:
            points[n], values[n] = reflected, value
        else:
            outside = value < values[n]
            tried = 1.5 * center - 0.5 * worst if outside else 0.5 * center + 0.5 * worst
            other = negative_variance(tried, mass, mean)
            evaluations += 1
            if (outside and other <= value) or (not outside and other < values[n]):
                points[n], values[n] = tried, other
            else:
                shrink = True
        if shrink:
            for k in range(1, n + 1):
                points[k] = points[0] + 0.5 * (points[k] - points[0])
                values[k] = negative_variance(points[k], mass, mean)
            evaluations += n
        _order(points, values)
        iterations += 1
    return points[0]


def thresholds(prepared: Prepared, count: int) -> Floats:
    """``count`` ascending thresholds in stretched units, from the histogram of all samples."""
    bins = np.floor(np.clip(prepared.unit, 0.0, 1.0) * 255.0 + 0.5).astype(np.intp)
    share = np.bincount(bins, weights=prepared.counts, minlength=256) / prepared.counts.sum()
    start = np.linspace(0.0, 255.0, count + 2)[1:-1]
    points = search(start, np.cumsum(share), np.cumsum(share * np.arange(1.0, 257.0)))
    return np.sort(np.floor(points + 0.5)) / 255.0


def quantization(prepared: Prepared, count: float) -> Bytes:
    """Type 22: values up to the first of ``count`` thresholds become 0, those above the last 1,
    others the threshold below.
    """
    marks = thresholds(prepared, int(count))
    steps = np.concatenate([[0.0], marks[1:], [1.0]])
    values = steps[np.searchsorted(marks, prepared.unit, side="left")]
    return look_up(prepared.image, table_bytes(values, prepared.present))
