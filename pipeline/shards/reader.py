"""Reading shards by their sample tables: any sample at once, every read checked, an epoch an exact permutation."""

from __future__ import annotations

import mmap
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import images
from pipeline.artifacts import ArtifactError, read_manifest, read_table, sha256_bytes, sha256_file
from pipeline.seeding import generator
from pipeline.shards.writer import crc32

if TYPE_CHECKING:
    import pyarrow as pa


class ShardSet:
    """The samples of a folder of shards, in the order of the shards and of their tables.

    Opening checks the manifest, the size of every shard and the sha256 of every sample table; :class:`ArtifactError`
    names the file that is off. Pickles as its folder, so a worker opens its own files.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self.folder = Path(folder)
        self.manifest, self.shards = read_manifest(self.folder)
        parts = [_sample_table(self.folder, shard.name, shard.companions, shard.samples) for shard in self.shards]
        if not parts:
            raise ArtifactError(f"{self.folder}: the manifest lists no shards")
        self.table: pa.Table = pa.concat_tables(parts)
        self.codec = str(self.manifest["codec"])
        self._offsets = self.table["offset"].to_numpy()
        self._lengths = self.table["bytes"].to_numpy()
        self._crcs = self.table["crc32"].to_numpy()
        self._shard_of = np.repeat(np.arange(len(self.shards)), [shard.samples for shard in self.shards])
        self._maps: dict[int, mmap.mmap] = {}

    def __reduce__(self) -> tuple[type[ShardSet], tuple[Path]]:
        return ShardSet, (self.folder,)

    def __len__(self) -> int:
        return len(self._offsets)

    @cached_property
    def keys(self) -> list[str]:
        """The key of each sample."""
        return list(self.table["key"].to_pylist())

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

    def read(self, index: int) -> bytes:
        """The image member of sample ``index`` as it lies in its shard; a wrong crc32 is an :class:`ArtifactError`."""
        shard = int(self._shard_of[index])
        start = int(self._offsets[index])
        data = self._map(shard)[start : start + int(self._lengths[index])]
        if crc32(data) != int(self._crcs[index]):
            name = self.folder / self.shards[shard].name
            raise ArtifactError(f"{name}: sample {self.keys[index]} is damaged (crc32)")
        return data

    def image(self, index: int) -> np.ndarray:
        """Sample ``index`` decoded: uint8 H x W x 3."""
        return images.decode(self.read(index), name=f"{self.folder}/{self.keys[index]}.{self.codec}")

    def _map(self, shard: int) -> mmap.mmap:
        if shard not in self._maps:
            with open(self.folder / self.shards[shard].name, "rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[shard]


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """int64 permutation of ``count`` samples: another order in every epoch, the same on every machine."""
    return generator(seed, "epoch", epoch).permutation(count)


def _sample_table(folder: Path, shard: str, companions: dict[str, str], samples: int) -> pa.Table:
    name = shard.removesuffix(".tar") + ".parquet"
    if name not in companions:
        raise ArtifactError(f"{folder / shard}: no sample table in the manifest")
    if sha256_bytes((folder / name).read_bytes()) != companions[name]:
        raise ArtifactError(f"{folder / name}: damaged (its sha256 is not the manifest's)")
    table = read_table(folder / name)
    if len(table) != samples:
        raise ArtifactError(f"{folder / name}: {len(table)} rows for {samples} samples")
    return table
