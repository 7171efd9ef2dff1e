"""Batches made ahead of the step in a background thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.encoder.colour import SPACES
from pipeline.seeding import generator
from pipeline.training import views
from pipeline.training.batches import Batches, Mixed
from pipeline.training.cache import Squares
from pipeline.training.classes import batch_labels

AHEAD = 4  # batches: on one GPU a batch of 512 images of 256 is 500 MB, so 2 GB of host memory
POLL = 0.2  # seconds between looks at whether the other side is still there


@dataclass(frozen=True)
class Batch:
    """One rank's part of a step: what :func:`views.render` takes and the labels. ``places`` are those of the images of
    all ranks, for messages.
    """

    step: int
    full: Tensor
    half: Tensor
    draws: views.Draws
    labels: Tensor  # int64 [n]
    places: NDArray[np.int64]  # [n ranks]


class Feed:
    """Iterate over the batches of the steps ``first`` .. ``last - 1``; :attr:`waited` counts the seconds spent waiting.

    The choices of a step come from (seed, step) for the whole batch and are then split by rank, so that neither the
    number of ranks nor a resume moves them.
    """

    def __init__(
        self,
        images: Squares,
        batches: Batches | Mixed,
        *,
        crop: int,
        spaces: Sequence[str] = tuple(SPACES),
        official: bool = False,
        first: int,
        last: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.waited = 0.0
        self._images, self._batches = images, batches
        self._crop, self._spaces, self._official = crop, spaces, official
        self._first, self._last = first, last
        part = batches.size // ranks
        self._rows = slice(rank * part, (rank + 1) * part)
        self._queue: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._images.close()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            start = time.perf_counter()
            entry = self._queue.get()
            self.waited += time.perf_counter() - start
            if entry is None:
                return
            if isinstance(entry, BaseException):
                raise entry
            yield entry

    def _fill(self) -> None:
        try:
            for step, places in self._batches.steps(self._first, self._last):
                if not self._put(self._make(step, places)):
                    return
            self._put(None)
        except BaseException as error:  # whatever it is, it belongs to the step that waits for it
            self._put(error)

    def _put(self, entry: Batch | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=POLL)
                return True
            except queue.Full:
                continue
        return False

    def _make(self, step: int, places: NDArray[np.int64]) -> Batch:
        chance = generator(self._batches.seed, "train/views", step)
        draws = views.draw(chance, len(places), self._spaces).part(self._rows)
        labels = batch_labels(self._batches.labels[places])[self._rows]
        full, half = self._images.squares(places[self._rows], self._crop, draws, self._official)
        return Batch(step, full, half, draws, torch.from_numpy(labels), places)
