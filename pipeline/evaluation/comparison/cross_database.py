"""Cross-database judgement from stored features: a ridge fitted on all of one database, judged on all of another.

The encoder is the same and never changes. Predictions are carried from the declared range and direction of the one
database to those of the other by a straight line, so a fall of DMOS is a rise of MOS. Groups of the training database
that share a picture with the other (equal bytes, or hashes a few bits apart: Kodak's photographs are in LIVE and in
TID2013) are left out of the fit and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import artifacts
from pipeline.databases import Manifest
from pipeline.evaluation.agreement import correlation_interval, measure
from pipeline.evaluation.comparison.compare import CompareError, srocc_fields
from pipeline.evaluation.leaks import LeakError, SeenOpinions, groups_in_common, seen_opinions
from pipeline.evaluation.metric import is_metric
from pipeline.evaluation.predictions import only_value
from pipeline.evaluation.regressors import (
    RegressionData,
    RidgeModel,
    ScoredFeatures,
    fit_on_all,
    open_features,
    predict,
    workers_within,
)
from pipeline.features import FeatureTable, read_features, weights_sha256

FOLDS = 10  # of groups, to choose lambda by; fewer groups are left out one by one


@dataclass(frozen=True)
class ScoredDatabase:
    """One database with one encoder's features: its table of images (sha256, phash), what its manifest declares, and
    which of its opinions the encoder has ``seen``.

    :class:`CompareError` if the feature table was made while the manifest declared the other direction.
    """

    table: FeatureTable
    images: pa.Table
    higher_is_better: bool
    range: tuple[float, float]
    memory: int = 2**31
    seen: SeenOpinions = SeenOpinions()
    models: dict[tuple[str, bytes], RidgeModel] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.scored["higher_is_better"].unique().to_pylist() != [self.higher_is_better]:
            raise CompareError(
                f"{self.name}: its manifest has higher_is_better {str(self.higher_is_better).lower()}, its table was "
                "made with another; run ingest again"
            )

    @cached_property
    def features(self) -> dict[str, ScoredFeatures]:
        """mode -> features of the scored images."""
        return open_features(self.table, memory=self.memory)

    @cached_property
    def scored(self) -> pa.Table:
        """The feature table's columns of the scored images."""
        return self.table.columns.take(pa.array(self.features["nr"].rows))

    @cached_property
    def mos(self) -> np.ndarray:
        """Opinions, float64 [n]."""
        return np.asarray(self.scored["mos"].to_numpy(), dtype=np.float64)

    @cached_property
    def groups(self) -> np.ndarray:
        """Groups, strings [n]."""
        return np.asarray(self.scored["group"].to_pylist())

    @property
    def name(self) -> str:
        """The database's name."""
        return only_value(self.scored, "database")

    def model(self, mode: str, rows: np.ndarray, lambdas: Sequence[float] | np.ndarray, seed: int) -> RidgeModel:
        """The ridge of ``rows`` in ``mode``, its lambda chosen by leaving out tenths of their groups; made once."""
        key = (mode, rows.tobytes())
        if key not in self.models:
            workers = workers_within(self.memory, self.table.dim)
            data = RegressionData(self.features[mode], self.mos, self.groups, workers)
            draw = f"evaluate/cross/{self.name}"
            self.models[key] = fit_on_all(data, lambdas, rows=rows, folds=FOLDS, seed=seed, draw=draw).model
        return self.models[key]


def open_scored(
    data: Path, encoder: str, manifest: Manifest, tables: Callable[[str], pa.Table | None], *, memory: int, bits: int
) -> ScoredDatabase | None:
    """``encoder``'s features of a database, from the stages' folder ``data``; None for a metric, which gives none.

    ``tables(name)`` gives the table of a database, or None where it is not here. ``bits``: as for :func:`cross`.
    """
    file, model = f"{manifest.name}.parquet", data / "models" / encoder
    images = tables(manifest.name)
    if images is None:
        raise CompareError(f"{data / 'databases' / file}: missing; `dvc repro ingest@{manifest.name}` writes it")
    path = data / "features" / encoder / file
    table = read_features(path, weights=weights_sha256(model), database=data / "databases" / file)
    if is_metric(table):
        return None
    card, shares = artifacts.read_json(model / "encoder.json"), manifest.official_shares_groups
    seen = seen_opinions(encoder, card, images, manifest.name, tables, bits=bits, shares_groups=shares)
    return ScoredDatabase(table, images, manifest.higher_is_better, manifest.range, memory, seen)


