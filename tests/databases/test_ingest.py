"""Ingest: official layouts become tables; every fault stops it and names the images."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pytest

import stages.ingest
from pipeline import artifacts, images
from pipeline.databases import DATABASE, IngestError, Manifest, ingest_folder, load_manifest
from pipeline.engine import Engine
from pipeline.params import load
from tests.databases.fixtures import biq, kadid, save, tid


def test_kadid_in_its_official_layout(tmp_path: Path) -> None:
    table = ingest_folder(load_manifest("kadid10k"), kadid(tmp_path))
    assert table.schema.equals(DATABASE)
    assert len(table) == 3 + 30
    row = table.filter(pc.field("image_id") == "I02_01_05.png").to_pylist()[0]
    assert row["path"] == "images/I02_01_05.png"
    assert (row["reference_id"], row["group"], row["type"], row["level"]) == ("I02.png", "I02.png", 1, 5)
    assert (row["mos"], row["higher_is_better"], row["stratum"]) == (1.5, True, "01")
    assert (row["width"], row["height"], row["offset"]) == (20, 16, None)
    assert row["sha256"] == artifacts.sha256_file(tmp_path / row["path"])
    assert row["phash"] == images.perceptual_hash(images.read(tmp_path / row["path"]))
    references = table.filter(pc.field("is_reference")).to_pylist()
    assert [r["image_id"] for r in references] == ["I01.png", "I02.png", "I03.png"]
    assert {r["mos"] for r in references} == {None}
    assert {r["group"] for r in references} == {"I01.png", "I02.png", "I03.png"}


def test_biq_groups_are_blocks_of_fifty_contiguous_numbers(tmp_path: Path) -> None:
    numbers = {"ss01": [1, 50, 51, 100, 101], "ss02": [50, 51]}
    table = ingest_folder(load_manifest("biq2021"), biq(tmp_path, numbers))
    groups = dict(zip(table["image_id"].to_pylist(), table["group"].to_pylist(), strict=True))
    assert groups["ss01 (1).jpg"] == groups["ss01 (50).jpg"] == "ss01:000001"
    assert groups["ss01 (51).jpg"] == groups["ss01 (100).jpg"] == "ss01:000051"
    assert groups["ss02 (50).jpg"] == "ss02:000001"
    assert len(set(groups.values())) == 5
    assert set(table["stratum"].to_pylist()) == {"ss01", "ss02"}
    assert set(table["official_split"].to_pylist()) == {"train", "test"}


def test_tid_names_match_whatever_their_case(tmp_path: Path) -> None:
    table = ingest_folder(load_manifest("tid2013"), tid(tmp_path))
    rows = {row["image_id"]: row for row in table.to_pylist()}
    assert len(rows) == 10
    row = rows["i02_24_5.bmp"]
    assert (row["reference_id"], row["type"], row["level"], row["mos"]) == ("i02.bmp", 24, 5, 1.0)
    assert rows["i02.bmp"]["path"] == "reference_images/I02.BMP"


def own(folder: Path, lines: list[str], **changes: object) -> Manifest:
    (folder / "scores.csv").write_text("path,score,group\n" + "\n".join(lines) + "\n")
    content = {
        "name": "mine",
        "title": "mine",
        "citation": "none",
        "kind": "folder",
        "higher_is_better": False,
        "range": [0, 100],
        "scores": {"file": "scores.csv", "image": "path", "mos": "score", "group": "group"},
        "images": {"folder": ".", "extensions": [".png"], "unscored": ["practice/*"]},
        "group": {"kind": "column"},
    }
    return Manifest.model_validate({**content, **changes})


def test_a_csv_of_path_score_and_group(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"sub/{i}.png", i)
    save(tmp_path / "practice/0.png", 9)
    table = ingest_folder(own(tmp_path, [f"sub/{i}.png,{10 * i},scene{i // 2}" for i in range(4)]), tmp_path)
    assert table["group"].to_pylist() == ["scene0", "scene0", "scene1", "scene1"]
    assert not any(table["higher_is_better"].to_pylist())


FAULTS = {
    "missing": (["gone.png,5,g"], "1 scores without images: gone.png"),
    "outside": (["0.png,101,g"], "scores outside 0 to 100: 0.png (101)"),
    "no number": (["0.png,good,g"], "scores that are no numbers: 0.png ('good')"),
    "nan": (["0.png,nan,g"], "scores that are no numbers: 0.png ('nan')"),
    "twice": (["0.png,5,g", "0.png,6,g"], "images with two scores: 0.png"),
    "leaves": (["../0.png,5,g"], "image names that leave the folder: ../0.png"),
    "uneven": (["0.png,5"], "rows 1 do not have 3 cells"),
    "empty": ([], "has no rows"),
    "no group": (["0.png,5,"], "1 images without a group: 0.png"),
    "underscore": (["0.png,1_0,g"], "1 scores that are no numbers: 0.png ('1_0')"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_score_file_are_named(tmp_path: Path, fault: str) -> None:
    save(tmp_path / "0.png", 0)
    lines, message = FAULTS[fault]
    with pytest.raises(IngestError) as refused:
        ingest_folder(own(tmp_path, lines), tmp_path)
    assert message in str(refused.value)


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    manifest = own(tmp_path, ["0.png,5,g"])
    (tmp_path / "scores.csv").write_text("path,mean,group\n0.png,5,g\n")
    with pytest.raises(IngestError, match="no column score; it has path, mean, group"):
        ingest_folder(manifest, tmp_path)
    (tmp_path / "scores.csv").unlink()
    with pytest.raises(IngestError, match="can't be read"):
        ingest_folder(manifest, tmp_path)


def test_faults_of_the_images_are_all_named_at_once(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"{i}.png", i)
    save(tmp_path / "extra.png", 5)
    save(tmp_path / "copy.png", 3)
    (tmp_path / "cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:200])
    (tmp_path / "zero.png").write_bytes(b"")
    names = ["0", "1", "2", "3", "copy", "cut", "zero", "gone"]
    with pytest.raises(IngestError) as refused:
        ingest_folder(own(tmp_path, [f"{name}.png,5,g" for name in names]), tmp_path)
    message = str(refused.value)
    assert "1 scores without images: gone.png" in message
    assert "1 images without scores: extra.png" in message
    assert "2 images that can't be decoded: cut.png (" in message and "zero.png (" in message
    assert "1 sets of equal images: 3.png = copy.png" in message


def test_equal_images_of_one_group_pass_only_where_declared(tmp_path: Path) -> None:
    for name, number in (("a", 0), ("b", 0), ("c", 1)):
        save(tmp_path / f"{name}.png", number)
    lines = ["a.png,5,g", "b.png,6,g", "c.png,7,h"]
    with pytest.raises(IngestError, match="a.png = b.png"):
        ingest_folder(own(tmp_path, lines), tmp_path)
    assert len(ingest_folder(own(tmp_path, lines, duplicates="within_group"), tmp_path)) == 3
    lines[1] = "b.png,6,h"
    with pytest.raises(IngestError, match="a.png = b.png"):
        ingest_folder(own(tmp_path, lines, duplicates="within_group"), tmp_path)


def test_references_that_are_not_there_or_scored_are_named(tmp_path: Path) -> None:
    kadid(tmp_path)
    (tmp_path / "images" / "I02.png").unlink()
    with pytest.raises(IngestError, match="1 references that are not there: I02.png"):
        ingest_folder(load_manifest("kadid10k"), tmp_path)


def test_an_image_that_is_its_own_reference_is_named(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", i)
    changes = {
        "scores": {"file": "scores.csv", "image": "path", "mos": "score", "reference": "group"},
        "group": {"kind": "reference"},
    }
    manifest = own(tmp_path, ["0.png,5,1.png", "1.png,5,2.png"], **changes)
    with pytest.raises(IngestError, match="both scored and a reference: 1.png"):
        ingest_folder(manifest, tmp_path)


def test_names_that_do_not_fit_the_declared_patterns_are_named(tmp_path: Path) -> None:
    save(tmp_path / "0.png", 0)
    block = {"kind": "block", "size": 5, "pattern": r"s(?P<number>\d+)\.png"}
    for changes, message in (
        ({"type_level": r"(?P<type>\d)_x\.png"}, "do not fit type_level: 0.png"),
        ({"group": block}, "do not fit group.pattern: 0.png"),
        ({"reference_pattern": r"(?P<reference>x)\.png"}, "do not fit reference_pattern: 0.png"),
    ):
        with pytest.raises(IngestError, match=message):
            ingest_folder(own(tmp_path, ["0.png,5,g"], **changes), tmp_path)
    save(tmp_path / "99999.png", 1)
    with pytest.raises(IngestError, match="types or levels above 32767: 99999.png"):
        lines = ["0.png,5,g", "99999.png,5,g"]
        ingest_folder(own(tmp_path, lines, type_level=r"(?P<type>\d+)\.png"), tmp_path)


def test_official_parts_that_are_not_declared_are_named(tmp_path: Path) -> None:
    biq(tmp_path, {"ss01": [1, 2, 3, 4, 5]})
    scores = tmp_path / "scores.csv"
    scores.write_text(scores.read_text().replace("test", "hidden"))
    with pytest.raises(IngestError, match=r"ss01 \(5\).jpg \('hidden'\)"):
        ingest_folder(load_manifest("biq2021"), tmp_path)


def test_the_pixel_cap_is_the_stages(tmp_path: Path) -> None:
    save(tmp_path / "0.png", 0)
    with pytest.raises(IngestError, match="can't be decoded: 0.png .*cap"):
        ingest_folder(own(tmp_path, ["0.png,5,g"]), tmp_path, max_pixels=10)


def test_the_table_does_not_depend_on_the_engine(tmp_path: Path) -> None:
    kadid(tmp_path / "d", references=8)
    manifest = load_manifest("kadid10k")
    for name, engine in (("a", Engine("serial")), ("b", Engine("processes", 2))):
        artifacts.write_table(tmp_path / name, ingest_folder(manifest, tmp_path / "d", engine=engine))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_stage_reads_the_users_folder_and_writes_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    given = load(Path(__file__).parents[2] / "manifests/profiles/tiny.yaml")
    paths = given.run.paths.model_copy(update={"databases": {"tid2013": str(tid(tmp_path / "mine"))}})
    run = given.run.model_copy(update={"paths": paths, "engine": "serial"})
    stages.ingest.run(given.model_copy(update={"run": run}), "tid2013")
    table = artifacts.read_table(tmp_path / "data/databases/tid2013.parquet")
    assert len(table) == 10 and table.schema.metadata[b"database"] == b"tid2013"
    capped = given.model_copy(update={"run": run, "ingest": given.ingest.model_copy(update={"max_pixels": 10})})
    with pytest.raises(IngestError, match="10 images that can't be decoded"):
        stages.ingest.run(capped, "tid2013")


@pytest.mark.slow
def test_biq2021_as_it_is_on_this_machine() -> None:
    if not os.environ.get("IQA_DATA"):
        pytest.skip("IQA_DATA is not set: no folder with real databases")
    folder = Path(os.environ["IQA_DATA"]) / "biq2021"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    table = ingest_folder(load_manifest("biq2021"), folder)
    assert len(table) == 2500
    rows = table.to_pylist()
    groups = {row["group"]: row["stratum"] for row in rows}
    assert len(groups) == 50 and {(row["group"], row["stratum"]) for row in rows} == set(groups.items())
    assert set(Counter(row["group"] for row in rows).values()) == {50}
    assert Counter(groups.values()) == {"ss01": 10, "ss02": 10, "ss03": 30}
    assert Counter(row["official_split"] for row in rows) == {"train": 2076, "test": 424}
