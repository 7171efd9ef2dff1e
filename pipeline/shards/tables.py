"""The columns of the sample tables beside the shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import column

if TYPE_CHECKING:
    import pyarrow as pa


def sources() -> pa.Schema:
    """One row a source: data/sources/{set}/sources-*.parquet and sources.parquet."""
    import pyarrow as pa

    return _schema(
        [
            ("key", pa.string(), "key of the members in the shard: the source's number, six digits"),
            ("source", pa.int32(), "number of the source in its set, from 0"),
            ("id", pa.string(), "the source's own name: of a file in a folder, of a packaged photograph"),
            ("shard", pa.string(), "file name of the shard"),
            *_place(pa),
            ("width", pa.int32(), "pixels"),
            ("height", pa.int32(), "pixels"),
            ("sha256", pa.string(), "of the pixels (uint8, rows, RGB)"),
            ("phash", pa.uint64(), "64-bit DCT hash of the luma"),
            ("recipe", pa.string(), "JSON: all that is needed to make the source again"),
        ]
    )


def distorted() -> pa.Schema:
    """One row a sample: data/distorted/{set}/distorted-*.parquet."""
    import pyarrow as pa

    return _schema(
        [
            ("key", pa.string(), "key of the members in the shard: {source:06d}-{label:03d}"),
            ("source", pa.int32(), "number of the source in its set"),
            ("label", pa.int16(), "0 pristine, else 5 * (type - 1) + level"),
            ("type", pa.int8(), "KADIS type 1..25; 0 for the pristine image"),
            ("level", pa.int8(), "1..5; 0 for the pristine image"),
            ("shard", pa.string(), "file name of the shard"),
            *_place(pa),
            ("width", pa.int32(), "pixels"),
            ("height", pa.int32(), "pixels"),
            ("record", pa.string(), "JSON: parameter, draws and seeds of this sample"),
        ]
    )


def _schema(columns: Sequence[tuple[str, Any, str]]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([column(*described, nullable=True) for described in columns])


def _place(pa: object) -> list[tuple[str, object, str]]:
    return [
        ("offset", pa.int64(), "where the image member's data starts in the shard, bytes"),  # type: ignore[attr-defined]
        ("bytes", pa.int64(), "length of the image member"),  # type: ignore[attr-defined]
        ("crc32", pa.uint32(), "of the image member's bytes, checked on every read"),  # type: ignore[attr-defined]
    ]
