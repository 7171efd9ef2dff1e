"""Which samples each step takes: every epoch a permutation of the whole set, from the seed and its number alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline import Refusal
from pipeline.seeding import generator

Last = Literal["drop", "repeat", "short"]


class EpochError(Refusal, ValueError):
    """An order that is impossible; the message begins with the argument's name."""


def part(count: int, rank: int, ranks: int) -> slice:
    """Which of a step's ``count`` samples are rank ``rank``'s; parts differ by at most one."""
    return slice(count * rank // ranks, count * (rank + 1) // ranks)


@dataclass(frozen=True, eq=False)
class Epochs:
    """The order of ``count`` samples, cut into steps of ``batch`` samples over all ranks.

    A step is an interval of one permutation of all samples and is split between the ranks afterwards, so that neither
    the number of ranks nor of workers nor a resume moves a sample to another step. Steps count on over the epochs.

    ``last`` says what becomes of an epoch's last samples when ``batch`` does not divide ``count``. ``drop``: they wait
    for another epoch (other ones in each). ``repeat``: the epoch's first samples fill the step up. ``short``: the last
    step is smaller, and its ranks' parts differ by at most one; every sample comes exactly once. The number of steps
    is the same for all ranks under each.

    ``per_class`` > 0 balances the classes of ``labels`` (int [count], 0 or above): the order consists of groups of
    ``per_class`` different samples of one class. Up to ``per_class - 1`` samples of a class wait for another epoch.
    With ``spread`` a class with n groups has one in each n-th of the epoch, so that equal classes come once each before
    any comes again; without it the groups are in random order.

    ``stage`` names the random stream, for orders that must differ under one seed.
    """

    count: int
    batch: int
    seed: int
    per_class: int = 0
    labels: NDArray[np.integer] | None = None
    last: Last = "drop"
    spread: bool = True
    stage: str = "epoch"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.per_class < 0:
            raise EpochError(f"batch must be above 0 and per_class not below: {self.batch}, {self.per_class}")
        if self.last not in get_args(Last):
            raise EpochError(f"last: {self.last!r} is not one of {', '.join(get_args(Last))}")
        if self.per_class and self.batch % self.per_class:
            raise EpochError(f"per_class: {self.per_class} does not divide batch, {self.batch}")
        if self.per_class and (self.labels is None or len(self.labels) != self.count):
            raise EpochError(f"labels: one for each of {self.count} samples is needed to balance classes")
        if self.in_epoch < 1:
            raise EpochError(f"batch: {self.batch} is more than an epoch has, {self.samples} of {self.count} samples")

    @cached_property
    def samples(self) -> int:
        """Samples that an epoch orders: all of them, or those that fill groups of ``per_class``."""
        if not self.per_class or self.labels is None:
            return self.count
        return int((np.unique(self.labels, return_counts=True)[1] // self.per_class).sum()) * self.per_class

    @property
    def in_epoch(self) -> int:
        """Steps in an epoch."""
        whole, left = divmod(self.samples, self.batch)
        return whole + (left > 0 and self.last != "drop")

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The samples of one epoch in order, int64 [samples]: what ``last`` is applied to."""
        random = generator(self.seed, self.stage, epoch)
        order = random.permutation(self.count)
        return self._balanced(order, random) if self.per_class and self.labels is not None else order

    def steps(self, first: int, last: int, rank: int = 0, ranks: int = 1) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(step, samples of this rank's part, int64) for the steps ``first`` .. ``last - 1``."""
        if not 0 <= rank < ranks:
            raise EpochError(f"rank: {rank} is not one of {ranks}")
        if self.batch % ranks:
            raise EpochError(f"batch: {self.batch} is not a multiple of {ranks} ranks")
        if first < 0:
            raise EpochError(f"first: step {first}")
        return self._steps(first, last, rank, ranks)

    def _steps(self, first: int, last: int, rank: int, ranks: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        known, order = -1, np.empty(0, np.int64)
        for step in range(first, last):
            epoch, place = divmod(step, self.in_epoch)
            if epoch != known:
                known, order = epoch, self.order(epoch)
                if self.last == "repeat":
                    order = np.resize(order, self.in_epoch * self.batch)
            batch = order[place * self.batch : (place + 1) * self.batch]
            yield step, batch[part(len(batch), rank, ranks)]

    def _balanced(self, order: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Groups of ``per_class``, in random order, or group i of a class's n at a random place in the i-th n-th."""
        assert self.labels is not None
        groups, places = [], []
        shuffled = np.asarray(self.labels)[order]
        by_class = np.split(
            order[np.argsort(shuffled, kind="stable")], np.cumsum(np.unique(shuffled, return_counts=True)[1])
        )
        for members in by_class:
            number = len(members) // self.per_class
            groups.append(members[: number * self.per_class].reshape(number, self.per_class))
            if self.spread:
                places.append((np.arange(number) + random.random(number)) / max(number, 1))
        stacked = np.concatenate(groups)
        if self.spread:
            return stacked[np.argsort(np.concatenate(places), kind="stable")].reshape(-1)
        return stacked[random.permutation(len(stacked))].reshape(-1)
