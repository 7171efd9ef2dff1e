"""Remote shards, streamed with the webdataset library: what the place's manifest and tables do not say is refused.

The library alone loses samples silently when a tar is cut at a member boundary, and its decoders run pickles.
Here it only takes the tar apart; names, lengths, sums and pixels are checked by the code that checks local shards.
"""

from __future__ import annotations

import re
import tarfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import artifacts, images
from pipeline.artifacts import MANIFEST, ArtifactError, ShardMeta
from pipeline.seeding import generator
from pipeline.shards import plan
from pipeline.shards.epochs import EpochError
from pipeline.shards.loader import Prefetch
from pipeline.shards.reader import sample_table, table_name
from pipeline.shards.remote import SLACK, Whole, fetch, open_url
from pipeline.shards.writer import crc32, header

MANIFEST_BYTES = 2**26  # some 100,000 shards
TABLE_BYTES = 2**28  # some 500,000 samples in one shard
AHEAD = 8  # samples that are read and checked before they are asked for
IMAGE_BYTES = 2**28  # more than the largest image that is decoded takes as it is


@dataclass(frozen=True)
class Streamed:
    """One sample, as checked as one that is read locally."""

    key: str
    label: int | None  # 0..125; None in a set of sources
    data: bytes  # the encoded image
    record: str  # JSON: parameter, draws and seeds, or the recipe of a source
    name: str  # URL and member, for messages

    def image(self) -> NDArray[np.uint8]:
        """Decoded: uint8 H x W x 3."""
        return images.decode(self.data, name=self.name)


