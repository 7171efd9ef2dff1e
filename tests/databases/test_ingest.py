"""Ingest: official layouts become tables; every fault stops it and names the images."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pytest

import stages.ingest
from pipeline import artifacts, images
from pipeline.databases import DATABASE, IngestError, Manifest, ingest_folder, load_manifest, notes_of
from pipeline.engine import Engine
from pipeline.params import DatabaseParams
from tests import profile
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
    row = rows["I02_24_5.bmp"]
    assert (row["reference_id"], row["type"], row["level"], row["mos"]) == ("I02.bmp", 24, 5, 1.0)
    assert (row["path"], rows["I02.bmp"]["path"]) == ("distorted_images/i02_24_5.bmp", "reference_images/I02.BMP")


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


@pytest.mark.parametrize(
    "change",
    [
        {"range": [0, 50]},
        {"protocol": "leave_one_group_out"},
        {"stratified": True},
        {"official_shares_groups": True},
        {"bank_types": True},
    ],
)
def test_what_the_manifest_alone_decides_changes_the_table(tmp_path: Path, change: dict[str, object]) -> None:
    """No column has it, and a user's database.yaml is a dependency of ingest alone."""
    save(tmp_path / "0.png", 0)
    before, after = own(tmp_path, ["0.png,5,g"]), own(tmp_path, ["0.png,5,g"], **change)
    for manifest in (before, after):
        artifacts.write_table(tmp_path / f"{manifest is after}", ingest_folder(manifest, tmp_path))
    assert (tmp_path / "True").read_bytes() != (tmp_path / "False").read_bytes()
    table = artifacts.read_table(tmp_path / "True")
    assert Manifest.model_validate_json(table.schema.metadata[b"manifest"]) == after


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
    (tmp_path / "sub").mkdir()
    for near in ("sub/score.csv", "notes.txt"):
        (tmp_path / near).write_text("")
    with pytest.raises(IngestError, match="no score file scores.csv in .*; there are sub/score.csv"):
        ingest_folder(manifest, tmp_path)
    with pytest.raises(IngestError, match="no folder imgs in .*; there are sub"):
        ingest_folder(own(tmp_path, ["0.png,5,g"], images={"folder": "imgs"}), tmp_path)


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
    assert "equal images" not in message


def test_equal_images_tie_their_groups_and_all_theirs(tmp_path: Path) -> None:
    for name, number in (("a", 0), ("b", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 3)):
        save(tmp_path / f"{name}.png", number)
    save(tmp_path / "e.png", 2, "webp")  # another file of the same pixels
    groups = {"a": "u", "b": "u", "c": "v", "d": "v", "e": "w", "f": "x"}
    table = ingest_folder(
        own(tmp_path, [f"{name}.png,{n},{g}" for n, (name, g) in enumerate(groups.items())]), tmp_path
    )
    assert table["group"].to_pylist() == ["u", "u", "u", "u", "u", "x"]
    assert json.loads(table.schema.metadata[b"equal_images"]) == [["b.png", "c.png"], ["d.png", "e.png"]]
    assert "2 sets of equal images; the images of each share a group: b.png = c.png, d.png = e.png" in notes_of(table)


def test_equal_images_that_an_official_split_parts_are_named_with_the_key_that_accepts_them(tmp_path: Path) -> None:
    for name, number in (("a", 0), ("b", 0), ("c", 1)):
        save(tmp_path / f"{name}.png", number)
    scores = {"file": "scores.csv", "image": "path", "mos": "score", "official_split": "group"}
    changes = {"scores": scores, "group": {"kind": "image"}, "official_parts": {"train": "train", "test": "test"}}
    lines = ["a.png,5,train", "b.png,6,test", "c.png,7,train"]
    with pytest.raises(IngestError, match="`official_shares_groups: true` accepts them.: a.png = b.png"):
        ingest_folder(own(tmp_path, lines, **changes), tmp_path)
    table = ingest_folder(own(tmp_path, lines, **changes, official_shares_groups=True), tmp_path)
    assert table["group"].to_pylist() == ["a.png", "a.png", "c.png"]


def test_classes_that_equal_their_reference_stay(tmp_path: Path) -> None:
    table = ingest_folder(load_manifest("kadid10k"), kadid(tmp_path, references=2, types=25))
    assert len(table) == 252
    (first, second) = json.loads(table.schema.metadata[b"equal_images"])
    assert first == ["I01.png", "I01_01_01.png", "I01_03_01.png", "I01_08_01.png", "I01_18_03.png"]
    assert len(second) == 5 and set(table["group"].to_pylist()) == {"I01.png", "I02.png"}


