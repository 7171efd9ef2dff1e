"""Training images that stream from a URL: steps of groups of a class out of a shuffle buffer, resumed exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.artifacts import fingerprint
from pipeline.seeding import generator
from pipeline.shards.epochs import EpochError, part
from pipeline.shards.stream import ShardStream, Streamed


@dataclass(frozen=True)
class StreamedImages:
    """The distorted set at ``url`` (:class:`ShardStream`), whose manifest has the sum ``sha256``, if known.

    Each rank reads whole shards of its own, ``lanes`` at a time and in random order, into a buffer of ``buffer``
    encoded images. A step takes ``batch`` of them over all ranks: groups of ``per_class`` images of one class, drawn
    from the classes that have so many in the buffer, or single images where ``per_class`` is 1. The order depends on
    (seed, rank, ranks) alone. It is not that of :class:`pipeline.shards.epochs.Epochs`: an image is near others of its
    shard in time, and one whose class is rare in the buffer comes late, maybe in the next epoch. None is lost, and none
    is in the buffer twice.

    ``exclude``: numbers of sources whose images are left out, the probe's.
    """

    url: str
    batch: int
    seed: int
    per_class: int = 1
    buffer: int = 2048
    lanes: int = 4
    sha256: str | None = None
    exclude: frozenset[int] = frozenset()

    @cached_property
    def stream(self) -> ShardStream:
        """Opened when it is first asked for, in each process."""
        return ShardStream(self.url, fingerprint=self.sha256)

    def __len__(self) -> int:
        return len(self.stream)

    @property
    def fingerprint(self) -> str:
        """The sha256 of the manifest."""
        return self.stream.fingerprint

    @property
    def order_fingerprint(self) -> str:
        """Of all that decides which images a step takes."""
        return fingerprint(
            {
                "buffer": self.buffer,
                "exclude": sorted(self.exclude),
                "lanes": self.lanes,
                "manifest": self.stream.fingerprint,
                "per_class": self.per_class,
            }
        )

    @property
    def in_epoch(self) -> int:
        """Steps in an epoch, as many as all samples give."""
        return max(1, len(self.stream) // self.batch)

    def room(self, ranks: int) -> int:
        """Images in the buffer of a rank: no more than half of its own, so that it mixes few epochs."""
        sources, own = self.stream.manifest.get("sources"), len(self.stream)
        count = sources.get("count") if isinstance(sources, dict) else None
        if isinstance(count, int) and count > len(self.exclude):
            own = own * (count - len(self.exclude)) // count
        return min(self.buffer, own // (2 * ranks))

    def steps(self, first: int, last: int, rank: int, ranks: int) -> Iterator[tuple[int, list[Streamed]]]:
        """(step, this rank's samples) for the steps ``first`` .. ``last - 1``.

        A resumed run goes through the sample tables of the shards that were read before ``first``, and fetches again
        those that have samples in the buffer.
        """
        share = part(self.batch, rank, ranks)
        size = share.stop - share.start
        if self.batch % ranks or size % self.per_class:
            raise EpochError(f"batch: {self.batch} is not {ranks} ranks' groups of {self.per_class}")
        if ranks > len(self.stream.shards):
            raise EpochError(f"{self.url}: {len(self.stream.shards)} shards are fewer than {ranks} ranks")
        if self.room(ranks) < 2 * size:
            raise EpochError(f"buffer: {self.room(ranks)} of {self.url} is less than two steps of {size} images")
        return self._steps(first, last, size, rank, ranks)

    def _steps(self, first: int, last: int, size: int, rank: int, ranks: int) -> Iterator[tuple[int, list[Streamed]]]:
        arrivals, random = _Arrivals(self, rank, ranks), generator(self.seed, "stream/buffer", rank)
        waiting: dict[int, list[_Place]] = {}
        inside: set[tuple[int, int]] = set()
        held, room, still = 0, self.room(ranks), 0
        for step in range(last):
            if step == first:
                arrivals.fetch({place for places in waiting.values() for place in places})
            while held < room or not _ready(waiting, self.per_class, size):
                place, label = next(arrivals)
                if place[1:] in inside:  # still there from the epoch before
                    arrivals.dropped(place)
                    if (still := still + 1) > 2 * len(self.stream):  # whole epochs bring nothing new
                        what = f"{room} images, or {size // self.per_class} groups of {self.per_class} of a class"
                        raise EpochError(f"buffer: rank {rank} of {self.url} never has {what} (training.batch)")
                    continue
                still = 0
                waiting.setdefault(label, []).append(place)
                inside.add(place[1:])
                held += 1
            chosen = list(_draw(waiting, self.per_class, size, random))
            inside -= {place[1:] for place in chosen}
            held -= size
            if step >= first:
                yield step, [arrivals.taken(place) for place in chosen]


_Place = tuple[int, int, int]  # epoch, shard, row


def _ready(waiting: dict[int, list[_Place]], per_class: int, size: int) -> bool:
    """Whether a step's groups are there."""
    return sum(len(places) // per_class for places in waiting.values()) * per_class >= size


def _draw(waiting: dict[int, list[_Place]], per_class: int, size: int, random: np.random.Generator) -> Iterator[_Place]:
    """Take a step's groups out: a class by its number of groups, in it any images."""
    for _ in range(size // per_class):
        labels = sorted(label for label, places in waiting.items() if len(places) >= per_class)
        groups = np.array([len(waiting[label]) // per_class for label in labels])
        label = labels[int(random.choice(len(labels), p=groups / groups.sum()))]
        places = waiting[label]
        for _ in range(per_class):
            index = int(random.integers(len(places)))
            places[index], places[-1] = places[-1], places[index]
            yield places.pop()


class _Arrivals:
    """The samples of one rank as they come, epoch after epoch: (place, label). Until :meth:`fetch` is called only the
    tables are read.
    """

    def __init__(self, images: StreamedImages, rank: int, ranks: int) -> None:
        self._images, self._rank, self._ranks = images, rank, ranks
        self._held: dict[_Place, Streamed] = {}
        self._fetching = False
        self._iterator = self._all()

    def __next__(self) -> tuple[_Place, int]:
        return next(self._iterator)

    def fetch(self, places: set[_Place]) -> None:
        """From now on keep the images of what comes; first get those of ``places``, which have come."""
        stream = self._images.stream
        for epoch, shard in sorted({place[:2] for place in places}):
            rows = {row for e, s, row in places if (e, s) == (epoch, shard)}
            for row, sample in enumerate(stream.shard(shard)):
                if row in rows:
                    self._held[epoch, shard, row] = sample
        self._fetching = True

    def dropped(self, place: _Place) -> None:
        """The sample is not wanted."""
        self._held.pop(place, None)

    def taken(self, place: _Place) -> Streamed:
        """The sample, which is not held any longer."""
        return self._held.pop(place)

    def _all(self) -> Iterator[tuple[_Place, int]]:
        epoch = 0
        while True:
            random = generator(self._images.seed, "stream", epoch)
            shards = random.permutation(len(self._images.stream.shards))[self._rank :: self._ranks]
            lanes = [self._lane(epoch, shards[lane :: self._images.lanes]) for lane in range(self._images.lanes)]
            turns = generator(self._images.seed, "stream/lanes", epoch, self._rank)
            count = 0
            while lanes:
                lane = int(turns.integers(len(lanes)))
                arrival = next(lanes[lane], None)
                if arrival is None:
                    lanes.pop(lane)
                else:
                    yield arrival
                    count += 1
            if not count:
                raise EpochError(f"{self._images.url}: rank {self._rank} has no image that is not held out")
            epoch += 1

    def _lane(self, epoch: int, shards: np.ndarray) -> Iterator[tuple[_Place, int]]:
        for shard in map(int, shards):
            labels, samples = self._images.stream.labels(shard), None
            for row, (label, source) in enumerate(labels):
                if self._fetching and samples is None:
                    samples = self._images.stream.shard(shard, row)
                sample = next(samples) if samples is not None else None
                if source in self._images.exclude:
                    continue
                if sample is not None:
                    self._held[epoch, shard, row] = sample
                yield (epoch, shard, row), label
            if samples is not None:
                for _ in samples:  # to the end, where the shard's sum is checked
                    pass
