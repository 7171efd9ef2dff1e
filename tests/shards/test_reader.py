"""Reading: every read checked, and other people's tools see the same samples."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import artifacts, images
from pipeline.artifacts import ArtifactError
from pipeline.shards import plan, reader
from pipeline.shards.reader import ShardSet
from tests.shards import stand_in


@pytest.fixture(scope="session")
def distorted(undisturbed: Path) -> ShardSet:
    return ShardSet(undisturbed / "distorted")


# --- the set


def test_columns_have_their_types(distorted: ShardSet) -> None:
    assert len(distorted) == 630 == len(distorted.keys)
    assert distorted.labels.dtype == np.int16 and distorted.labels.shape == (630,)
    assert distorted.sources.dtype == np.int32
    assert distorted.shapes.shape == (630, 2) and set(map(tuple, distorted.shapes.tolist())) == {(16, 16), (18, 16)}
    assert distorted.codec == "qoi"


def test_reads_are_the_members_of_the_tars(distorted: ShardSet) -> None:
    members = {}
    for shard in distorted.shards:
        with tarfile.open(distorted.folder / shard.name) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.mode, member.uname) == (0, 0, 0, 0o444, "")
                members[member.name] = tar.extractfile(member).read()
    assert len(members) == 3 * 630
    for index, key in enumerate(distorted.keys):
        assert distorted.read(index) == members[f"{key}.qoi"]
        assert int(members[f"{key}.cls"]) == distorted.labels[index]
        about = json.loads(members[f"{key}.json"])
        assert (about["set"], about["source"], about["label"]) == ("noise", distorted.sources[index], int(key[-3:]))
        assert members[f"{key}.json"].decode() == distorted.table["record"][index].as_py()


def test_a_view_is_the_read_without_a_copy(distorted: ShardSet) -> None:
    view = distorted.view(3)
    assert view.readonly and view == distorted.read(3) and isinstance(distorted.read(3), bytes)
    assert (
        view.obj
        is distorted.view(
            next(i for i in range(4, 99) if distorted.table["shard"][i] == distorted.table["shard"][3])
        ).obj
    )
    assert distorted.key(3) == distorted.keys[3]


def test_open_files_do_not_grow_with_the_number_of_shards(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "OPEN_SHARDS", 2)
    shards = ShardSet(copy / "distorted")
    assert len(shards.shards) == 6
    order = np.random.default_rng(0).permutation(len(shards)).tolist()
    expected, view = [shards.read(index) for index in order], shards.view(order[0])
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shards.read, order)) == expected
    assert view == expected[0]  # the set has closed its shard, and the view keeps it
    assert 2 <= len(open_files(shards.folder)) <= 3
    child = get_context("fork").Process(target=lambda: sys.exit(list(map(shards.read, order)) != expected))
    child.start()
    child.join()
    assert child.exitcode == 0


def open_files(folder: Path) -> list[str]:
    """The files in ``folder`` that this process has open."""
    files = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [file for file in files if file.startswith(str(folder.resolve()))]


@pytest.mark.parametrize(("limit", "expected"), [(100, 25), (1024, 256), (20, 8), (-1, 256)])
def test_fewer_shards_are_open_where_few_files_may_be(
    limit: int, expected: int, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader.resource, "getrlimit", lambda _: (limit, limit))
    assert ShardSet(undisturbed / "sources")._map.cache_parameters()["maxsize"] == expected


def test_a_pickled_set_is_its_folder(distorted: ShardSet) -> None:
    distorted.read(0)
    data = pickle.dumps(distorted)
    assert len(data) < 500
    other = pickle.loads(data)
    assert other.keys == distorted.keys and other.read(629) == distorted.read(629)


def test_the_fingerprint_follows_the_shards(undisturbed: Path, copy: Path) -> None:
    before = ShardSet(copy / "sources").fingerprint
    assert before == ShardSet(undisturbed / "sources").fingerprint
    stand_in.source_stage(copy / "sources", size=20)
    assert ShardSet(copy / "sources").fingerprint != before


def test_the_source_table_hashes_pixels(undisturbed: Path) -> None:
    sources = ShardSet(undisturbed / "sources")
    for index, row in enumerate(sources.table.to_pylist()):
        image = sources.image(index)
        assert row["sha256"] == artifacts.sha256_bytes(image.tobytes())
        assert row["phash"] == images.perceptual_hash(image)
        assert json.loads(row["recipe"]) == {"id": f"noise-{index}", "seed": 7}


# --- damage


def test_a_shard_cut_at_any_block_is_refused_by_name(copy: Path) -> None:
    folder = copy / "sources"
    path = folder / "sources-00001.tar"
    whole = path.read_bytes()
    assert len(whole) // 512 <= 40
    cuts = {block * 512 + off for block in range(len(whole) // 512 + 1) for off in (-1, 0, 1)}
    for cut in sorted(cut for cut in cuts if 0 <= cut < len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ArtifactError, match=f"sources-00001.tar: {cut} bytes on disk, {len(whole)} in the mani"):
            ShardSet(folder)
        assert not artifacts.is_current(path, artifacts.read_meta(path).fingerprint)
    path.write_bytes(whole)
    assert len(ShardSet(folder)) == 5


def test_a_flipped_bit_of_an_image_is_refused_by_its_key(undisturbed: Path, copy: Path) -> None:
    good, folder = ShardSet(undisturbed / "sources"), copy / "sources"
    path = folder / "sources-00000.tar"
    whole, seen = path.read_bytes(), 0
    random = np.random.default_rng(0)
    for bit in random.choice(8 * len(whole), 150, replace=False):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        assert not artifacts.is_current(path, good.shards[0].fingerprint)
        read = ShardSet(folder)
        for index in (0, 1):
            try:
                assert np.array_equal(read.image(index), good.image(index))
            except ArtifactError as error:
                assert f"sources-00000.tar: sample 00000{index} is damaged (crc32)" in str(error)
                seen += 1
    assert seen > 5


def test_a_flipped_bit_of_a_sample_table_is_refused_by_name(copy: Path) -> None:
    folder = copy / "sources"
    path = folder / "sources-00002.parquet"
    whole = path.read_bytes()
    for place in range(0, len(whole), 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ArtifactError, match="sources-00002.parquet: damaged"):
            ShardSet(folder)


def test_a_shard_swapped_for_another_of_its_size_is_refused(copy: Path) -> None:
    folder = copy / "sources"
    (folder / "sources-00000.tar").write_bytes((folder / "sources-00001.tar").read_bytes())
    swapped = ShardSet(folder)  # sizes agree: it is the reads that are checked
    with pytest.raises(ArtifactError, match="sample 000000 is damaged"):
        swapped.image(0)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    artifacts.commit_manifest(tmp_path, [], plan.SOURCE_PATTERN, {"codec": "qoi"})
    with pytest.raises(ArtifactError, match="the manifest lists no shards"):
        ShardSet(tmp_path)


# --- other people's tools


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_plain_webdataset_streams_the_same_samples(distorted: ShardSet) -> None:
    import webdataset

    urls = [str(distorted.folder / shard.name) for shard in distorted.shards]
    stream = webdataset.WebDataset(urls, shardshuffle=False).decode(webdataset.handle_extension("qoi", pillow))
    samples = list(stream)
    assert [sample["__key__"] for sample in samples] == distorted.keys
    assert [sample["cls"] for sample in samples] == distorted.labels.tolist()
    for index in range(0, len(samples), 37):
        np.testing.assert_array_equal(samples[index]["qoi"], distorted.image(index))
        assert samples[index]["json"]["source"] == distorted.sources[index]


@pytest.mark.parametrize("codec", ["png", "webp"])
def test_webdataset_decodes_the_usual_codecs_by_itself(codec: str, tmp_path: Path) -> None:
    import webdataset

    stand_in.source_stage(tmp_path, count=2, codec=codec)
    (sample, _) = webdataset.WebDataset(str(tmp_path / "sources-00000.tar"), shardshuffle=False).decode("rgb8")
    np.testing.assert_array_equal(sample[codec], ShardSet(tmp_path).image(0))


def test_hugging_face_datasets_reads_the_same_samples(distorted: ShardSet, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    urls = [str(distorted.folder / shard.name) for shard in distorted.shards]
    read = datasets.load_dataset("webdataset", data_files={"train": urls}, split="train", cache_dir=str(tmp_path))
    assert read["__key__"][:] == distorted.keys
    assert [int(label) for label in read["cls"]] == distorted.labels.tolist()
    for index in range(0, len(read), 61):
        np.testing.assert_array_equal(pillow(read[index]["qoi"]), distorted.image(index))


def test_the_sample_table_opens_in_pandas_duckdb_and_polars(distorted: ShardSet) -> None:
    import duckdb
    import pandas
    import polars

    pattern, names = str(distorted.folder / "*.parquet"), distorted.table.column_names
    frame = pandas.concat(pandas.read_parquet(path) for path in sorted(distorted.folder.glob("*.parquet")))
    assert list(frame.columns) == names and frame["key"].tolist() == distorted.keys
    assert frame["label"].dtype == np.int16
    lazy = polars.read_parquet(pattern)
    assert lazy.columns == names and lazy["label"].to_list() == distorted.labels.tolist()
    rows = duckdb.sql(f"select count(*), count(distinct key), sum(bytes), max(crc32) from '{pattern}'").fetchall()
    assert rows == [(630, 630, frame["bytes"].sum(), frame["crc32"].max())]


def test_every_column_says_what_it_is(distorted: ShardSet, undisturbed: Path) -> None:
    for table in (distorted.table, ShardSet(undisturbed / "sources").table):
        for field in table.schema:
            assert field.metadata[b"description"], field.name
