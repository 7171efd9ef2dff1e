"""Sample tables of someone who can write the manifest too: none unpacks beyond its cap, whatever its footer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import artifacts
from pipeline.artifacts import ArtifactError, ShardMeta
from pipeline.shards import reader, tables
from pipeline.shards.pages import unpacked_bytes
from pipeline.shards.reader import sample_table

CAP = 2**20
POOL = pa.proxy_memory_pool(pa.default_memory_pool())  # kept: Arrow's buffers may outlive a test
NAMES = [field.name for field in tables.sources()]


def rows(count: int, recipe: str) -> pa.Table:
    given = {"width": 64, "height": 64, "bytes": 9, "crc32": 1, "phash": 2, "recipe": recipe}
    row = {name: given.get(name, "x" if pa.types.is_string(tables.sources().field(name).type) else 0) for name in NAMES}
    return pa.table({name: pa.repeat(value, count) for name, value in row.items()}).cast(tables.sources())


def packed(path: Path, table: pa.Table, **options: Any) -> bytes:
    pq.write_table(table, path, compression="zstd", **options)
    return path.read_bytes()


def read(data: bytes, samples: int) -> pa.Table:
    digest = artifacts.sha256_bytes(data)
    shard = ShardMeta("s.tar", "", 1, "", samples, "a", "b", {"s.parquet": digest}, {})
    return sample_table(data, shard, "https://there/s.parquet")


@pytest.fixture(autouse=True)
def cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "TABLE_BYTES", CAP)


def refusal(data: bytes, samples: int) -> str:
    """Why a table is refused, and that Arrow has held no more than the cap at any time."""
    usual, before = pa.default_memory_pool(), POOL.bytes_allocated()
    pa.set_memory_pool(POOL)
    try:
        with pytest.raises(ArtifactError) as caught:
            read(data, samples)
    finally:
        pa.set_memory_pool(usual)
    assert (POOL.max_memory() or 0) - before < 2 * CAP
    return str(caught.value)


def test_pages_add_up_to_what_the_footer_of_an_honest_table_says(tmp_path: Path) -> None:
    table, path = rows(3000, "recipe"), tmp_path / "t.parquet"
    table = table.set_column(0, table.schema.field(0), pa.array([f"{i:06d}" for i in range(3000)]))
    artifacts.write_table(path, table)
    data, about = path.read_bytes(), pq.read_metadata(path)
    said = sum(about.row_group(group).total_byte_size for group in range(3))  # headers of pages counted
    assert 0.8 * said < unpacked_bytes(data, about) < said
    again = read(data, 3000)
    assert again.equals(table) and again.schema.equals(pq.read_schema(path), check_metadata=True)


@pytest.mark.parametrize("options", [{"use_dictionary": False}, {"use_dictionary": True}], ids=["pages", "dictionary"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_small_file_that_unpacks_to_much_is_refused(options: dict[str, Any], version: str, tmp_path: Path) -> None:
    data = packed(tmp_path / "t.parquet", rows(400, "x" * 2**17), data_page_version=version, **options)
    assert len(data) < 2**18 < CAP
    said = refusal(data, 400)
    assert said.startswith("https://there/s.parquet: unpacks to 5") and said.endswith(f"over the cap of {CAP}")


def test_more_rows_than_memory_is_there_for_are_refused(tmp_path: Path) -> None:
    data = packed(tmp_path / "t.parquet", rows(10**5, "x"))
    assert len(data) < 2**14
    assert f"over the cap of {CAP}" in refusal(data, 10**5)


def varint(number: int, length: int) -> bytes:
    """``number`` in Thrift's zigzag, filled up to ``length`` bytes."""
    number *= 2
    return bytes((number >> 7 * i & 127) | (128 if i + 1 < length else 0) for i in range(length))


def test_a_footer_that_makes_little_of_it_does_not_help(tmp_path: Path) -> None:
    data = packed(tmp_path / "t.parquet", rows(400, "x" * 2**17), use_dictionary=False)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    about = pq.read_metadata(tmp_path / "t.parquet")
    column = about.row_group(0).column(NAMES.index("recipe"))
    forged = data[footer:]
    for number in (column.total_uncompressed_size, about.row_group(0).total_byte_size):
        assert varint(number, 4) in forged
        forged = forged.replace(varint(number, 4), varint(100, 4))
    (tmp_path / "t.parquet").write_bytes(data[:footer] + forged)
    assert pq.read_metadata(tmp_path / "t.parquet").row_group(0).total_byte_size == 100
    assert len(pq.read_table(tmp_path / "t.parquet", columns=["source"])) == 400  # Arrow does not mind
    assert "unpacks to 5" in refusal(data[:footer] + forged, 400)


def test_an_encoding_that_builds_on_the_value_before_is_refused(tmp_path: Path) -> None:
    table = rows(400, "x" * 2**17)
    data = packed(tmp_path / "t.parquet", table, use_dictionary=False, column_encoding={"recipe": "DELTA_BYTE_ARRAY"})
    assert "s.parquet: not a readable Parquet table (a page of a kind or an encoding" in refusal(data, 400)


def test_whatever_is_flipped_is_refused_or_within_the_cap(tmp_path: Path) -> None:
    data = packed(tmp_path / "t.parquet", rows(40, "recipe"))
    rng, refused = np.random.default_rng(5), 0
    for place in rng.integers(4, len(data) - 8, 400).tolist():
        forged = data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]
        try:
            assert len(read(forged, 40)) == 40
        except ArtifactError as error:
            refused += str(error).startswith("https://there/s.parquet: ")
    assert refused > 100
