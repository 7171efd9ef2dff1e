"""The sums over rows that a ridge needs: count, X'1, X'X, X'y and y'1, in float64, block by block.

The rows are cut into four runs of consecutive blocks, each a dask task, and the runs' sums are added in order, so the
result does not depend on the number of threads. Memory holds a few Gram matrices (dim^2 x 8 bytes: 134 MB at 4,096) and
as many batches of rows, whatever the length of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.evaluation.regressors.scored_features import ScoredFeatures

RUNS = 4
MOST_ROWS = 4096  # of a batch, about: 134 MB at 4,096 features


@dataclass
class Gram:
    """Sums over ``n`` rows of features ``x`` (measured from a common shift) and opinions ``y``.

    ``xx`` is in Fortran order and has the lower triangle only; what is above it is not to be read.
    """

    n: int
    x: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    y: float

    @classmethod
    def zeros(cls, dim: int) -> Gram:
        """Of no rows."""
        return cls(0, np.zeros(dim), np.zeros((dim, dim), order="F"), np.zeros(dim), 0.0)

    def collect(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add the rows ``x`` (float64 [n, dim], C order) with opinions ``y``."""
        from scipy.linalg.blas import dsyrk

        self.n += len(x)
        self.x += x.sum(axis=0)
        self.xx = dsyrk(1.0, x.T, beta=1.0, c=self.xx, lower=1, overwrite_c=1)  # in place: no second Gram matrix
        self.xy += x.T @ y
        self.y += float(y.sum())

    def add(self, other: Gram) -> Gram:
        """Add another set of rows, in place."""
        self.n += other.n
        self.y += other.y
        self.x += other.x
        self.xx += other.xx
        self.xy += other.xy
        return self

    def taken_from(self, total: Gram) -> Gram:
        """Become what is left of ``total`` without these rows, in place."""
        self.n = total.n - self.n
        self.y = total.y - self.y
        for mine, all_rows in ((self.x, total.x), (self.xx, total.xx), (self.xy, total.xy)):
            np.subtract(all_rows, mine, out=mine)
        return self

    def copy(self) -> Gram:
        """An independent copy."""
        return Gram(self.n, self.x.copy(), self.xx.copy(order="F"), self.xy.copy(), self.y)


@dataclass(frozen=True)
class Piece:
    """Rows of one block: their positions in it and their opinions."""

    block: int
    local: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class RegressionData:
    """Features, opinions and groups of the scored images of one database in one mode: what a regressor is fitted on.

    ``mos``: float64 [n]; ``groups``: strings [n]; ``workers``: threads for the sums, which change no result. The sums
    of all rows are made once; those of a part are its own, or all rows' less the rest's, whichever reads fewer rows
    (for a training part of 70 %: 30 % of the work). Rows are measured from the column means of all, which changes no
    result and keeps the subtraction exact to about 1e-15 of the variances.
    """

    features: ScoredFeatures
    mos: np.ndarray
    groups: np.ndarray
    workers: int = 2

    @property
    def standardise(self) -> bool:
        """Whether the features' units differ, so that a regressor must scale them by the rows it is fitted on."""
        return bool(self.features.table.metadata.get("standardise", False))

    @cached_property
    def shift(self) -> np.ndarray:
        """Column means of all rows, float64 [dim]."""
        total = np.zeros(self.features.dim)
        for index in range(len(self.features.bounds())):
            total += self.features.load(index).sum(axis=0, dtype=np.float64)
        return total / len(self.features)

    def gram(self, rows: np.ndarray) -> Gram:
        """Sums over ``rows`` (ascending), the caller's to overwrite."""
        if 2 * len(rows) <= len(self.features):
            return self.direct_gram(rows)
        rest = np.setdiff1d(np.arange(len(self.features)), rows, assume_unique=True)
        return self.direct_gram(rest).taken_from(self._total) if len(rest) else self._total.copy()

    def direct_gram(self, rows: np.ndarray) -> Gram:
        """Sums over ``rows`` from these rows themselves."""
        from dask.delayed import delayed

        batches = self._batches(rows)
        if len(batches) <= 1:  # a graph of one task costs more than a small table's sums
            return _sums(self.features, batches, self.shift)
        features = delayed(self.features, traverse=False)
        edges = np.linspace(0, len(batches), min(RUNS, len(batches)) + 1).astype(int)
        total: Any = None
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            run = delayed(_sums, traverse=False)(features, batches[start:stop], self.shift)
            total = run if total is None else delayed(_added)(total, run)
        gram: Gram = total.compute(scheduler="threads", num_workers=self.workers)
        return gram

    @cached_property
    def _total(self) -> Gram:
        return self.direct_gram(np.arange(len(self.features)))

    def _batches(self, positions: np.ndarray) -> list[list[Piece]]:
        """Consecutive pieces of about as many rows as there are features: a batch is then as large as its product."""
        batches: list[list[Piece]] = []
        rows = self.features.dim
        for index, (start, stop) in enumerate(self.features.bounds()):
            low, high = np.searchsorted(positions, (start, stop))
            if high == low:
                continue
            if rows >= min(self.features.dim, MOST_ROWS) or not batches:
                batches.append([])
                rows = 0
            batches[-1].append(Piece(index, positions[low:high] - start, self.mos[positions[low:high]]))
            rows += int(high - low)
        return batches


def workers_within(memory: int, dim: int, workers: int = 2) -> int:
    """As many threads, at least one, as have their sums, batch and BLAS buffer (32 MB) in ``memory`` bytes."""
    each = 8 * dim * (2 * dim + min(dim, MOST_ROWS) + 1024) + 2**25
    return max(1, min(workers, memory // each))


def _sums(features: ScoredFeatures, batches: list[list[Piece]], shift: np.ndarray) -> Gram:
    """Sums over consecutive batches, one after the other."""
    gram = Gram.zeros(len(shift))
    most = max((sum(len(piece.local) for piece in batch) for batch in batches), default=0)
    x = np.empty((most, len(shift)))  # one buffer for all batches: the allocator would keep several
    for batch in batches:
        stop = 0
        for piece in batch:
            start, stop = stop, stop + len(piece.local)
            block = features.load(piece.block)
            np.subtract(block if len(block) == stop - start else block[piece.local], shift, out=x[start:stop])
        gram.collect(x[:stop], np.concatenate([piece.y for piece in batch]))
    return gram


def _added(first: Gram, second: Gram) -> Gram:
    return first.add(second)  # in place: no one else holds `first`
