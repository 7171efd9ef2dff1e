"""The protocol: splits, a ridge for each, predictions of the test parts, measures and their medians.

The result depends on the feature table, the manifest's declarations, the parameters and the seed, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline import engine
from pipeline.evaluation.measures import Measures, measure
from pipeline.evaluation.moments import Scheduler, Sums
from pipeline.evaluation.predictions import predictions_table
from pipeline.evaluation.ridge import predict
from pipeline.evaluation.selection import Chosen, choose
from pipeline.evaluation.source import open_sources
from pipeline.evaluation.splits import Split, leave_one_group_out, official_split, random_splits, shared_groups
from pipeline.evaluation.summary import summary
from pipeline.features import FeatureTable


@dataclass(frozen=True)
class Protocol:
    """What is done. ``name``: ``random`` | ``leave_one_group_out`` | ``official``; ``lambdas`` ascending.

    ``stratified`` and ``shares_groups`` are the manifest's declarations (splits.random_splits, splits.official_split);
    ``memory`` is how many bytes of features may be held, above which blocks are read from the file each time.
    """

    name: str
    lambdas: tuple[float, ...] = tuple(np.geomspace(1e-3, 1e3, 13).tolist())
    splits: int = 10
    seed: int = 0
    min_groups: int = 5
    stratified: bool = False
    shares_groups: bool = False
    memory: int = 2**31


@dataclass(frozen=True)
class SplitResult:
    """One split of one mode: the fit, predictions of val (where it chose lambda) and test, and the test's measures."""

    mode: str
    split: Split
    chosen: Chosen
    val: np.ndarray
    test: np.ndarray
    measures: Measures
    shared_groups: int


def evaluate(
    table: FeatureTable,
    protocol: Protocol,
    *,
    splits: Sequence[Split] | None = None,
    scheduler: Scheduler | None = None,
) -> tuple[pa.Table, dict[str, object]]:
    """The predictions table and the metrics of one encoder on one database, NR, and FR where there are references.

    ``splits`` replaces the protocol's own (imported ones). Raises ``SplitError`` for splits that leak and
    ``FeatureError`` for features that can't be used.
    """
    sources = open_sources(table, memory=protocol.memory)
    rows = sources["nr"].rows
    scored = table.columns if len(rows) == len(table) else table.columns.take(pa.array(rows))
    groups = np.asarray(scored["group"].to_pylist())
    used = list(splits) if splits is not None else make_splits(scored, protocol)
    results: list[SplitResult] = []
    for mode, source in sources.items():
        sums = Sums(source, scored["mos"].to_numpy().astype(np.float64), scheduler or Scheduler())
        done = (_one(mode, sums, scored, groups, split, protocol) for split in used)
        title = f"evaluate {_only(scored, 'encoder')} {_only(scored, 'database')} {mode}"
        results += engine.progress(done, total=len(used), describe=title)
    return predictions_table(scored, results), summary(table, scored, protocol.name, protocol.lambdas, results)


def make_splits(scored: pa.Table, protocol: Protocol) -> list[Split]:
    """The splits of ``protocol`` over the rows of ``scored`` (columns of the feature table)."""
    groups, database = scored["group"].to_pylist(), _only(scored, "database")
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


def _one(mode: str, sums: Sums, scored: pa.Table, groups: np.ndarray, split: Split, protocol: Protocol) -> SplitResult:
    source = sums.source
    standardise = bool(source.table.metadata.get("standardise", False))
    lambdas = np.asarray(protocol.lambdas)
    chosen = choose(sums, split, groups, lambdas, standardise=standardise, min_groups=protocol.min_groups)
    val = split.val if chosen.rule == "validation" else split.val[:0]
    on_val, on_test = (predict(source, part, chosen.model)[:, 0] for part in (val, split.test))
    strata = scored["stratum"].take(pa.array(split.test)).to_pylist()
    found = measure(on_test, sums.y[split.test], strata if any(name is not None for name in strata) else None)
    return SplitResult(mode, split, chosen, on_val, on_test, found, shared_groups(split, groups))


def _only(scored: pa.Table, column: str) -> str:
    values = scored[column].unique().to_pylist()
    if len(values) != 1:
        raise ValueError(f"a feature table is of one {column}; this one has {values}")
    return str(values[0])
