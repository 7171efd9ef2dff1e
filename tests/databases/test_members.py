"""The embedded database: tar members scored with the mean opinion of their class."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.databases import DATABASE, IngestError, class_means, ingest_members, load_manifest, notes_of
from tests.databases.fixtures import shard


def changed(samples: pa.Table, row: int, **values: object) -> pa.Table:
    rows = samples.to_pylist()
    rows[row] |= values
    return pa.Table.from_pylist(rows)


def test_members_become_a_table(tmp_path: Path) -> None:
    samples = shard(tmp_path, same_as_pristine=True)
    table = ingest_members(load_manifest("photos"), samples, tmp_path, names={0: "astronaut", 1: "chelsea"})
    assert table.schema.equals(DATABASE)
    rows = {row["image_id"]: row for row in table.to_pylist()}
    assert len(rows) == 32
    pristine, distorted = rows["000001-000"], rows["000001-007"]
    assert pristine["is_reference"] and pristine["mos"] is None and pristine["reference_id"] is None
    assert (distorted["type"], distorted["level"], distorted["reference_id"]) == (2, 2, "000001-000")
    assert (distorted["mos"], distorted["mos_std"]) == class_means()[2, 2]
    assert (distorted["group"], distorted["stratum"], distorted["path"]) == ("chelsea", "02", "distorted-00000.tar")
    data = (tmp_path / "distorted-00000.tar").read_bytes()
    assert data[distorted["offset"] : distorted["offset"] + 4] == b"qoif"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": 26}, "classes without a published mean: 000000-003 (type 26, level 3)"),
        ({"sha256": "00"}, "members whose bytes changed: 000000-003"),
        ({"offset": 1}, "members that can't be decoded: 000000-003"),
        ({"source": 7}, "sources without a pristine image: 000007"),
        ({"key": "000000-004"}, "keys that occur twice: 000000-004"),
    ],
)
def test_faults_are_named(tmp_path: Path, values: dict[str, object], message: str) -> None:
    samples = changed(shard(tmp_path), 3, **values)
    with pytest.raises(IngestError) as refused:
        ingest_members(load_manifest("photos"), samples, tmp_path)
    assert message in str(refused.value)


def test_equal_images_tie_two_sources(tmp_path: Path) -> None:
    samples = shard(tmp_path)
    first = samples.to_pylist()[2]
    twin = changed(samples, 20, **{key: first[key] for key in ("offset", "bytes", "sha256")})
    table = ingest_members(load_manifest("photos"), twin, tmp_path)
    assert set(table["group"].to_pylist()) == {"000000"} and "000000-002 = 000001-004" in notes_of(table)[0]
    assert not notes_of(ingest_members(load_manifest("photos"), shard(tmp_path, same_as_pristine=True), tmp_path))


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="columns lacking: sha256"):
        ingest_members(load_manifest("photos"), shard(tmp_path).drop_columns("sha256"), tmp_path)
