"""Support vector regression with an RBF kernel, as the field fits BRISQUE: on BIQ2021 it is worth 0.05 to 0.07 of SROCC
over a ridge on the same 36 numbers, so a table of ridges alone flatters everything else.

Features and opinions are z-scored by the rows fitted on, epsilon is 0.1 of the opinions' deviation. C and gamma are
chosen as a ridge's lambda is. gamma is a factor over the number of features: 0.03 to 3 is 0.0008 to 0.083 at 36. C ends
at 100, beyond which fits take several times as long; BIQ2021's 2,500 x 36 takes 4 CPU-seconds a split with the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from pipeline.evaluation.regressors.gram import RegressionData
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
from pipeline.evaluation.regressors.regressor import Fitted, TooLarge
from pipeline.evaluation.regressors.ridge import scales
from pipeline.evaluation.splits import Split
from pipeline.params import SvrParams
from pipeline.seeding import generator

EPSILON = 0.1


@dataclass(frozen=True)
class Svr:
    """The regressor ``svr``: of the pairs of C and gamma in ``knobs`` the best, chosen as the ridge's lambda is; of
    equal ones the smaller C, then the smaller gamma. ``seed`` draws the training images that choose.
    """

    knobs: SvrParams
    seed: int
    min_groups: int = 5

    def check(self, images: int, dim: int) -> None:
        """:class:`TooLarge` for a table above the limits: the time of a fit rises with images^2 x features."""
        most_images, most_features = self.knobs.max_images, self.knobs.max_features
        if images > most_images or dim > most_features:
            raise TooLarge(
                f"svr: {images:,} images of {dim:,} features; it is fitted up to {most_images:,} images "
                f"(evaluate.svr.max_images) of {most_features:,} features (evaluate.svr.max_features)"
            )

    def fit(self, data: RegressionData, split: Split) -> Fitted:
        """An SVR of ``split``, its C and gamma chosen, and its predictions."""
        x, y, most = data.features.take(np.arange(len(data.features))), data.mos, self.knobs.max_grid_images
        costs, gammas = sorted(self.knobs.c), sorted(self.knobs.gamma)
        pairs = list(product(costs, gammas))
        draw = generator(self.seed, "evaluate/svr", split.index)

        def trial(on: np.ndarray, rows: np.ndarray) -> np.ndarray:
            drawn = np.sort(draw.choice(on, most, replace=False)) if len(on) > most else on
            return np.stack([_predictions(x, y, drawn, [rows], *pair)[0] for pair in pairs], axis=1)

        if validates(split, data.groups, self.min_groups):
            rule, train, val = VALIDATION, split.train, split.val
            criterion = sroccs(trial(train, val), y[val])
        else:
            rule, train, val = LEFT_OUT, train_and_val(split), split.val[:0]
            criterion = left_out(trial, train, data.groups, y, pooled=several_groups(split.test, data.groups))
        cost, gamma = pairs[best(criterion, range(len(pairs)))]
        on_val, on_test = _predictions(x, y, train, [val, split.test], cost, gamma)
        at_edge = cost in (costs[0], costs[-1]) or gamma in (gammas[0], gammas[-1])
        return Fitted(on_val, on_test, rule, {"C": cost, "gamma": gamma / x.shape[1]}, at_edge)


def _predictions(
    x: np.ndarray, y: np.ndarray, on: np.ndarray, parts: list[np.ndarray], cost: float, gamma: float
) -> list[np.ndarray]:
    """Predictions of the rows of each of ``parts`` by a machine fitted on the rows ``on``."""
    from sklearn.svm import SVR

    mean = x[on].mean(axis=0)
    scale = scales(x[on].std(axis=0), mean, standardise=True)
    level, spread = float(y[on].mean()), float(y[on].std()) or 1.0
    machine: Any = SVR(C=cost, gamma=gamma / x.shape[1], epsilon=EPSILON, cache_size=500)
    machine.fit((x[on] - mean) / scale, (y[on] - level) / spread)
    return [level + spread * machine.predict((x[rows] - mean) / scale) if len(rows) else np.empty(0) for rows in parts]
