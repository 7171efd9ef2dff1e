"""Batches of decoded images in the order of exact epochs, made ahead of their use in a background thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import ArtifactError
from pipeline.seeding import generator
from pipeline.shards.epochs import Epochs
from pipeline.shards.reader import ShardSet

Item = TypeVar("Item")
Transform = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]
Batch = dict[str, Any]

AHEAD = 4  # batches: on one GPU a batch of 512 images of 256 x 256 is 500 MB, so 2 GB of host memory
POLL = 0.2  # seconds between looks at whether the other side is still there


class Prefetch(Generic[Item]):
    """Iterate over ``items``, which a background thread takes ``ahead`` of their use; :attr:`waited` counts the seconds
    spent waiting for it. An error of the thread is raised where its item was due. Leaving the ``with`` block ends the
    thread and closes a generator.
    """

    def __init__(self, items: Iterable[Item], ahead: int = AHEAD) -> None:
        self.waited = 0.0
        self._items = items
        self._queue: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)

    def __enter__(self) -> Prefetch[Item]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        while True:
            start = time.perf_counter()
            item, error = self._queue.get()
            self.waited += time.perf_counter() - start
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]

    def _fill(self) -> None:
        items = iter(self._items)
        try:
            while self._put((next(items), None)):
                pass
        except BaseException as error:  # StopIteration too: the item that waits for it tells them apart
            self._put((None, error))
        finally:
            if isinstance(items, Generator):
                items.close()

    def _put(self, entry: tuple[Item | None, BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=POLL)
                return True
            except queue.Full:
                continue
        return False


@dataclass(frozen=True)
class Crop:
    """A transform: a random square of ``size`` pixels."""

    size: int

    def __call__(self, image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """``image`` uint8 H x W x 3, both sides at least ``size``; returns uint8 [size, size, 3]."""
        height, width = image.shape[:2]
        if min(height, width) < self.size:
            raise ArtifactError(f"crop: {self.size} is more than an image has, {height} x {width}")
        top, left = random.integers(height - self.size + 1), random.integers(width - self.size + 1)
        return np.ascontiguousarray(image[top : top + self.size, left : left + self.size])


class BatchReader:
    """Reads a step: from (step, samples) to its batch. To torch it is a map-style dataset, with the steps of
    :class:`Epochs` as its sampler, where somebody wants worker processes.

    The transform's randomness comes from (seed, step, sample), so that no worker, rank or resume changes a pixel.
    """

    def __init__(self, shards: ShardSet, seed: int, transform: Transform | None = None) -> None:
        self._shards, self._seed, self._transform = shards, seed, transform
        self._labels = shards.labels.astype(np.int64) if "label" in shards.table.column_names else None

    def __getitem__(self, part: tuple[int, NDArray[np.int64]]) -> Batch:
        """See :meth:`read`."""
        return self.read(*part)

    def read(self, step: int, samples: NDArray[np.int64], pool: ThreadPoolExecutor | None = None) -> Batch:
        """``step``, ``index`` int64 [n], ``key`` (n strings), ``image`` uint8 [n, h, w, 3]; ``label`` int64 [n]
        where the set has classes. The threads of ``pool`` decode.
        """
        images = list((pool.map if pool else map)(lambda sample: self._image(step, int(sample)), samples))
        if len({image.shape for image in images}) > 1:
            raise ArtifactError(f"{self._shards.folder}: images of several sizes in a batch: give a transform, as Crop")
        return {
            "step": step,
            "index": samples,
            "key": [self._shards.key(int(sample)) for sample in samples],
            "image": np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8),
            **({"label": self._labels[samples]} if self._labels is not None else {}),
        }

    def _image(self, step: int, sample: int) -> NDArray[np.uint8]:
        image = self._shards.image(sample)
        if self._transform is None:
            return image
        return self._transform(image, generator(self._seed, "loader/transform", step, sample))


def loader(
    shards: ShardSet,
    epochs: Epochs,
    *,
    first: int = 0,
    last: int | None = None,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 1,
    transform: Transform | None = None,
    ahead: int = AHEAD,
) -> Generator[Batch]:
    """One rank's part of the steps ``first`` .. ``last - 1`` (None: to the end of the epoch that ``first`` lies in),
    ``ahead`` batches made before their use, their images decoded by ``workers`` threads.

    The items are those of :meth:`BatchReader.read`, the same and in the same order whatever ``workers`` is. To resume,
    give ``first`` the step after the last one that was used: ``batch["step"] + 1``. The state is that one number,
    because what was read ahead was not used.
    """
    end = (first // epochs.in_epoch + 1) * epochs.in_epoch if last is None else last
    steps = epochs.steps(first, end, rank, ranks)  # refuses now what would otherwise be refused at the first batch
    if epochs.count != len(shards):
        raise ArtifactError(f"{shards.folder}: {len(shards)} samples, the epochs are of {epochs.count}")
    return _batches(BatchReader(shards, epochs.seed, transform), steps, workers, ahead)


def _batches(
    reader: BatchReader, steps: Iterator[tuple[int, NDArray[np.int64]]], workers: int, ahead: int
) -> Generator[Batch]:
    with ThreadPoolExecutor(workers, "decode") as pool:
        with Prefetch((reader.read(step, samples, pool) for step, samples in steps), ahead) as batches:
            yield from batches
