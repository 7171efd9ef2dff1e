"""Reading shards by their sample tables: random access to every sample, and a check of every read."""

from __future__ import annotations

import mmap
import resource
from collections.abc import Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import images
from pipeline.artifacts import ArtifactError, ShardMeta, read_manifest, sha256_bytes, sha256_file
from pipeline.shards import tables
from pipeline.shards.writer import crc32

if TYPE_CHECKING:
    import pyarrow as pa


OPEN_SHARDS = 256  # of a set. A sample of a shard that is not open takes 45 us more, beside 2 ms to decode it


class ShardSet:
    """The samples of a folder of shards, in the order of the shards and of their tables.

    Opening checks the manifest, the size of every shard and the sha256 of every sample table; :class:`ArtifactError`
    names the file that is damaged. Pickles as its folder, so a worker opens its own files. The last shards that were
    read stay open, :data:`OPEN_SHARDS` of them, or fewer where the process may open few files. A set may be read by
    several threads and after a fork.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self.folder = Path(folder)
        self.manifest, self.shards = read_manifest(self.folder)
        parts = [self._table(shard) for shard in self.shards]
        if not parts:
            raise ArtifactError(f"{self.folder}: the manifest lists no shards")
        self.table: pa.Table = pa.concat_tables(parts)
        self.codec = str(self.manifest["codec"])
        self._keys = self.table["key"].combine_chunks()
        self._offsets = self.table["offset"].to_numpy()
        self._lengths = self.table["bytes"].to_numpy()
        self._crcs = self.table["crc32"].to_numpy()
        self._shard_of = np.repeat(np.arange(len(self.shards)), [shard.samples for shard in self.shards])
        names = [shard.name for shard in self.shards]
        # lru_cache has no lock of its own that a fork could copy while it is held
        self._map = lru_cache(_open_shards())(partial(_mapped, self.folder, names))

    def __reduce__(self) -> tuple[type[ShardSet], tuple[Path]]:
        return ShardSet, (self.folder,)

    def __len__(self) -> int:
        return len(self._offsets)

    @cached_property
    def keys(self) -> list[str]:
        """The key of each sample."""
        return list(self._keys.to_pylist())

    @property
    def sources(self) -> np.ndarray:
        """int32 [n]: the number of each sample's source."""
        return np.asarray(self.table["source"].to_numpy())

    @property
    def labels(self) -> np.ndarray:
        """int16 [n]: 0..125 (distorted sets only)."""
        return np.asarray(self.table["label"].to_numpy())

    @property
    def shapes(self) -> np.ndarray:
        """int32 [n, 2]: height and width of each image."""
        return np.stack([self.table["height"].to_numpy(), self.table["width"].to_numpy()], axis=1)

    @property
    def fingerprint(self) -> str:
        """sha256 of the manifest: changes with any shard."""
        return sha256_file(self.folder / "manifest.json")

    def key(self, index: int) -> str:
        """The key of one sample, without a list of all."""
        return str(self._keys[index].as_py())

    def view(self, index: int) -> memoryview:
        """The image member of sample ``index`` in the mapped shard, not copied (read-only). Its shard stays open as
        long as the view is referenced.

        A wrong crc32 is an :class:`ArtifactError`. libdeflate's crc32 takes 22 us of 570 kB; a copy would take as long.
        """
        shard, start = int(self._shard_of[index]), int(self._offsets[index])
        data = self._map(shard)[start : start + int(self._lengths[index])]
        if crc32(data) != self._crcs[index]:
            name = self.folder / self.shards[shard].name
            raise ArtifactError(f"{name}: sample {self.key(index)} is damaged (crc32)")
        return data

    def read(self, index: int) -> bytes:
        """A copy of :meth:`view`."""
        return bytes(self.view(index))

    def image(self, index: int) -> np.ndarray:
        """Sample ``index`` decoded: uint8 H x W x 3."""
        return images.decode(self.read(index), name=f"{self.folder}/{self.key(index)}.{self.codec}")

    def _table(self, shard: ShardMeta) -> pa.Table:
        return sample_table((self.folder / table_name(shard)).read_bytes(), shard, str(self.folder / table_name(shard)))


def _open_shards() -> int:
    """:data:`OPEN_SHARDS`, but at most a quarter of the files that this process may open: it may read several sets."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return OPEN_SHARDS if limit == resource.RLIM_INFINITY else min(OPEN_SHARDS, max(8, limit // 4))


def _mapped(folder: Path, names: Sequence[str], shard: int) -> memoryview:
    """A shard's bytes, read-only. The file is closed when the last reference to them is gone, views included."""
    with open(folder / names[shard], "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def table_name(shard: ShardMeta) -> str:
    """The file name of a shard's sample table; :class:`ArtifactError` if its record does not list it."""
    name = shard.name.removesuffix(".tar") + ".parquet"
    if name not in shard.sidecars:
        raise ArtifactError(f"{shard.name}: no sample table in the manifest")
    return name


def sample_table(data: bytes, shard: ShardMeta, name: str) -> pa.Table:
    """The sample table in ``data``; :class:`ArtifactError` with ``name`` unless it is the one of ``shard``'s record."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if sha256_bytes(data) != shard.sidecars[table_name(shard)]:
        raise ArtifactError(f"{name}: damaged (its sha256 is not the manifest's)")
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            count = file.metadata.num_rows
            if count != shard.samples:
                raise ArtifactError(f"{name}: {count} rows for {shard.samples} samples")
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{name}: not a readable Parquet table ({error})") from None
    wanted = tables.distorted() if "label" in table.column_names else tables.sources()
    if not table.schema.equals(wanted) or any(column.null_count for column in table.columns):
        raise ArtifactError(f"{name}: not a sample table (other columns than docs/tables.md says, or nulls in them)")
    return table
