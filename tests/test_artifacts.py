"""The commit protocol: whole or not there, equal bytes for equal content, and no damage that goes unseen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import artifacts, folders
from pipeline.artifacts import ArtifactError, ShardMeta

PATTERN = r"part-\d{3}\.(tar|tar\.meta\.json|parquet)"


def commit(folder: Path, number: int, content: bytes = b"content", print_: str = "print") -> ShardMeta:
    path = folder / f"part-{number:03d}.tar"

    def write(temporary: Path) -> tuple[Sequence[str], dict[str, Path]]:
        temporary.write_bytes(content)
        table = path.with_name("part.parquet.1.tmp")
        table.write_bytes(b"table of " + content)
        return ["first", "last"], {path.with_suffix(".parquet").name: table}

    return artifacts.commit_shard(path, print_, write)


def committed(folder: Path, count: int = 3) -> list[ShardMeta]:
    shards = [commit(folder, number, b"x" * (number + 5)) for number in range(count)]
    artifacts.commit_manifest(folder, shards, PATTERN, {"set": "letters"})
    return shards


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- fingerprints


def test_a_fingerprint_depends_on_content_and_not_on_order() -> None:
    one = artifacts.fingerprint({"a": 1, "b": {"c": [1, 2.5, "x"], "d": None}})
    assert one == artifacts.fingerprint({"b": {"d": None, "c": [1, 2.5, "x"]}, "a": 1})
    assert one == artifacts.sha256_bytes(b'{"a":1,"b":{"c":[1,2.5,"x"],"d":null}}')
    others = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": [1]}, {"a": None}, {"a": True}, {"b": 1}, {}]
    assert len({artifacts.fingerprint(parts) for parts in others}) == len(others)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), {1, 2}, Path("x")])
def test_what_json_cannot_hold_makes_no_fingerprint(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        artifacts.fingerprint({"value": value})


def test_hashes_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert artifacts.sha256_file(tmp_path / "file") == artifacts.sha256_bytes(b"abc") == expected


# --- single files


def test_json_is_equal_bytes_for_equal_content(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "deep" / "a.json", {"b": 1, "a": [1.5, None]})
    artifacts.write_json(tmp_path / "deep" / "b.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "deep" / "a.json").read_bytes() == (tmp_path / "deep" / "b.json").read_bytes()
    assert artifacts.read_json(tmp_path / "deep" / "a.json") == {"a": [1.5, None], "b": 1}


def test_broken_json_is_named(tmp_path: Path) -> None:
    for content in (b"", b"{", b"\xff\xfe", b"{} {}", b"[" * 200_000, b"9" * 9000):
        (tmp_path / "m.json").write_bytes(content)
        with pytest.raises(ArtifactError, match="m.json: broken JSON"):
            artifacts.read_json(tmp_path / "m.json")
    with pytest.raises(ArtifactError, match="absent.json: missing"):
        artifacts.read_json(tmp_path / "absent.json")
    with pytest.raises(ValueError, match="JSON"):
        artifacts.write_json(tmp_path / "nan.json", {"a": float("nan")})
    assert names(tmp_path) == {"m.json"}


def failing_write(temporary: Path) -> None:
    temporary.write_bytes(b"half")
    raise RuntimeError("the disk is full")


@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(RuntimeError, match="disk is full"), artifacts.replacing(path) as temporary:
        failing_write(temporary)
    assert names(tmp_path) == (set() if before is None else {"file"})
    assert before is None or path.read_bytes() == before


def test_a_failing_rename_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        artifacts.write_bytes(tmp_path / "file", b"data")
    assert names(tmp_path) == {"file"}


# --- tables


def table(rows: int = 3000, dim: int = 8, start: int = 0) -> pa.Table:
    rng = np.random.default_rng(start)
    values = rng.random((rows, dim), dtype=np.float32)
    return pa.table(
        {
            "key": [f"{start + i:06d}" + "y" * 600 for i in range(rows)],
            "label": pa.array(range(start, start + rows), pa.int16()),
            "feature": pa.FixedSizeListArray.from_arrays(values.ravel(), dim),
        }
    )


@pytest.mark.parametrize("split", [(), ("feature",)])
def test_a_tables_bytes_do_not_tell_how_it_was_put_together(tmp_path: Path, split: tuple[str, ...]) -> None:
    whole = table()
    pieces = pa.concat_tables([whole.slice(start, 126) for start in range(0, len(whole), 126)])
    tail = pa.concat_tables([table(5), whole]).slice(5)
    hashes = set()
    for each in (whole, pieces, tail):
        artifacts.write_table(tmp_path / "t.parquet", each, byte_stream_split=split)
        hashes.add(artifacts.sha256_file(tmp_path / "t.parquet"))
        assert artifacts.read_table(tmp_path / "t.parquet").equals(whole)
    assert len(hashes) == 1


def test_tables_have_row_groups_of_1024_and_zstd(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    artifacts.write_table(tmp_path / "t.parquet", table(), byte_stream_split=("feature",))
    about = pq.read_metadata(tmp_path / "t.parquet")
    assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == [1024, 1024, 952]
    columns = {about.row_group(0).column(i).path_in_schema: about.row_group(0).column(i) for i in range(3)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert "BYTE_STREAM_SPLIT" in columns["feature.list.element"].encodings


def test_some_columns_can_be_read_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "t.parquet", table())
    assert artifacts.read_table(tmp_path / "t.parquet", ["label"]).column_names == ["label"]
    with pytest.raises(ArtifactError, match="t.parquet: no column mos"):
        artifacts.read_table(tmp_path / "t.parquet", ["label", "mos"])


def test_a_table_without_rows_survives(tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "t.parquet", table().slice(0, 0))
    assert artifacts.read_table(tmp_path / "t.parquet").schema.equals(table().schema)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(ArtifactError, match="t.parquet: missing"):
        artifacts.read_table(path)
    artifacts.write_table(path, table(40))
    whole = path.read_bytes()
    for cut in (0, 3, 12, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArtifactError, match="t.parquet: not a readable Parquet table"):
            artifacts.read_table(path)


def test_a_flipped_bit_in_the_pages_of_a_table_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    artifacts.write_table(path, table(40))
    whole, expected = path.read_bytes(), table(40)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place in range(4, footer, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            assert artifacts.read_table(path).equals(expected)  # a header's statistics are not read
        except ArtifactError:
            pass


# --- locks


def test_a_second_writer_stops_and_names_the_first(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.folders import folder_lock\n"
        "with folder_lock(Path('data/x'), Path('locks')):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == "held\n"
        for spelling in (tmp_path / "data/x", tmp_path / "data/../data/x"):
            with pytest.raises(ArtifactError, match=f"another run is writing here \\(pid {holder.pid}\\)"):
                with folders.folder_lock(spelling, tmp_path / "locks"):
                    pass
        with folders.folder_lock(tmp_path / "data/y", tmp_path / "locks"):
            pass
        holder.kill()
        holder.wait()
    with folders.folder_lock(tmp_path / "data/x", tmp_path / "locks"):
        pass  # the lock went with its process


def test_the_folders_of_a_project_far_down_have_locks_of_their_own(tmp_path: Path) -> None:
    far = tmp_path / ("a long name of a folder " * 5) / ("and another one in it " * 5)
    with folders.folder_lock(far / "data/x", tmp_path), folders.folder_lock(far / "data/y", tmp_path):
        with (
            pytest.raises(ArtifactError, match="another run is writing here"),
            folders.folder_lock(far / "data/x", tmp_path),
        ):
            pass


def test_the_lock_is_given_back_and_lies_outside_the_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), folders.folder_lock(tmp_path / "data", tmp_path / "locks"):
            raise KeyError
    assert names(tmp_path) == {"locks"}


def test_one_process_cannot_take_it_twice(tmp_path: Path) -> None:
    with folders.folder_lock(tmp_path / "data", tmp_path / "locks"):
        with pytest.raises(ArtifactError, match=f"pid {os.getpid()}"):
            with folders.folder_lock(tmp_path / "data", tmp_path / "locks"):
                pass


# --- shards and manifests


def test_a_committed_shard_is_current_and_its_record_says_what_it_is(tmp_path: Path) -> None:
    meta = commit(tmp_path, 1)
    path = tmp_path / "part-001.tar"
    assert artifacts.read_meta(path) == meta
    assert (meta.bytes, meta.samples, meta.first_key, meta.last_key) == (7, 2, "first", "last")
    assert meta.sha256 == artifacts.sha256_bytes(b"content")
    assert meta.sidecars == {"part-001.parquet": artifacts.sha256_bytes(b"table of content")}
    assert artifacts.is_current(path, "print")
    assert not artifacts.is_current(path, "another print")
    assert names(tmp_path) == {"part-001.tar", "part-001.parquet", "part-001.tar.meta.json"}


def test_whatever_is_off_makes_a_shard_stale(tmp_path: Path) -> None:
    path = tmp_path / "part-001.tar"
    damages: list[Callable[[], object]] = [
        path.unlink,
        artifacts.meta_path(path).unlink,
        (tmp_path / "part-001.parquet").unlink,
        lambda: path.write_bytes(b"contenT"),
        lambda: path.write_bytes(b"conten"),
        lambda: (tmp_path / "part-001.parquet").write_bytes(b"tablE of content"),
        lambda: artifacts.meta_path(path).write_text("{}"),
        lambda: artifacts.meta_path(path).write_text("[]"),
    ]
    for damage in damages:
        commit(tmp_path, 1)
        assert artifacts.is_current(path, "print")
        damage()
        assert not artifacts.is_current(path, "print")


def test_a_failing_shard_leaves_nothing_under_a_final_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="disk is full"):
        artifacts.commit_shard(tmp_path / "part-000.tar", "print", failing_write)  # type: ignore[arg-type]
    assert names(tmp_path) == set()
    commit(tmp_path, 0)
    with pytest.raises(RuntimeError, match="disk is full"):
        artifacts.commit_shard(tmp_path / "part-000.tar", "other", failing_write)  # type: ignore[arg-type]
    assert not artifacts.is_current(tmp_path / "part-000.tar", "print")  # half replaced: it is made again
    assert ".tmp" not in " ".join(names(tmp_path))


def test_a_shard_without_samples_is_refused(tmp_path: Path) -> None:
    def write(temporary: Path) -> tuple[Sequence[str], dict[str, Path]]:
        temporary.write_bytes(b"")
        return [], {}

    with pytest.raises(ArtifactError, match="part-000.tar: a shard without samples"):
        artifacts.commit_shard(tmp_path / "part-000.tar", "print", write)
    assert names(tmp_path) == set()


def test_the_manifest_lists_the_shards_and_what_the_stage_adds(tmp_path: Path) -> None:
    shards = committed(tmp_path)
    content, listed = artifacts.read_manifest(tmp_path)
    assert listed == shards
    assert (content["set"], content["samples"], content["bytes"]) == ("letters", 6, 18)
    before = (tmp_path / "manifest.json").read_bytes()
    committed(tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_surplus_of_the_own_pattern_goes_and_nothing_else(tmp_path: Path) -> None:
    committed(tmp_path, 4)
    foreign = {"notes.txt", "notes.tmp", "part-9.tar", "other-000.tar", "sources.parquet", "part-003.tar.bak"}
    left = {"part-001.tar.123.tmp", "part-001.parquet.45.tmp", "manifest.json.77.tmp", "sources.parquet.5.tmp"}
    for name in foreign | left:
        (tmp_path / name).touch()
    shards = [commit(tmp_path, number) for number in range(2)]
    artifacts.commit_manifest(tmp_path, shards, PATTERN, {})
    own = {f"part-{n:03d}{end}" for n in range(2) for end in (".tar", ".tar.meta.json", ".parquet")}
    assert names(tmp_path) == own | foreign | {"manifest.json"}


def test_the_manifest_reader_names_what_is_missing_cut_or_listed_wrongly(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="manifest.json: missing"):
        artifacts.read_manifest(tmp_path)
    for spoil, message in (
        (lambda: (tmp_path / "part-001.tar").unlink(), "part-001.tar: listed in the manifest and missing"),
        (lambda: (tmp_path / "part-002.parquet").unlink(), "part-002.parquet: listed in the manifest and missing"),
        (lambda: (tmp_path / "part-001.tar").write_bytes(b"x" * 5), "part-001.tar: 5 bytes on disk, 6 in the manifest"),
        (lambda: (tmp_path / "part-001.tar").write_bytes(b"x" * 9), "part-001.tar: 9 bytes on disk, 6 in the manifest"),
        (lambda: (tmp_path / "manifest.json").write_text("[]"), "manifest.json: damaged or edited by hand"),
        (lambda: (tmp_path / "manifest.json").write_text("{}"), "manifest.json: damaged or edited by hand"),
        (lambda: (tmp_path / "manifest.json").write_text("{"), "manifest.json: broken JSON"),
    ):
        committed(tmp_path)
        spoil()
        with pytest.raises(ArtifactError, match=message):
            artifacts.read_manifest(tmp_path)


def test_a_file_of_the_whole_folder_is_held_against_the_manifest(tmp_path: Path) -> None:
    shards, path = committed(tmp_path), tmp_path / "all.parquet"
    path.write_bytes(b"table")
    sidecars = {path.name: artifacts.sha256_file(path)}
    artifacts.commit_manifest(tmp_path, shards, PATTERN, {}, sidecars)
    assert artifacts.read_manifest(tmp_path)[1] == shards
    for content, message in (
        (b"tablE", r"all.parquet: damaged \(its sha256 is not the manifest's\)"),
        (b"tab", r"all.parquet: damaged \(its sha256 is not the manifest's\)"),
        (None, "all.parquet: listed in the manifest and missing"),
    ):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(ArtifactError, match=message):
            artifacts.read_manifest(tmp_path)
    for companions in ([], {"../all.parquet": ""}, {"a/b": ""}):
        artifacts.commit_manifest(tmp_path, shards, PATTERN, {"companions": companions})
        with pytest.raises(ArtifactError, match="manifest.json: not a manifest"):
            artifacts.read_manifest(tmp_path)


def test_a_shard_that_the_manifest_does_not_list_is_not_read(tmp_path: Path) -> None:
    committed(tmp_path)
    commit(tmp_path, 7)
    assert [shard.name for shard in artifacts.read_manifest(tmp_path)[1]] == [f"part-{n:03d}.tar" for n in range(3)]


def test_an_edited_record_is_refused(tmp_path: Path) -> None:
    committed(tmp_path)
    path = tmp_path / "part-000.tar.meta.json"
    for key, value in (("samples", 3), ("last_key", "x"), ("fingerprint", "x"), ("more", 1)):
        content = json.loads(path.read_text())
        artifacts.write_json(path, {**content, key: value})
        with pytest.raises(ArtifactError, match="part-000.tar.meta.json: damaged or edited by hand"):
            artifacts.read_meta(tmp_path / "part-000.tar")
        artifacts.write_json(path, content)
    assert artifacts.read_meta(tmp_path / "part-000.tar").samples == 2


def test_a_flipped_bit_of_a_record_is_seen(tmp_path: Path) -> None:
    committed(tmp_path, 1)
    shard = tmp_path / "part-000.tar"
    for path, read in (
        (artifacts.meta_path(shard), lambda: artifacts.read_meta(shard)),
        (tmp_path / "manifest.json", lambda: artifacts.read_manifest(tmp_path)),
    ):
        whole, expected = path.read_bytes(), read()
        for bit in range(0, 8 * len(whole), 11):
            place, flipped = bit // 8, whole[bit // 8] ^ (1 << bit % 8)
            path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
            try:
                assert read() == expected
            except ArtifactError:
                continue
        path.write_bytes(whole)


# --- space


def test_space_is_asked_for_before_and_what_is_there_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_bavail, f_frsize = 100, 10

    monkeypatch.setattr(os, "statvfs", lambda _: Disk)
    folders.require_space(tmp_path / "new", 990, "a walk")
    with pytest.raises(ArtifactError, match="new: a walk needs about 0.0 GB, 0.0 GB are free"):
        folders.require_space(tmp_path / "new", 991, "a walk")
    (tmp_path / "new" / "shard").write_bytes(bytes(500))
    folders.require_space(tmp_path / "new", 1400, "a walk")
