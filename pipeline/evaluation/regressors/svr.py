"""Support vector regression with an RBF kernel, as the field fits BRISQUE: on BIQ2021 it is worth 0.05 to 0.07 of SROCC
over a ridge on the same 36 numbers, so a table of ridges alone flatters everything else.

Features and opinions are z-scored by the rows fitted on, epsilon is 0.1 of the opinions' deviation. C and gamma are
chosen as a ridge's lambda is. gamma is a factor over the number of features: 0.03 to 3 is 0.0008 to 0.083 at 36. C ends
at 100, beyond which fits take several times as long; BIQ2021's 2,500 x 36 takes 4 CPU-seconds a split with the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from pipeline import Refusal
from pipeline.evaluation.regressors.gram import Sums
from pipeline.evaluation.regressors.model_selection import (
    LEFT_OUT,
    VALIDATION,
    Fitted,
    best,
    left_out,
    sroccs,
    validates,
)
from pipeline.evaluation.splits import Split
from pipeline.seeding import generator

EPSILON = 0.1


class TooLarge(Refusal, ValueError):
    """More than a kernel machine is fitted on; the message says what and where the limit is."""


@dataclass(frozen=True)
class SvrGrid:
    """``costs`` (C) and ``gammas`` (times 1 / features), ascending; ``grid_images``: at most so many training images,
    drawn at random, while choosing (the final fit is on all); ``most_images`` and ``most_numbers``: above, no fit.
    """

    costs: tuple[float, ...] = (1.0, 10.0, 100.0)
    gammas: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    grid_images: int = 2500
    most_images: int = 10_000
    most_numbers: int = 1024

    def check(self, images: int, numbers: int) -> None:
        """:class:`TooLarge` for a table above the limits: the time of a fit rises with images^2 x numbers."""
        if images > self.most_images or numbers > self.most_numbers:
            raise TooLarge(
                f"svr: {images:,} images of {numbers:,} numbers; it is fitted up to {self.most_images:,} images "
                f"(evaluate.svr.images) of {self.most_numbers:,} numbers (evaluate.svr.numbers)"
            )


def fit_svr(sums: Sums, split: Split, groups: np.ndarray, grid: SvrGrid, *, seed: int, min_groups: int = 5) -> Fitted:
    """An SVR of ``split`` with C and gamma chosen, and its predictions; of equal ones the smaller C, then gamma."""
    x, y = sums.source.take(np.arange(len(sums.source))), sums.y
    pairs = list(product(grid.costs, grid.gammas))
    draw = generator(seed, "evaluate/svr", split.index)

    def trial(on: np.ndarray, rows: np.ndarray) -> np.ndarray:
        some = np.sort(draw.choice(on, grid.grid_images, replace=False)) if len(on) > grid.grid_images else on
        return np.stack([_predictions(x, y, some, [rows], *pair)[0] for pair in pairs], axis=1)

    if validates(split, groups, min_groups):
        rule, on, val = VALIDATION, split.train, split.val
        criterion = sroccs(trial(on, val), y[val])
    else:
        rule, on, val = LEFT_OUT, np.sort(np.concatenate([split.train, split.val])), split.val[:0]
        criterion = left_out(trial, on, groups, y, pooled=len(set(groups[split.test])) > 1)
    cost, gamma = pairs[best(criterion, range(len(pairs)))]
    on_val, on_test = _predictions(x, y, on, [val, split.test], cost, gamma)
    edge = cost in (grid.costs[0], grid.costs[-1]) or gamma in (grid.gammas[0], grid.gammas[-1])
    settings: Mapping[str, float] = {"C": cost, "gamma": gamma / x.shape[1]}
    return Fitted(on_val, on_test, rule, settings, edge)


def _predictions(
    x: np.ndarray, y: np.ndarray, on: np.ndarray, parts: list[np.ndarray], cost: float, gamma: float
) -> list[np.ndarray]:
    """Predictions of the rows of each of ``parts`` by a machine fitted on the rows ``on``."""
    from sklearn.svm import SVR

    mean, scale = x[on].mean(axis=0), x[on].std(axis=0)
    scale = np.where(scale > 1e-9 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    level, spread = float(y[on].mean()), float(y[on].std()) or 1.0
    machine: Any = SVR(C=cost, gamma=gamma / x.shape[1], epsilon=EPSILON, cache_size=500)
    machine.fit((x[on] - mean) / scale, (y[on] - level) / spread)
    return [level + spread * machine.predict((x[rows] - mean) / scale) if len(rows) else np.empty(0) for rows in parts]
