"""Which images each step sees: a permutation for each epoch, from the seed and the epoch's number alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.params import ParamsError
from pipeline.seeding import generator
from pipeline.training.classes import AUTHENTIC


class Data(Protocol):
    """Images with labels, as a shard set gives them; picklable if several ranks are launched."""

    @property
    def keys(self) -> list[str]:
        """The name of each image."""
        ...

    @property
    def labels(self) -> NDArray[np.int16]:
        """0..125 for each image, or -1: an authentic one."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 [h, w, 3]."""
        ...


@dataclass(frozen=True)
class Batches:
    """The order of training. ``labels`` int64 are those of the chosen images; a batch is ``size`` places in ``labels``.

    ``per_class`` 0: a plain permutation (the papers'). Above 0: a batch is ``size / per_class`` groups of ``per_class``
    different images of one class, so that every anchor has positives with other content.
    """

    labels: NDArray[np.int64]
    size: int
    seed: int
    per_class: int = 0
    stage: str = "train/order"

    def __post_init__(self) -> None:
        if self.per_class and self.size % self.per_class:
            raise ParamsError(f"train.images_per_class: {self.per_class} does not divide train.batch, {self.size}")
        if self.in_epoch < 1:
            have = f"{self._usable()} of {len(self.labels)} images"
            raise ParamsError(f"train.batch: {self.size} is more than an epoch has, {have} ({self.stage})")

    @property
    def in_epoch(self) -> int:
        """Steps in an epoch; what is left over, less than a batch, is another in each epoch."""
        return self._usable() // self.size

    def steps(self, first: int, last: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(step, places of its images, int64 [size]) for the steps ``first`` .. ``last - 1``."""
        epoch, order = -1, np.empty(0, np.int64)
        for step in range(first, last):
            if step // self.in_epoch != epoch:
                epoch = step // self.in_epoch
                order = self._epoch(epoch)
            place = step % self.in_epoch * self.size
            yield step, order[place : place + self.size]

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        chance = generator(self.seed, self.stage, epoch)
        order = chance.permutation(len(self.labels))
        if not self.per_class:
            return order
        groups = []
        for label in np.unique(self.labels):
            members = order[self.labels[order] == label]
            groups.append(members[: len(members) // self.per_class * self.per_class].reshape(-1, self.per_class))
        stacked = np.concatenate(groups)
        return stacked[chance.permutation(len(stacked))].reshape(-1)

    def _usable(self) -> int:
        if not self.per_class:
            return len(self.labels)
        return int((np.bincount(self.labels) // self.per_class).sum()) * self.per_class


@dataclass(frozen=True)
class Mixed:
    """Batches of as many distorted as authentic images, in turn (paper 2, section III-B), so that every rank's part is
    mixed. An epoch is one of the distorted images; the authentic ones have epochs of their own length.
    """

    labels: NDArray[np.int64]
    size: int
    seed: int
    per_class: int = 0

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ParamsError(f"train.batch: {self.size} is odd, and half of it is to be authentic (train.authentic)")
        _ = self._halves

    @property
    def in_epoch(self) -> int:
        """Steps in an epoch."""
        return self._halves[0].in_epoch

    def steps(self, first: int, last: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(step, places of its images, int64 [size]) for the steps ``first`` .. ``last - 1``."""
        places = [np.flatnonzero(self.labels != AUTHENTIC), np.flatnonzero(self.labels == AUTHENTIC)]
        halves = (half.steps(first, last) for half in self._halves)
        for (step, distorted), (_, authentic) in zip(*halves, strict=True):
            yield step, np.stack([places[0][distorted], places[1][authentic]], 1).reshape(-1)

    @cached_property
    def _halves(self) -> tuple[Batches, Batches]:
        theirs = self.labels == AUTHENTIC
        half = self.size // 2
        authentic = Batches(self.labels[theirs], half, self.seed, stage="train/authentic")
        return Batches(self.labels[~theirs], half, self.seed, self.per_class), authentic


def in_batches(labels: NDArray[np.int64], size: int, seed: int, per_class: int = 0) -> Batches | Mixed:
    """The order for images with ``labels``: of one kind, or half authentic where there are both."""
    theirs = labels == AUTHENTIC
    if theirs.any() and not theirs.all():
        return Mixed(labels, size, seed, per_class)
    return Batches(labels, size, seed, 0 if theirs.all() else per_class)