def unshared_rows(train: ScoredDatabase, test: ScoredDatabase, bits: int) -> tuple[np.ndarray, int]:
    """Positions of the scored images of ``train`` whose group shares no picture with ``test``, ascending; and how many
    groups are left out. :class:`LeakError` if none is left.
    """
    shared = groups_in_common(train.images, test.images, bits)
    kept = np.flatnonzero(~np.isin(train.groups, sorted(shared)))
    if not len(kept):
        raise LeakError(f"{train.name} to {test.name}: every group of {train.name} shares a picture with {test.name}")
    return kept, len(shared & set(train.groups))


def cross(
    train: ScoredDatabase, test: ScoredDatabase, lambdas: Sequence[float] | np.ndarray, *, seed: int, bits: int
) -> list[dict[str, Any]]:
    """One entry for each mode that both have: ``{train, database, mode, encoder, regressor, images, trained_images,
    left_out, lambda, srocc, low, high, groups, plcc, plcc_raw, krocc, rmse, srocc_within, ...}``, measured on all
    scored images of ``test``, or where the encoder has seen opinions of them on the others (``seen_images`` counts
    those left out; nothing if none is left). ``bits``: hashes at most so far apart are of one picture.

    :class:`LeakError` if every group of ``train`` shares a picture with ``test``.
    """
    kept, left_out = unshared_rows(train, test, bits)
    rows = np.flatnonzero(test.seen.judged(test.scored["image_id"].to_pylist()))
    if not len(rows):
        return []
    mos, groups = test.mos[rows], test.groups[rows]
    names: list[str | None] = test.scored["stratum"].take(pa.array(rows)).to_pylist()
    strata = names if any(name is not None for name in names) else None
    entries = []
    for mode in [mode for mode in train.features if mode in test.features]:
        model = train.model(mode, kept, lambdas, seed)
        prediction = rescaled(predict(test.features[mode], rows, model)[:, 0], train, test)
        entry: dict[str, Any] = {"encoder": only_value(test.scored, "encoder"), "train": train.name}
        entry |= {"database": test.name, "mode": mode, "regressor": "ridge", "trained_images": len(kept)}
        entry |= {"left_out": left_out, "lambda": float(model.lambdas[0])}
        entry |= {} if len(rows) == len(test.mos) else {"seen_images": len(test.mos) - len(rows)}
        entry |= measure(prediction, mos, strata).as_dict()
        entries.append(entry | srocc_fields(correlation_interval(prediction, mos, groups)))
    return entries


def cross_pairs(
    names: Sequence[str],
    load: Callable[[str], ScoredDatabase | None],
    lambdas: Sequence[float] | np.ndarray,
    *,
    seed: int,
    bits: int,
) -> Iterator[list[dict[str, Any]]]:
    """:func:`cross` of one encoder over every ordered pair of databases: len(names) * (len(names) - 1) lists.

    ``load`` gives the database of a name, or None where there is nothing to fit (a metric's table): then the list is
    empty.
    """
    for first in names:
        train = load(first) if len(names) > 1 else None
        for second in names:
            if second != first:
                test = None if train is None else load(second)
                yield [] if train is None or test is None else cross(train, test, lambdas, seed=seed, bits=bits)


def rescaled(prediction: np.ndarray, train: ScoredDatabase, test: ScoredDatabase) -> np.ndarray:
    """Predictions in the units and direction of ``test``: the declared ranges laid onto one another."""
    low, high = train.range
    unit = (prediction - low) / (high - low)
    if train.higher_is_better != test.higher_is_better:
        unit = 1 - unit
    return test.range[0] + unit * (test.range[1] - test.range[0])
