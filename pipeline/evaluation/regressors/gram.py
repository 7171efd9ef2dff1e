"""Sums over rows that a ridge needs: count, X'1, X'X, X'y and y'1, in float64, block by block.

The table is cut into four lanes of consecutive blocks, each a dask task, and the lanes are added in order, so the
result does not depend on the number of threads or machines. Memory holds a few Gram matrices (dim^2 x 8 bytes: 134 MB
at 4,096) and as many batches of rows, whatever the length of the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.evaluation.regressors.scored_features import ScoredFeatures

LANES = 4
MOST_ROWS = 4096  # of a batch, about: 134 MB at 4,096 features


@dataclass(frozen=True)
class Scheduler:
    """Where blocks are worked on: ``synchronous``, ``threads`` (default, ``workers`` of them) or the ``address`` of a
    dask.distributed scheduler, which must see the table's path.
    """

    name: str = "threads"
    workers: int = 2
    address: str | None = None

    def within(self, memory: int, dim: int) -> Scheduler:
        """As many threads, at least one, as have their sums, batch and BLAS buffer (32 MB) in ``memory`` bytes."""
        lane = 8 * dim * (2 * dim + min(dim, MOST_ROWS) + 1024) + 2**25
        return replace(self, workers=max(1, min(self.workers, memory // lane)))

    def compute(self, value: Any) -> Any:
        """The result of a dask delayed value."""
        if self.address is None:
            return value.compute(scheduler=self.name, num_workers=self.workers)
        from distributed import Client

        with Client(self.address) as client:  # type: ignore[no-untyped-call]
            return client.compute(value).result()


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

    def taken_from(self, whole: Gram) -> Gram:
        """Become what is left of ``whole`` without these rows, in place."""
        self.n = whole.n - self.n
        self.y = whole.y - self.y
        for mine, all_of_it in ((self.x, whole.x), (self.xx, whole.xx), (self.xy, whole.xy)):
            np.subtract(all_of_it, mine, out=mine)
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


@dataclass
class Sums:
    """Gram of any part of one source. The whole table's are made once; a part's are those of its rows, or the
    whole's less those of the rest, whichever reads fewer rows (a training part of 70 %: 30 % of the work).

    Rows are measured from the column means of the whole table, which changes no result and keeps the subtraction exact
    to about 1e-15 of the variances.
    """

    source: ScoredFeatures
    y: np.ndarray
    scheduler: Scheduler = field(default_factory=Scheduler)
    _shift: np.ndarray | None = None
    _whole: Gram | None = None

    @property
    def shift(self) -> np.ndarray:
        """Column means of the whole table, float64 [dim]."""
        if self._shift is None:
            total = np.zeros(self.source.dim)
            for index in range(len(self.source.bounds())):
                total += self.source.load(index).sum(axis=0, dtype=np.float64)
            self._shift = total / len(self.source)
        return self._shift

    def of(self, positions: np.ndarray) -> Gram:
        """Gram of the rows at ``positions`` (ascending), the caller's to overwrite."""
        if 2 * len(positions) <= len(self.source):
            return self._direct(positions)
        if self._whole is None:
            self._whole = self._direct(np.arange(len(self.source)))
        rest = np.setdiff1d(np.arange(len(self.source)), positions, assume_unique=True)
        return self._direct(rest).taken_from(self._whole) if len(rest) else self._whole.copy()

    def _direct(self, positions: np.ndarray) -> Gram:
        from dask.delayed import delayed

        batches = self._batches(positions)
        if len(batches) <= 1:  # a graph of one task costs more than a small table's sums
            return _lane(self.source, batches, self.shift)
        source = delayed(self.source, traverse=False)
        edges = np.linspace(0, len(batches), min(LANES, len(batches)) + 1).astype(int)
        total: Any = None
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            lane = delayed(_lane, traverse=False)(source, batches[start:stop], self.shift)
            total = lane if total is None else delayed(_added)(total, lane)
        found: Gram = self.scheduler.compute(total)
        return found

    def _batches(self, positions: np.ndarray) -> list[list[Piece]]:
        """Consecutive pieces of about as many rows as there are features: a batch is then as large as its product."""
        batches: list[list[Piece]] = []
        rows = self.source.dim
        for index, (start, stop) in enumerate(self.source.bounds()):
            low, high = np.searchsorted(positions, (start, stop))
            if high == low:
                continue
            if rows >= min(self.source.dim, MOST_ROWS) or not batches:
                batches.append([])
                rows = 0
            batches[-1].append(Piece(index, positions[low:high] - start, self.y[positions[low:high]]))
            rows += int(high - low)
        return batches


def _lane(source: ScoredFeatures, batches: list[list[Piece]], shift: np.ndarray) -> Gram:
    """Gram of consecutive batches, one after the other."""
    moments = Gram.zeros(len(shift))
    most = max((sum(len(piece.local) for piece in batch) for batch in batches), default=0)
    x = np.empty((most, len(shift)))  # one buffer for all batches: the allocator would keep several
    for batch in batches:
        stop = 0
        for piece in batch:
            start, stop = stop, stop + len(piece.local)
            block = source.load(piece.block)
            np.subtract(block if len(block) == stop - start else block[piece.local], shift, out=x[start:stop])
        moments.collect(x[:stop], np.concatenate([piece.y for piece in batch]))
    return moments


def _added(first: Gram, second: Gram) -> Gram:
    return first.add(second)  # in place: no one else holds `first`