SPELLINGS = {
    "case of the ending": ("a/1.png", "a/1.PNG"),
    "case of a folder": ("A/1.png", "a/1.png"),
    "composed in the file, decomposed on disk": ("caf\u00e9.png", "cafe\u0301.png"),
    "decomposed in the file, composed on disk": ("cafe\u0301.png", "caf\u00e9.png"),
    "backslashes": ("a\\1.png", "a/1.png"),
    "a leading dot": ("./a/1.png", "a/1.png"),
    "sharp s": ("STRASSE.png", "stra\u00dfe.png"),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_spellings_of_one_name_meet(tmp_path: Path, case: str) -> None:
    said, on_disk = SPELLINGS[case]
    save(tmp_path / on_disk, 0, on_disk[-3:].lower())
    table = ingest_folder(own(tmp_path, [f"{said},5,g"]), tmp_path)
    assert table["path"].to_pylist() == [on_disk]


def test_spellings_meet_in_every_column_that_names_a_file(tmp_path: Path) -> None:
    save(tmp_path / "Imgs/One.PNG", 0)
    save(tmp_path / "Imgs/two.png", 2)
    save(tmp_path / "Refs/ref.PNG", 1)
    (tmp_path / "SPLIT.csv").write_text("name\nIMGS/one.png\n")
    scores = {"file": "Scores.CSV", "image": "path", "mos": "score", "reference": "group"}
    scores["split_files"] = [{"file": "split.csv", "image": "name"}]
    manifest = own(
        tmp_path,
        ["imgs/one.png,5,REF.png", "imgs/two.png,9,Ref.png"],
        scores=scores,
        references_folder="refs",
        group={"kind": "reference"},
        official_parts={"split.csv": "test"},
    )
    rows = {row["image_id"]: row for row in ingest_folder(manifest, tmp_path).to_pylist()}
    assert rows["imgs/one.png"]["path"] == "Imgs/One.PNG" and rows["imgs/one.png"]["official_split"] == "test"
    assert rows["imgs/two.png"]["reference_id"] == "REF.png" and rows["imgs/two.png"]["official_split"] == "unused"
    assert rows["REF.png"]["path"] == "Refs/ref.PNG" and {row["group"] for row in rows.values()} == {"REF.png"}


def test_two_names_that_fold_to_one_are_the_error(tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "A.PNG")):
        save(tmp_path / name, number)
    with pytest.raises(IngestError, match="1 names that several files have: A.PNG = a.png"):
        ingest_folder(own(tmp_path, ["a.png,5,g", "b.png,5,g"]), tmp_path)
    with pytest.raises(IngestError, match="1 images with two scores: A.png"):
        ingest_folder(own(tmp_path, ["a.png,5,g", "A.png,5,g"]), tmp_path)


def test_links_are_followed_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere/1.png", 0)
    (tmp_path / "db").mkdir()
    (tmp_path / "db/b").symlink_to("../elsewhere")
    (tmp_path / "db/back").symlink_to(".")
    (tmp_path / "db/gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "db/pipe.png")
    lines = ["b/1.png,5,g", "gone.png,6,g", "pipe.png,7,g"]
    with pytest.raises(IngestError) as refused:
        ingest_folder(own(tmp_path / "db", lines), tmp_path / "db")
    assert "gone.png (no such file or directory), pipe.png (" in str(refused.value)
    assert "pipe.png: not a regular file)" in str(refused.value)
    (tmp_path / "db/gone.png").unlink()
    (tmp_path / "db/pipe.png").unlink()
    table = ingest_folder(own(tmp_path / "db", lines[:1]), tmp_path / "db")
    assert table["path"].to_pylist() == ["b/1.png"] and "1 links to a folder above them" in notes_of(table)[0]


@pytest.mark.parametrize(
    ("opinions", "note"),
    [
        ([3.0, 3.1, 3.3], "opinions run from 3 to 3.3, far inside the declared range of 0 to 100"),
        ([3.5, 3.5], "all 2 opinions are 3.5: no correlation with them is defined"),
        ([20, 60], None),
    ],
)
def test_an_odd_scale_is_told(tmp_path: Path, opinions: list[float], note: str | None) -> None:
    for number in range(len(opinions)):
        save(tmp_path / f"{number}.png", number)
    table = ingest_folder(own(tmp_path, [f"{n}.png,{mos},g" for n, mos in enumerate(opinions)]), tmp_path)
    assert notes_of(table) == ([note] if note else [])


def test_references_that_are_not_there_or_scored_are_named(tmp_path: Path) -> None:
    kadid(tmp_path)
    (tmp_path / "images" / "I02.png").unlink()
    with pytest.raises(IngestError, match="1 references that are not there: I02.png"):
        ingest_folder(load_manifest("kadid10k"), tmp_path)


def test_an_image_may_be_scored_and_a_reference(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.png", i)
    changes = {
        "scores": {"file": "scores.csv", "image": "path", "mos": "score", "reference": "group"},
        "group": {"kind": "reference"},
    }
    rows = ingest_folder(own(tmp_path, ["0.png,5,1.png", "1.png,9,1.png"], **changes), tmp_path).to_pylist()
    assert [(row["image_id"], row["is_reference"], row["mos"], row["reference_id"]) for row in rows] == [
        ("0.png", False, 5.0, "1.png (reference)"),
        ("1.png", False, 9.0, "1.png (reference)"),
        ("1.png (reference)", True, None, None),
    ]
    assert rows[1]["path"] == rows[2]["path"] == "1.png" and {row["group"] for row in rows} == {"1.png"}


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
    given = profile.read("tiny")
    databases = {"tid2013": DatabaseParams(folder=str(tid(tmp_path / "mine")))}
    given = given.model_copy(update={"databases": databases, "run": given.run.model_copy(update={"engine": "serial"})})
    stages.ingest.run(given, "tid2013")
    table = artifacts.read_table(tmp_path / "data/databases/tid2013.parquet")
    assert len(table) == 10 and table.schema.metadata[b"database"] == b"tid2013"
    capped = given.model_copy(update={"ingest": given.ingest.model_copy(update={"max_pixels": 10})})
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
