"""Which images each step sees: a permutation for each epoch, from the seed and the epoch's number alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.params import ParamsError
from pipeline.seeding import generator


class Data(Protocol):
    """Images with labels, as a shard set gives them; picklable if several ranks are launched."""

    @property
    def keys(self) -> list[str]:
        """The name of each image."""
        ...

    @property
    def labels(self) -> NDArray[np.int16]:
        """0..125 for each image."""
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

    def __post_init__(self) -> None:
        if self.per_class and self.size % self.per_class:
            raise ParamsError(f"train.images_per_class: {self.per_class} does not divide train.batch, {self.size}")
        if self.in_epoch < 1:
            have = f"{self._usable()} of {len(self.labels)} images"
            raise ParamsError(f"train.batch: {self.size} is more than an epoch has, {have}")

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
        chance = generator(self.seed, "train/order", epoch)
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
