"""Shards end with the same bytes whatever the engine, the workers and the accidents; what is right is kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import ArtifactError
from pipeline.engine import Engine
from pipeline.labels import CLASSES
from pipeline.shards import plan
from pipeline.shards.distorted_shards import build_distorted
from pipeline.shards.reader import ShardSet
from tests import profile
from tests.faults.crash import wait_until
from tests.shards import stand_in
from tests.shards.stand_in import content

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_processes_give_the_bytes_of_serial(workers: int, undisturbed: Path, tmp_path: Path) -> None:
    stand_in.both(tmp_path, Engine("processes", workers))
    assert content(tmp_path) == content(undisturbed)


def test_ray_gives_the_bytes_of_serial(ray_cluster: str, undisturbed: Path, tmp_path: Path) -> None:
    stand_in.both(tmp_path, Engine("ray", 2, ray_cluster))
    assert content(tmp_path) == content(undisturbed)


def test_the_folders_hold_what_they_should(undisturbed: Path) -> None:
    ends = (".tar", ".tar.meta.json", ".parquet")
    sources = {f"sources-{number:05d}{end}" for number in range(3) for end in ends}
    distorted = {f"distorted-{number:05d}{end}" for number in range(6) for end in ends}
    assert {path.name for path in (undisturbed / "sources").iterdir()} == sources | {"manifest.json", "sources.parquet"}
    assert {path.name for path in (undisturbed / "distorted").iterdir()} == distorted | {"manifest.json"}


def test_every_class_of_every_source_is_there_once_and_right(undisturbed: Path) -> None:
    sources, distorted = ShardSet(undisturbed / "sources"), ShardSet(undisturbed / "distorted")
    assert len(distorted) == 5 * CLASSES == distorted.manifest["samples"]
    places = list(zip(distorted.sources.tolist(), distorted.labels.tolist(), strict=True))
    assert len(set(places)) == len(places)
    assert distorted.keys == [plan.sample_key(source, label) for source, label in places]
    rows = distorted.table.to_pylist()
    made = {
        (source, made.label): made
        for source in range(5)
        for made in stand_in.bank(sources.image(source), stand_in.generator(11, "distort/noise", source))
    }
    for index, (place, row) in enumerate(zip(places, rows, strict=True)):
        np.testing.assert_array_equal(distorted.image(index), made[place].image)
        assert (row["type"], row["level"]) == (made[place].type, made[place].level)
        assert f'"parameter":{made[place].record["parameter"]}' in row["record"]
        assert (row["height"], row["width"]) == made[place].image.shape[:2]


def test_classes_are_shuffled_within_their_block(undisturbed: Path) -> None:
    places = ShardSet(undisturbed / "distorted").sources
    assert set(places[: 2 * CLASSES]) == {0, 1}
    assert 40 < np.count_nonzero(places[:CLASSES] == 0) < 86
    assert np.count_nonzero(np.diff(places[: 2 * CLASSES])) > 80


def test_raw_keeps_the_file_as_label_zero(undisturbed: Path, tmp_path: Path) -> None:
    def shifted(image: np.ndarray, random: np.random.Generator):
        for made in stand_in.bank(image, random):
            yield stand_in.Made(made.label, made.type, made.level, made.image + np.uint8(1), made.record)

    for pristine, difference in (("raw", 0), ("stretched", 1)):
        knobs = {"pristine": pristine, "made_by": shifted}
        task = stand_in.distort_tasks(undisturbed / "sources", tmp_path / pristine, **knobs)[0]
        artifacts.commit_manifest(tmp_path / pristine, build_distorted(task), plan.DISTORTED_PATTERN, {"codec": "qoi"})
        built = ShardSet(tmp_path / pristine)
        image = built.image(built.keys.index("000000-000"))
        np.testing.assert_array_equal(image - ShardSet(undisturbed / "sources").image(0), np.uint8(difference))


def test_a_second_run_touches_no_shard(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*-*")}
    stand_in.both(copy)
    assert len(before) == 27
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*-*")} == before


def test_growing_the_sources_keeps_the_shards_that_are_right(undisturbed: Path, copy: Path, tmp_path: Path) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in copy.rglob("*")}
    stand_in.both(copy, count=8)
    kept = {path.name for path in copy.rglob("*-*") if path.stat().st_mtime_ns == times.get(path.name)}
    full = [f"sources-{n:05d}" for n in (0, 1)] + [f"distorted-{n:05d}" for n in range(4)]  # of sources 0..3
    assert kept == {name + end for name in full for end in (".tar", ".tar.meta.json", ".parquet")}
    stand_in.both(tmp_path / "new", count=8)
    assert content(copy) == content(tmp_path / "new")


def test_fewer_sources_leave_no_surplus(copy: Path, tmp_path: Path) -> None:
    stand_in.both(copy, count=3)
    stand_in.both(tmp_path / "new", count=3)
    assert content(copy) == content(tmp_path / "new")


def test_another_image_size_rebuilds_everything(copy: Path, tmp_path: Path) -> None:
    stand_in.both(copy, size=20)
    stand_in.both(tmp_path / "new", size=20)
    assert content(copy) == content(tmp_path / "new")
    assert set(ShardSet(copy / "distorted").shapes[:, 1].tolist()) == {20}


@pytest.mark.parametrize("knobs", [{"seed": 12}, {"codec": "png"}, {"pristine": "raw"}, {"shards": 3}], ids=str)
def test_whatever_changes_bytes_rebuilds(knobs: dict, copy: Path, tmp_path: Path) -> None:
    before = ShardSet(copy / "distorted").shards
    stand_in.distort_stage(copy / "sources", copy / "distorted", **knobs)
    stand_in.distort_stage(copy / "sources", tmp_path / "new", **knobs)
    assert content(copy / "distorted") == content(tmp_path / "new")
    after = ShardSet(copy / "distorted").shards
    assert not {shard.fingerprint for shard in before} & {shard.fingerprint for shard in after}


def test_a_new_library_version_rebuilds(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = stand_in.distort_tasks(copy / "sources", copy / "distorted")
    before = build_distorted(tasks[0])
    monkeypatch.setattr("pipeline.shards.writer.versions", lambda: {"format": 1, "libraries": {"numpy": "99"}})
    after = build_distorted(tasks[0])
    assert [m.sha256 for m in before] == [m.sha256 for m in after]
    assert not {m.fingerprint for m in before} & {m.fingerprint for m in after}


def test_a_damaged_shard_is_made_again_and_its_neighbour_kept(undisturbed: Path, copy: Path) -> None:
    folder = copy / "distorted"
    first, second = folder / "distorted-00000.tar", folder / "distorted-00001.tar"
    data, kept = bytearray(second.read_bytes()), first.stat().st_mtime_ns
    data[5000] ^= 1
    second.write_bytes(data)
    stand_in.both(copy)
    assert content(copy) == content(undisturbed)
    assert first.stat().st_mtime_ns == kept


def test_sources_that_changed_under_a_run_are_refused(copy: Path) -> None:
    tasks = stand_in.distort_tasks(copy / "sources", copy / "new")
    stand_in.source_stage(copy / "sources", size=20)
    with pytest.raises(ArtifactError, match="sources: source 0 is not what it was when this run began"):
        build_distorted(tasks[0])


def test_an_error_says_which_source_it_was(undisturbed: Path, tmp_path: Path) -> None:
    tasks = stand_in.distort_tasks(undisturbed / "sources", tmp_path, made_by=explode)
    with pytest.raises(ZeroDivisionError) as caught:
        build_distorted(tasks[1])
    assert caught.value.__notes__ == [
        "while distorting set noise, source 2, type 0, level 0, key 000002-000, seed 11; to replay it: "
        "synthetic-iqa remake --set noise --key 000002-000 --seed 11 --out 000002-000.png"
    ]
    assert not list(tmp_path.iterdir())


def explode(image: np.ndarray, random: np.random.Generator):
    """A bank with a bug."""
    yield from (1 / 0 for _ in range(1))


def test_the_build_killed_half_way_ends_with_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    """Killed when one of the three blocks stands still in the middle and the others are done."""
    shutil.copytree(undisturbed / "sources", tmp_path / "sources")
    profile.write("tiny", tmp_path / "params.yaml")
    distorted, held = tmp_path / "distorted", tmp_path / "held"
    command = [sys.executable, "-m", "tests.faults.stop", str(tmp_path), "processes", ""]
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}) as run:

        def there() -> bool:
            return run.poll() is not None or (held.exists() and len(list(distorted.glob("*.meta.json"))) == 4)

        try:
            wait_until(there, "the end of two blocks")
        finally:
            run.kill()
    assert run.returncode == -signal.SIGKILL
    assert not (distorted / "manifest.json").exists()
    with pytest.raises(ArtifactError, match="manifest.json: missing"):
        ShardSet(distorted)
    (distorted / "distorted-00004.tar.1.tmp").write_bytes(b"what a killed writer leaves behind")
    kept = {path.name: path.stat().st_mtime_ns for path in distorted.glob("*.tar") if has_record(path)}
    assert len(kept) == 4
    stand_in.distort_stage(tmp_path / "sources", distorted)
    assert content(distorted) == content(undisturbed / "distorted")
    assert {name: (distorted / name).stat().st_mtime_ns for name in kept} == kept


def has_record(shard: Path) -> bool:
    return artifacts.meta_path(shard).exists()
