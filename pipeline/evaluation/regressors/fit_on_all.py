"""One ridge on all images of a database: what is stored to score other images with, and what another database judges.

There is no test part to keep away from: lambda is chosen by leaving groups out, each in turn, or folds of several where
there are many (KonIQ-10k has 10,073), and the fit is then made on everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.evaluation.regressors.gram import RegressionData, workers_within
from pipeline.evaluation.regressors.model_selection import left_out
from pipeline.evaluation.regressors.ordered import Order, fit_ordered
from pipeline.evaluation.regressors.ridge import RidgeModel, fit_leaving_out, predict, scales
from pipeline.evaluation.regressors.scored_features import ScoredFeatures, open_features
from pipeline.features import FeatureTable
from pipeline.seeding import generator

STORED_FOLDS = 20


@dataclass(frozen=True)
class FitOnAll:
    """``model`` of one lambda, the SROCC of the left-out predictions at it, and the ``rule`` that chose it."""

    model: RidgeModel
    criterion: float
    rule: str


@dataclass(frozen=True)
class StoredFit:
    """level + ((feature - mean) / scale) @ coef, all float64 [dim]; ``rule`` says how lambda was chosen.

    ``criterion`` is the SROCC of the left-out predictions at the chosen lambda. ``falling``: with an order, the share
    of its pairs whose prediction falls.
    """

    coef: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    level: float
    penalty: float
    rule: str
    criterion: float
    images: int
    groups: int
    falling: float | None = None


def fit_on_all(
    data: RegressionData,
    lambdas: Sequence[float] | np.ndarray,
    *,
    rows: np.ndarray,
    folds: int,
    seed: int,
    draw: str,
    order: Order | None = None,
) -> FitOnAll:
    """A ridge on ``rows`` (ascending) of ``data``. Up to ``folds`` groups are left out one by one; more of them go in
    ``folds`` folds, drawn by ``generator(seed, draw)``. ``SplitError`` for one group. With an ``order``, lambda
    is the one that the ridge without it chose, and the fits that leave groups out are made anew.
    """
    names, place = np.unique(data.groups[rows], return_inverse=True)
    fold_of = np.full(len(data.groups), "", dtype=f"U{len(str(len(names)))}")
    drawn = generator(seed, draw).permutation(len(names)) % folds
    fold_of[rows] = (place if len(names) <= folds else drawn[place]).astype(str)
    rule = "leave_one_group_out" if len(names) <= folds else f"leave_one_of_{folds}_folds_of_groups_out"
    model, criterion = fit_leaving_out(data, rows, fold_of, np.asarray(lambdas), pooled=True)
    if order is not None:
        penalty = float(model.lambdas[0])

        def trial(on: np.ndarray, out: np.ndarray) -> np.ndarray:
            return predict(data.features, out, fit_ordered(data, on, penalty, order))

        (criterion,) = left_out(trial, rows, fold_of, data.mos, pooled=True)
        model = fit_ordered(data, rows, penalty, order)
    return FitOnAll(model, criterion, rule)


def stored_fits(
    table: FeatureTable, lambdas: Sequence[float], *, seed: int, memory: int = 2**31, order: Order | None = None
) -> dict[str, StoredFit]:
    """mode (nr, and fr where there are references) -> the fit on every scored image, as it is stored to score others.
    ``memory``: bytes that features and sums may take. ``order`` holds without a reference.
    """
    fits = {}
    for mode, features in open_features(table, memory=memory).items():
        scored = table.columns.take(pa.array(features.rows))
        groups = np.asarray([str(name) for name in scored["group"].to_pylist()])
        mos = scored["mos"].to_numpy().astype(np.float64)
        data = RegressionData(features, mos, groups, workers_within(memory, table.dim))
        ordered = order if mode == "nr" else None
        fitted = fit_on_all(
            data,
            lambdas,
            rows=np.arange(len(mos)),
            folds=STORED_FOLDS,
            seed=seed,
            draw="regressor/folds",
            order=ordered,
        )
        mean, deviation = _spread(features)
        scale = scales(deviation, mean, data.standardise)
        coef = fitted.model.coef[:, 0]
        fits[mode] = StoredFit(
            coef=coef * scale,
            mean=mean,
            scale=scale,
            level=float(fitted.model.intercept[0] + mean @ coef),
            penalty=float(fitted.model.lambdas[0]),
            rule=fitted.rule,
            criterion=fitted.criterion,
            images=len(mos),
            groups=len(set(groups)),
            falling=None if ordered is None else ordered.share(coef),
        )
    return fits


def _spread(features: ScoredFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every feature, float64 [dim], block by block in two passes."""
    blocks = range(len(features.bounds()))
    mean = sum((features.load(i).sum(axis=0, dtype=np.float64) for i in blocks), np.zeros(features.dim)) / len(features)
    square = sum((((features.load(i) - mean) ** 2).sum(axis=0) for i in blocks), np.zeros(features.dim))
    return mean, np.sqrt(square / len(features))