class ShardStream:
    """The shards at a URL (``https://host/sets/photos``, ``file:///data/...``), each read from its start to its end.

    Opening fetches the manifest; ``fingerprint`` is its sha256, if known: the manifest holds the sums of all shards and
    tables, so that with it nobody on the way or at the place can change a byte. Without it damage is found, forgery is
    not. A shard's sample table is fetched before the shard, and a sample is given out when its members have the
    headers that follow from the table (any other is refused before its data is read: no pickle, no length that fills
    the memory), its image the table's crc32 and its ``cls`` and ``json`` the table's content. The end of a shard
    compares count, length and sha256. Everything that is off is an :class:`ArtifactError` with the URL; ``timeout``
    (seconds) is that of a read.
    """

    def __init__(self, url: str, *, fingerprint: str | None = None, timeout: float = 60) -> None:
        self.url, self._timeout = url.rstrip("/"), timeout
        name = f"{self.url}/{MANIFEST}"
        data = fetch(name, MANIFEST_BYTES, timeout)
        self.fingerprint = artifacts.sha256_bytes(data)
        if fingerprint not in (None, self.fingerprint):
            raise ArtifactError(f"{name}: its sha256 is {self.fingerprint}, not the one that was asked for")
        self.manifest = artifacts.verified(artifacts.parsed_json(data, name), name)
        self.shards = artifacts.listed_shards(self.manifest, name)
        self.codec = str(self.manifest.get("codec"))
        if self.codec not in images.CODECS:
            raise ArtifactError(f"{name}: codec {self.codec!r} is not one of {', '.join(images.CODECS)}")
        for shard in self.shards:
            _check_record(shard, name)
        self._counts = np.array([shard.samples for shard in self.shards], np.int64)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def shard(self, index: int, skip: int = 0) -> Iterator[Streamed]:
        """The samples of one shard in the order of its table, but for the first ``skip``."""
        from webdataset.tariterators import group_by_keys, tar_file_expander

        shard = self.shards[index]
        url, (rows, due) = f"{self.url}/{shard.name}", self._rows(shard)
        try:
            with Whole(open_url(url, self._timeout), url, shard, self._timeout) as whole:
                named = _Named(whole, due)
                members = tar_file_expander([{"url": url, "stream": named}], select_files=_Guard(due, named, whole))
                samples = group_by_keys(members)
                for number, row in enumerate(rows):
                    sample = next(samples, None)
                    if sample is None:
                        raise ArtifactError(f"the tar ends after {number} of {len(rows)} samples")
                    streamed = self._checked(sample, row, url)
                    if number >= skip:
                        yield streamed
                for _ in samples:  # the guard refuses whatever comes; a tar that is right has nothing more
                    pass
                whole.finish()
        except (ArtifactError, tarfile.TarError, EOFError, OSError, ValueError) as error:
            if str(error).startswith(url):
                raise
            text = str(error.args[0] if error.args else error).removesuffix(f" @ {url}")
            raise ArtifactError(f"{url}: {text}") from None

    def labels(self, index: int) -> list[tuple[int, int]]:
        """(label, number of the source) of each sample of a shard of a distorted set, from its table alone."""
        shard = self.shards[index]
        name = f"{self.url}/{table_name(shard)}"
        table = sample_table(fetch(name, TABLE_BYTES, self._timeout), shard, name)
        if "label" not in table.column_names:
            raise ArtifactError(f"{self.url}: a set of sources has no classes to train on")
        return list(zip(table["label"].to_pylist(), table["source"].to_pylist(), strict=True))

    def epoch(
        self,
        seed: int,
        epoch: int,
        *,
        lanes: int = 4,
        part: int = 0,
        parts: int = 1,
        even: bool = False,
        start: int = 0,
    ) -> Iterator[Streamed]:
        """One epoch's samples from number ``start`` on, in an order that (seed, epoch, lanes, parts) alone decide.

        Shards come in random order, ``lanes`` at a time, and each next sample is that of a random one of them: no
        buffer of samples, and a resume fetches no shard that is done. For several ranks and workers each takes one of
        ``parts``: whole shards, together every sample exactly once. Parts differ in length; ``even`` ends each after
        the length of the shortest, so that all take equally many steps. At least as many shards as parts are needed.

        A thread reads ahead. Who leaves the loop early waits for its read, where a server stalls ``timeout`` seconds.
        """
        if not 0 <= part < parts or parts > len(self.shards) or lanes < 1 or start < 0:
            raise EpochError(f"part {part} of {parts}, {lanes} lanes from {start} on, of {len(self.shards)} shards")
        return self._ahead(self._epoch(seed, epoch, lanes, part, parts, even, start))

    @staticmethod
    def _ahead(samples: Iterator[Streamed]) -> Iterator[Streamed]:
        """Read and checked in a thread while the caller decodes: decoding is C, which lets that thread run."""
        with Prefetch(samples, AHEAD) as ahead:
            yield from ahead

    def _epoch(
        self, seed: int, epoch: int, lanes: int, part: int, parts: int, even: bool, start: int
    ) -> Iterator[Streamed]:
        order = generator(seed, "stream", epoch).permutation(len(self.shards))
        mine = [order[part::parts][lane::lanes] for lane in range(lanes)]
        counts = [int(self._counts[shards].sum()) for shards in mine]
        picks = generator(seed, "stream/lanes", epoch, part).permutation(np.repeat(np.arange(lanes), counts))
        end = min(int(self._counts[order[other::parts]].sum()) for other in range(parts)) if even else len(picks)
        done = np.bincount(picks[:start], minlength=lanes)
        streams = [self._lane(shards, int(skip)) for shards, skip in zip(mine, done, strict=True)]
        for lane in picks[start:end]:
            yield next(streams[lane])
        if end == len(picks):
            for stream in streams:  # to the end of their last shards, where those are checked
                next(stream, None)

    def _lane(self, shards: NDArray[np.int64], skip: int) -> Iterator[Streamed]:
        for shard in shards:
            count = int(self._counts[shard])
            if skip < count:
                yield from self.shard(int(shard), skip)
            skip = max(skip - count, 0)

    def _rows(self, shard: ShardMeta) -> tuple[list[dict[str, Any]], list[_Member]]:
        name = f"{self.url}/{table_name(shard)}"
        rows: list[dict[str, Any]] = sample_table(fetch(name, TABLE_BYTES, self._timeout), shard, name).to_pylist()
        members: list[_Member] = []
        for row in rows:
            if not re.fullmatch(r"[0-9-]{1,32}", row["key"]) or not 0 < row["bytes"] <= IMAGE_BYTES:
                raise ArtifactError(f"{name}: key {row['key']!r} of {row['bytes']} bytes is refused")
            members += _members(row, self.codec, members[-1].end if members else 0)
            if row["offset"] != members[-1].start:
                raise ArtifactError(f"{name}: sample {row['key']} cannot lie at byte {row['offset']}")
        return rows, members

    def _checked(self, sample: dict[str, Any], row: dict[str, Any], url: str) -> Streamed:
        key, label, record = row["key"], row.get("label"), row["record" if "record" in row else "recipe"]
        data = sample.get(self.codec, b"")
        if sample["__key__"] != key or len(data) != row["bytes"] or crc32(data) != row["crc32"]:
            raise ArtifactError(f"sample {key} is damaged (crc32)")
        if sample.get("json") != record.encode() or sample.get("cls") != (None if label is None else b"%d" % label):
            raise ArtifactError(f"sample {key}: its json or cls is not what its table says")
        return Streamed(key, label, data, record, f"{url}: {key}.{self.codec}")


