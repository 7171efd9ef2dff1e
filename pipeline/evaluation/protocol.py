"""The protocol: splits, a regressor for each, predictions of the test parts, measures and their medians.

The result depends on the feature table, the manifest's declarations, the parameters and the seed, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import engine
from pipeline.evaluation.agreement.measures import Measures, measure
from pipeline.evaluation.leaks import check_parts
from pipeline.evaluation.predictions import predictions_table
from pipeline.evaluation.regressors.gram import Scheduler, Sums
from pipeline.evaluation.regressors.model_selection import Fitted, fit_ridge
from pipeline.evaluation.regressors.scored_features import open_features
from pipeline.evaluation.regressors.svr import SvrGrid, TooLarge, fit_svr
from pipeline.evaluation.results import summary
from pipeline.evaluation.splits import (
    Split,
    checked,
    leave_one_group_out,
    official_split,
    random_splits,
    read_splits,
    shared_groups,
)
from pipeline.features import FeatureTable

REGRESSORS = ("ridge", "svr")


@dataclass(frozen=True)
class Protocol:
    """What is done. ``name``: ``random`` | ``leave_one_group_out`` | ``official``, or ``imported``, which
    ``split_file`` gives (splits.read_splits); ``lambdas`` ascending; the first of ``regressors`` is the headline.

    ``stratified`` and ``shares_groups`` are the manifest's declarations (splits.random_splits, splits.official_split);
    ``memory`` is how many bytes features and sums may take: a table that does not fit is read block by block each time,
    by as many threads as fit. It changes no result.
    """

    name: str
    lambdas: tuple[float, ...] = tuple(np.geomspace(1e-3, 1e3, 13).tolist())
    splits: int = 10
    seed: int = 0
    min_groups: int = 5
    stratified: bool = False
    shares_groups: bool = False
    memory: int = 2**31
    regressors: tuple[str, ...] = ("ridge",)
    svr: SvrGrid = field(default_factory=SvrGrid)
    split_file: Path | None = None


@dataclass(frozen=True)
class SplitResult:
    """One split of one regressor and mode: the fit, its predictions, and the measures of the test part."""

    regressor: str
    mode: str
    split: Split
    fitted: Fitted
    measures: Measures
    shared_groups: int


def evaluate(
    table: FeatureTable,
    protocol: Protocol,
    *,
    splits: Sequence[Split] | None = None,
    sha256: Mapping[str, str] | None = None,
    scheduler: Scheduler | None = None,
) -> tuple[pa.Table, dict[str, object]]:
    """The predictions table and the metrics of one encoder on one database, NR, and FR where there are references.

    ``splits`` replaces the protocol's own (imported ones); ``sha256`` (of each image, by image_id) has equal images
    looked for in two parts of a split. Raises ``SplitError`` or ``LeakError`` for splits that leak, ``FeatureError``
    for features that can't be used and ``TooLarge`` if the headline regressor can't take the table; a further one that
    can't is left out, and the metrics say why.
    """
    sources = open_features(table, memory=protocol.memory)
    rows = sources["nr"].rows
    scored = table.columns if len(rows) == len(table) else table.columns.take(pa.array(rows))
    groups = np.asarray(scored["group"].to_pylist())
    used = make_splits(scored, protocol) if splits is None else [checked(split, groups) for split in splits]
    if sha256 is not None:
        check_parts(used, [sha256[name] for name in scored["image_id"].to_pylist()])
    title = f"evaluate {only(scored, 'encoder')} {only(scored, 'database')}"
    results: list[SplitResult] = []
    skipped: dict[str, str] = {}
    for regressor in protocol.regressors:
        try:
            if regressor == "svr":
                protocol.svr.check(len(scored), table.dim)
        except TooLarge as error:
            if regressor == protocol.regressors[0]:
                raise
            skipped[regressor] = str(error)
            continue
        for mode, source in sources.items():
            where = (scheduler or Scheduler()).within(protocol.memory, table.dim)
            sums = Sums(source, scored["mos"].to_numpy().astype(np.float64), where)
            done = (_one(regressor, mode, sums, scored, groups, split, protocol) for split in used)
            results += engine.progress(done, total=len(used), describe=f"{title} {mode} {regressor}")
    return predictions_table(scored, results), summary(table, scored, protocol, results, skipped)


def make_splits(scored: pa.Table, protocol: Protocol) -> list[Split]:
    """The splits of ``protocol`` over the rows of ``scored`` (columns of the feature table)."""
    groups, database = scored["group"].to_pylist(), only(scored, "database")
    if protocol.split_file is not None:
        return read_splits(protocol.split_file, scored["image_id"].to_pylist(), groups)
    if protocol.name == "leave_one_group_out":
        return leave_one_group_out(groups)
    if protocol.name == "official":
        parts = scored["official_split"].to_pylist()
        return [
            official_split(parts, groups, seed=protocol.seed, database=database, shares_groups=protocol.shares_groups)
        ]
    if protocol.name != "random":
        raise ValueError(f"protocol: {protocol.name!r} is not one of random, leave_one_group_out, official")
    strata = scored["stratum"].to_pylist() if protocol.stratified else None
    return random_splits(groups, seed=protocol.seed, database=database, count=protocol.splits, strata=strata)


def strata_of(scored: pa.Table, rows: np.ndarray) -> list[str | None] | None:
    """The strata of the rows; None where the database has none."""
    names: list[str | None] = scored["stratum"].take(pa.array(rows)).to_pylist()
    return names if any(name is not None for name in names) else None


def only(scored: pa.Table, column: str) -> str:
    """The one value of ``column``; ``ValueError`` if there are several."""
    values = scored[column].unique().to_pylist()
    if len(values) != 1:
        raise ValueError(f"a feature table is of one {column}; this one has {values}")
    return str(values[0])


def _one(
    regressor: str, mode: str, sums: Sums, scored: pa.Table, groups: np.ndarray, split: Split, protocol: Protocol
) -> SplitResult:
    least = protocol.min_groups
    if regressor == "ridge":
        standardise = bool(sums.source.table.metadata.get("standardise", False))
        lambdas = np.asarray(protocol.lambdas)
        fitted = fit_ridge(sums, split, groups, lambdas, standardise=standardise, min_groups=least)
    elif regressor == "svr":
        fitted = fit_svr(sums, split, groups, protocol.svr, seed=protocol.seed, min_groups=least)
    else:
        raise ValueError(f"regressors: {regressor!r} is not one of {', '.join(REGRESSORS)}")
    found = measure(fitted.test, sums.y[split.test], strata_of(scored, split.test))
    return SplitResult(regressor, mode, split, fitted, found, shared_groups(split, groups))
