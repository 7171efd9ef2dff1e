"""Cross-database judgement from stored features: a ridge fitted on all of one database, judged on all of another.

The encoder is the same and never changes. Predictions are carried from the declared range and direction of the one
database to those of the other by a straight line, so a fall of DMOS is a rise of MOS. Groups of the training database
that share a picture with the other (equal bytes, or hashes a few bits apart: Kodak's photographs are in LIVE and in
TID2013) are left out of the fit and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.evaluation.agreement.intervals import correlation_interval
from pipeline.evaluation.agreement.measures import measure
from pipeline.evaluation.comparison.compare import CompareError, renamed
from pipeline.evaluation.leaks import LeakError, shares
from pipeline.evaluation.protocol import only, strata_of
from pipeline.evaluation.regressors.gram import Scheduler, Sums
from pipeline.evaluation.regressors.model_selection import best, left_out
from pipeline.evaluation.regressors.ridge import Ridge, fit, predict
from pipeline.evaluation.regressors.scored_features import ScoredFeatures, open_features
from pipeline.features import FeatureTable
from pipeline.seeding import generator

FOLDS = 10  # of groups, to choose lambda by; fewer groups are left out one by one


@dataclass
class ScoredDatabase:
    """One database with one encoder's features: its table of images (sha256, phash), and what its manifest declares."""

    table: FeatureTable
    images: pa.Table
    higher_is_better: bool
    range: tuple[float, float]
    memory: int = 2**31
    sources: dict[str, ScoredFeatures] = field(init=False)
    models: dict[tuple[str, bytes], Ridge] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sources = open_features(self.table, memory=self.memory)
        self.scored = self.table.columns.take(pa.array(self.sources["nr"].rows))
        self.mos = self.scored["mos"].to_numpy().astype(np.float64)
        self.groups = np.asarray(self.scored["group"].to_pylist())
        self.name = only(self.scored, "database")
        if self.scored["higher_is_better"].unique().to_pylist() != [self.higher_is_better]:
            raise CompareError(
                f"{self.name}: its manifest has higher_is_better {str(self.higher_is_better).lower()}, its table was "
                "made with another; run ingest again"
            )


def cross(
    train: ScoredDatabase, test: ScoredDatabase, lambdas: np.ndarray, *, seed: int, bits: int
) -> list[dict[str, Any]]:
    """One entry for each mode that both have: ``{train, database, mode, encoder, regressor, images, trained_images,
    left_out, lambda, srocc, low, high, groups, plcc, plcc_raw, krocc, rmse, srocc_within, ...}``, measured on all
    scored images of ``test``. ``bits``: hashes at most so far apart are of one picture.

    :class:`LeakError` if every group of ``train`` shares a picture with ``test``.
    """
    shared = shares(train.images, test.images, bits)
    kept = np.flatnonzero(~np.isin(train.groups, sorted(shared)))
    if not len(kept):
        raise LeakError(f"{train.name} to {test.name}: every group of {train.name} shares a picture with {test.name}")
    entries = []
    for mode in [mode for mode in train.sources if mode in test.sources]:
        model = fit_all(train, mode, kept, lambdas, seed)
        rows = np.arange(len(test.mos))
        prediction = carried(predict(test.sources[mode], rows, model)[:, 0], train, test)
        found = measure(prediction, test.mos, strata_of(test.scored, rows)).as_dict()
        interval = renamed(correlation_interval(prediction, test.mos, test.groups))
        about: dict[str, Any] = {"encoder": only(test.scored, "encoder"), "train": train.name, "database": test.name}
        about |= {"mode": mode, "regressor": "ridge", "trained_images": len(kept)}
        about["left_out"] = len(shared & set(train.groups))
        entries.append(about | {"lambda": float(model.lambdas[0])} | found | interval)
    return entries


def cross_pairs(
    names: Sequence[str], load: Callable[[str], ScoredDatabase | None], lambdas: np.ndarray, *, seed: int, bits: int
) -> Iterator[list[dict[str, Any]]]:
    """:func:`cross` of one encoder over every ordered pair of databases: len(names) * (len(names) - 1) lists.

    ``load`` gives the domain of a name, or None where there is nothing to fit (a metric's table): then the list is
    empty.
    """
    for first in names:
        train = load(first) if len(names) > 1 else None
        for second in names:
            if second != first:
                test = None if train is None else load(second)
                yield [] if train is None or test is None else cross(train, test, lambdas, seed=seed, bits=bits)


def fit_all(train: ScoredDatabase, mode: str, kept: np.ndarray, lambdas: np.ndarray, seed: int) -> Ridge:
    """The ridge of all rows ``kept``, its lambda chosen by leaving out tenths of their groups; made once."""
    known, source = (mode, kept.tobytes()), train.sources[mode]
    if known in train.models:
        return train.models[known]
    standardise = bool(train.table.metadata.get("standardise", False))
    sums = Sums(source, train.mos, Scheduler().within(train.memory, source.dim))
    names = sorted(set(train.groups[kept]))
    order = generator(seed, f"evaluate/cross/{train.name}").permutation(len(names)) % FOLDS
    fold_of = {name: f"{fold:02d}" for name, fold in zip(names, order, strict=True)}
    folds = np.asarray([fold_of.get(group, "") for group in train.groups])

    def trial(on: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return predict(source, rows, fit(sums, on, lambdas, standardise=standardise))

    criterion = left_out(trial, kept, folds, train.mos, pooled=True)
    chosen = lambdas[[best(criterion, np.argsort(-lambdas))]]
    return train.models.setdefault(known, fit(sums, kept, chosen, standardise=standardise))


def carried(prediction: np.ndarray, train: ScoredDatabase, test: ScoredDatabase) -> np.ndarray:
    """Predictions in the units and direction of ``test``: the declared ranges laid onto one another."""
    low, high = train.range
    unit = (prediction - low) / (high - low)
    if train.higher_is_better != test.higher_is_better:
        unit = 1 - unit
    return test.range[0] + unit * (test.range[1] - test.range[0])
