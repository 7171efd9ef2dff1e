"""Samples that cannot be made: counted, named, and over the threshold the end of the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import ArtifactError
from pipeline.engine import Engine
from pipeline.labels import CLASSES
from pipeline.shards.reader import ShardSet
from pipeline.shards.stream import ShardStream
from pipeline.verify import checks, problems
from tests.shards import stand_in
from tests.shards.stand_in import content

FAILING = (1, 4)  # the sources that the bank below fails on


def picky(image: np.ndarray, random: np.random.Generator) -> Iterator[stand_in.Made]:
    """The stand-in's bank, but label 47 of some sources comes out as floats, which no encoder takes."""
    bad = any(np.array_equal(image, stand_in.NoiseSet(5).make(source)[0]) for source in FAILING)
    for made in stand_in.bank(image, random):
        spoilt = made.image / 255 if bad and made.label == 47 else made.image
        yield stand_in.Made(made.label, made.type, made.level, spoilt, made.record)


def hopeless(image: np.ndarray, random: np.random.Generator) -> Iterator[stand_in.Made]:
    """No class of no source."""
    raise ValueError("not this one")
    yield


def short(image: np.ndarray, random: np.random.Generator) -> Iterator[stand_in.Made]:
    """The first three classes alone."""
    yield from itertools.islice(stand_in.bank(image, random), 3)


def out_of_memory(image: np.ndarray, random: np.random.Generator) -> Iterator[stand_in.Made]:
    """A machine that is too small: no fault of the sample."""
    raise MemoryError("no room")
    yield


