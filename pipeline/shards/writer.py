"""Writing one shard: a USTAR file whose equal content is equal bytes, and the table of where each sample lies in it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import imagecodecs

from pipeline.artifacts import ShardMeta, Written, commit_shard, temporary_beside, write_table

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1  # raise it when the bytes of a shard change for the same pixels and records
PIXEL_LIBRARIES = ("imagecodecs", "numba", "numpy", "opencv-contrib-python-headless", "pillow", "scikit-image", "scipy")


@dataclass(frozen=True)
class Sample:
    """One key of a shard: the encoded image, further small members by extension, and its row of the sample table."""

    key: str
    image: bytes
    members: dict[str, bytes]
    row: dict[str, Any]


@cache
def versions() -> dict[str, object]:
    """The part of every fingerprint besides the parameters: this format and the libraries that touch pixels."""
    return {"format": FORMAT, "libraries": {name: version(name) for name in PIXEL_LIBRARIES}}


def write_shard(
    path: Path,
    fingerprint: str,
    samples: Iterable[Sample],
    codec: str,
    schema: pa.Schema,
    left_out: Mapping[str, str] | None = None,
) -> ShardMeta:
    """Write ``samples`` to the shard ``path`` and their table beside it, by the commit protocol.

    The members of a key are written in sorted order, mtime 0, owner 0, mode 0444; the image has the extension
    ``codec``. The table has ``schema``'s columns: those of each row, the key, the shard's name, and offset, bytes and
    crc32 of the image member. ``left_out`` goes into the shard's record.
    """
    import pyarrow as pa

    def write(temporary: Path) -> Written:
        keys, rows = [], []
        with open(temporary, "wb") as plain:
            file = _Hashed(plain)
            for sample in samples:
                for extension, data in sorted({**sample.members, codec: sample.image}.items()):
                    offset = _add(file, f"{sample.key}.{extension}", data)
                    if extension == codec:
                        place = {"offset": offset, "bytes": len(data), "crc32": crc32(data)}
                keys.append(sample.key)
                rows.append({**sample.row, "key": sample.key, "shard": path.name, **place})
            end = file.tell() + 2 * tarfile.BLOCKSIZE  # two empty blocks close a tar, filled up to a record
            file.write(bytes(2 * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))
        table = path.with_suffix(".parquet")
        sidecar = temporary_beside(table)
        write_table(sidecar, pa.Table.from_pylist(rows, schema=schema))
        return Written(keys, {table.name: sidecar}, file.sha256.hexdigest(), left_out or {})

    return commit_shard(path, fingerprint, write)


def crc32(data: bytes | memoryview) -> int:
    """crc32 of ``data`` (libdeflate: some 20 times faster than zlib's)."""
    return int(imagecodecs.deflate_crc32(data))  # type: ignore[arg-type]  # the stub lacks memoryview


def record(content: dict[str, Any]) -> bytes:
    """A sample's ``json`` member: sorted keys, no spaces, so that equal content is equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def header(name: str, size: int) -> bytes:
    """The block before a member's data: mtime 0, owner 0, mode 0444."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o444
    return info.tobuf(tarfile.USTAR_FORMAT)


class _Hashed:
    """A file whose sha256 is computed as it is written, while the data is in the processor's cache."""

    def __init__(self, file: BinaryIO) -> None:
        self.sha256, self._file, self._place = hashlib.sha256(), file, 0

    def write(self, data: bytes) -> None:
        self.sha256.update(data)
        self._file.write(data)
        self._place += len(data)

    def tell(self) -> int:
        return self._place


def _add(file: _Hashed, name: str, data: bytes) -> int:
    """Append a member; returns the offset of its data in the file.

    The bytes are those of ``TarFile.addfile``, which copies in pieces of 16 kB: 0.24 ms for 430 kB instead of 0.51.
    """
    file.write(header(name, len(data)))
    offset = file.tell()
    file.write(data)
    file.write(bytes(-len(data) % tarfile.BLOCKSIZE))
    return offset
