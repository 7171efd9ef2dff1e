"""One ridge on all scored images of a database: what is stored to score other images with.

There is no test part to keep away from: lambda is chosen by leaving groups out, each in turn, and the fit is then made
on everything. Beyond ``MOST_FOLDS`` groups several are left out together (KonIQ-10k has 10,073 of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.evaluation.regressors.gram import Scheduler, Sums
from pipeline.evaluation.regressors.model_selection import choose
from pipeline.evaluation.regressors.scored_features import ScoredFeatures, open_features
from pipeline.evaluation.splits import Split
from pipeline.features import FeatureTable
from pipeline.seeding import generator

MOST_FOLDS = 20


@dataclass(frozen=True)
class FitOnAll:
    """level + ((feature - mean) / scale) @ coef, all float64 [dim]; ``rule`` says how lambda was chosen.

    ``criterion`` is the SROCC of the left-out predictions at the chosen lambda.
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


def fit_on_all(
    table: FeatureTable,
    lambdas: Sequence[float],
    *,
    seed: int,
    memory: int = 2**31,
    scheduler: Scheduler | None = None,
) -> dict[str, FitOnAll]:
    """mode (nr, and fr where there are references) -> the fit on every scored image. ``SplitError`` for one group."""
    found = {}
    for mode, source in open_features(table, memory=memory).items():
        scored = table.columns.take(pa.array(source.rows))
        groups = np.asarray([str(name) for name in scored["group"].to_pylist()])
        folds, rule = _folds(groups, seed)
        sums = Sums(source, scored["mos"].to_numpy().astype(np.float64), scheduler or Scheduler())
        standardise = bool(table.metadata.get("standardise", False))
        every = np.arange(len(source))
        split = Split(0, every, every[:0], every)  # no validation part: groups are left out; several to be judged on
        chosen = choose(sums, split, folds, np.asarray(lambdas), standardise=standardise)
        mean, deviation = _spread(source)
        scale = np.where(deviation > 1e-9 * np.maximum(1.0, np.abs(mean)), deviation, 1.0) if standardise else 1.0
        coef = chosen.model.coef[:, 0]
        found[mode] = FitOnAll(
            coef=coef * scale,
            mean=mean,
            scale=np.broadcast_to(scale, mean.shape),
            level=float(chosen.model.intercept[0] + mean @ coef),
            penalty=float(chosen.model.lambdas[0]),
            rule=rule,
            criterion=max(chosen.criterion),
            images=len(source),
            groups=len(set(groups)),
        )
    return found


def _folds(groups: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """The fold of every image and the rule's name."""
    names = np.unique(groups)
    if len(names) <= MOST_FOLDS:
        return groups, "leave_one_group_out"
    drawn = generator(seed, "regressor/folds").permutation(len(names)) % MOST_FOLDS
    return drawn[np.searchsorted(names, groups)].astype(str), f"leave_one_of_{MOST_FOLDS}_folds_of_groups_out"


def _spread(source: ScoredFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every feature, float64 [dim], block by block in two passes."""
    blocks = range(len(source.bounds()))
    mean = sum((source.load(i).sum(axis=0, dtype=np.float64) for i in blocks), np.zeros(source.dim)) / len(source)
    square = sum((((source.load(i) - mean) ** 2).sum(axis=0) for i in blocks), np.zeros(source.dim))
    return mean, np.sqrt(square / len(source))