def test_without_a_threshold_the_first_one_stops_the_run_and_is_named(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected dtype uint8, got float64") as caught:
        stand_in.distort_stage(undisturbed / "sources", tmp_path, made_by=picky)
    assert caught.value.__notes__ == [
        "while distorting set noise, source 1, type 10, level 2, key 000001-047, seed 11; to replay it: "
        "synthetic-iqa remake --set noise --key 000001-047 --seed 11 --out 000001-047.png"
    ]
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_up_to_the_threshold_they_are_left_out_whole_and_the_manifest_names_them(
    engine: str, undisturbed: Path, tmp_path: Path
) -> None:
    stand_in.source_stage(tmp_path / "sources", count=4)
    folder = tmp_path / "distorted"
    stand_in.distort_stage(tmp_path / "sources", folder, Engine(engine, 2), made_by=picky, max_failed_sources=1)
    read, good = ShardSet(folder), ShardSet(undisturbed / "distorted")
    why = "type 10, level 2: ImageError: image: expected dtype uint8, got float64"
    assert read.manifest["poisoned"] == {"000001": why}
    assert read.manifest["samples"] == len(read) == 3 * CLASSES
    assert sorted(set(read.sources.tolist())) == [0, 2, 3]
    assert np.array_equal(np.bincount(read.labels), np.full(CLASSES, 3))
    place = {key: row for row, key in enumerate(good.keys)}
    assert all(read.read(row) == good.read(place[key]) for row, key in enumerate(read.keys))
    assert [text for check in checks(folder) for text in problems(check)] == []


def test_more_of_them_than_allowed_in_the_whole_set_fail_the_stage(tmp_path: Path) -> None:
    stand_in.source_stage(tmp_path / "sources", count=6)
    folder = tmp_path / "distorted"
    expected = r"distort.max_failed_sources: 1 allowed, 2 sources cannot be distorted: 000001 .*; 000004 "
    with pytest.raises(ArtifactError, match=expected):
        stand_in.distort_stage(tmp_path / "sources", folder, made_by=picky, max_failed_sources=1)
    assert not (folder / "manifest.json").exists()
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    stand_in.distort_stage(tmp_path / "sources", folder, made_by=picky, max_failed_sources=2)  # nothing is made again
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert sorted(artifacts.read_manifest(folder)[0]["poisoned"]) == ["000001", "000004"]
    with pytest.raises(ArtifactError, match="0 allowed, 2 sources cannot be distorted"):  # a threshold lowered later
        stand_in.distort_stage(tmp_path / "sources", folder, made_by=picky)


@pytest.mark.parametrize("block", [1, 2])
def test_a_block_with_nothing_left_has_no_shard_and_its_sources_are_named(
    block: int, undisturbed: Path, tmp_path: Path
) -> None:
    """Sources 1 and 4 alone in their blocks, or 4 alone: everyone who reads sees the shards of the others only."""
    sources, knobs = undisturbed / "sources", {"block": block, "max_failed_sources": 2}
    stand_in.distort_stage(sources, tmp_path / "a", **knobs)  # where a healthy set lay before
    for record in (tmp_path / "a").glob("*.meta.json"):
        record.unlink()  # as another FORMAT does
    stand_in.distort_stage(sources, tmp_path / "a", made_by=picky, **knobs)
    read = ShardSet(tmp_path / "a")
    assert sorted(read.manifest["poisoned"]) == ["000001", "000004"]
    assert "type 10, level 2: ImageError" in read.manifest["poisoned"]["000004"]
    assert sorted(set(read.sources.tolist())) == [0, 2, 3] and len(read) == 3 * CLASSES
    gone = {f"distorted-{number:05d}.tar" for number in ([2, 3, 8, 9] if block == 1 else [4, 5])}
    assert not gone & {shard.name for shard in read.shards} and all(shard.samples for shard in read.shards)
    assert not any(path.name.startswith(tuple(name[:15] for name in gone)) for path in read.folder.iterdir())
    assert [text for check in checks(read.folder) for text in problems(check)] == []
    streamed = ShardStream(read.folder.as_uri())
    assert sorted(sample.key for sample in streamed.epoch(0, 0)) == sorted(read.keys)

    before = content(read.folder)
    times = {path: path.stat().st_mtime_ns for path in read.folder.glob("*.tar")}
    stand_in.distort_stage(sources, tmp_path / "a", Engine("processes", 2), made_by=picky, **knobs)
    assert content(read.folder) == before and {path: path.stat().st_mtime_ns for path in times} == times
    with pytest.raises(
        ArtifactError, match="distort.max_failed_sources: 1 allowed, 2 sources cannot be distorted: 000001"
    ):
        stand_in.distort_stage(sources, tmp_path / "a", made_by=picky, block=block, max_failed_sources=1)
    for record in read.folder.glob("*.meta.json"):
        record.unlink()
    stand_in.distort_stage(sources, tmp_path / "a", **knobs)  # whole again, once they can be made
    stand_in.distort_stage(sources, tmp_path / "b", **knobs)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_set_with_nothing_left_is_an_error(tmp_path: Path) -> None:
    stand_in.source_stage(tmp_path / "sources", count=2)
    expected = "5 allowed, 2 sources cannot be distorted and none is left: 000000 .*; 000001 "
    with pytest.raises(ArtifactError, match=expected):
        stand_in.distort_stage(tmp_path / "sources", tmp_path / "a", made_by=hopeless, max_failed_sources=5)
    assert not (tmp_path / "a" / "manifest.json").exists()


def test_a_bank_that_ends_early_is_an_error_of_the_class_that_is_missing(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        stand_in.distort_stage(undisturbed / "sources", tmp_path, made_by=short)
    assert "source 0, type 1, level 3, key 000000-003" in caught.value.__notes__[0]


def test_what_is_not_the_samples_fault_always_stops_the_run(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(MemoryError, match="no room"):
        stand_in.distort_stage(undisturbed / "sources", tmp_path, made_by=out_of_memory, max_failed_sources=5)


def test_the_bank_once_mended_gives_the_bytes_of_a_run_without_failures(undisturbed: Path, tmp_path: Path) -> None:
    stand_in.source_stage(tmp_path / "sources", count=4)
    stand_in.distort_stage(tmp_path / "sources", tmp_path / "a", made_by=picky, max_failed_sources=1)
    for record in (tmp_path / "a").glob("*.meta.json"):  # a mended bank has another FORMAT, so all of it is made again
        record.unlink()
    stand_in.distort_stage(tmp_path / "sources", tmp_path / "a", max_failed_sources=1)
    stand_in.distort_stage(tmp_path / "sources", tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.parametrize("first", [True, False], ids=["first failing", "then failing"])
def test_a_source_is_in_all_its_shards_or_in_none_when_one_is_made_again(first: bool, tmp_path: Path) -> None:
    """As after an error that comes and goes (a codec short of memory), and a shard that was lost meanwhile."""
    stand_in.source_stage(tmp_path / "sources", count=4)
    then, now = (picky, stand_in.bank) if first else (stand_in.bank, picky)
    stand_in.distort_stage(tmp_path / "sources", tmp_path / "a", made_by=then, max_failed_sources=1)
    (tmp_path / "a" / "distorted-00001.tar").unlink()
    stand_in.distort_stage(tmp_path / "sources", tmp_path / "a", made_by=now, max_failed_sources=1)
    stand_in.distort_stage(tmp_path / "sources", tmp_path / "b", made_by=now, max_failed_sources=1)
    assert content(tmp_path / "a") == content(tmp_path / "b")