class _Member(NamedTuple):
    """A member that the table says must come: name, header, where its data starts, and where the next header does."""

    name: str
    header: bytes
    start: int
    end: int


def _members(row: dict[str, Any], codec: str, place: int) -> list[_Member]:
    """The members of one sample from byte ``place`` of the tar on; the image is the last, whatever the codec."""
    sizes = {"json": len(row["record" if "record" in row else "recipe"].encode()), codec: row["bytes"]}
    if "label" in row:
        sizes["cls"] = len(str(row["label"]))
    members = []
    for extension, size in sorted(sizes.items()):
        name, start = f"{row['key']}.{extension}", place + tarfile.BLOCKSIZE
        place = start + size + -size % tarfile.BLOCKSIZE
        members.append(_Member(name, header(name, size), start, place))
    return members


class _Guard:
    """Asked by the library for each member before its data is read: it must be the one that is due, as it is due.

    Names alone would not do: a sparse member or one with a longer header than the table's fills the memory.
    """

    def __init__(self, due: list[_Member], named: _Named, whole: Whole) -> None:
        self._due, self._named, self._whole = iter(due), named, whole

    def __call__(self, name: str) -> bool:
        due = next(self._due, _Member("the end", b"", 0, 0))
        if name != due.name:
            raise ArtifactError(f"member {name!r} is refused, where {due.name!r} is due")
        if self._named.headers.pop(due.start, b"") != due.header:
            raise ArtifactError(f"member {name!r} is refused: its place, length or kind is not what the table says")
        self._whole.allowed = due.end + SLACK
        return True


class _Named:
    """What the library reads from: a shard's pieces, with the URL as its name for messages.

    ``headers``: what lies where the table says that headers lie, by where the member's data starts.
    """

    def __init__(self, whole: Whole, due: list[_Member]) -> None:
        self._whole, self._piece, self._used, self._place = whole, b"", 0, 0
        self._bounds = deque(place for member in due for place in (member.start, member.end))
        self._starts, self.headers = {member.start for member in due}, dict[int, bytes]()

    def __str__(self) -> str:
        return str(self._whole)

    def read(self, size: int) -> bytes:
        """The bytes to the end of the header or of the data that the table says is next; after the last, ``size``.

        tarfile asks for 10 KiB at a time, but takes what it gets: an image is not put together from many parts.
        """
        wanted = self._bounds.popleft() - self._place if self._bounds else size
        data = self._piece[self._used : self._used + wanted]
        self._used += len(data)
        while len(data) < wanted and (piece := self._whole.piece()):
            self._piece, self._used = piece, wanted - len(data)
            data += piece[: self._used]
        self._place += len(data)
        if self._place in self._starts:
            self.headers[self._place] = data
        return data


def _check_record(shard: ShardMeta, name: str) -> None:
    """Names that lead nowhere else, and numbers that are numbers: a manifest from elsewhere may say anything."""
    names = [shard.name, *shard.sidecars]
    pattern = f"{plan.SOURCE_PATTERN}|{plan.DISTORTED_PATTERN}"
    numbers = (shard.bytes, shard.samples)
    if not all(re.fullmatch(pattern, one) for one in names) or not all(type(n) is int and n > 0 for n in numbers):
        raise ArtifactError(f"{name}: the record of {shard.name!r} is refused")
