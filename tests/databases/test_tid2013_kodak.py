"""TID2013 remade from Kodak: the recipe, its check against the published PSNR, and the database that it makes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts, cli, images
from pipeline.databases import IngestError, ingest_folder, load_manifest
from pipeline.databases.tid2013_kodak import JPEG, RECIPES, TOLERANCE, remake
from pipeline.metrics.psnr import psnr
from tests.databases.fixtures import picture, save

NAMES = [(kind, level) for kind in (8, 10, 16, 17) for level in range(1, 6)]


@pytest.fixture
def given(tmp_path: Path) -> tuple[Path, Path]:
    """One tiny photograph, its crop at (3, 2), and a table of what the recipe makes of it, written beside it."""
    kodak, tid = tmp_path / "kodak", tmp_path / "tid"
    save(kodak / "07.png", 1, size=24)
    crop = picture(1, 24)[2:18, 3:19]
    values_of: dict[int, list[str]] = {}
    for kind, (make, values) in RECIPES.items():
        values_of[kind] = [f"{psnr(crop, make(crop, value)):.4f}" for value in values]
    values_of[JPEG] = []
    for level in range(1, 6):
        path = tid / "jpeg" / f"i02_10_{level}.jpg"
        save(path, level, "jpg", size=16, width=16)
        values_of[JPEG].append(f"{psnr(crop, images.read(path)):.4f}")
    write(tid / "offsets.csv", "tid_ref,kodak,x,y,width,height", ["I02,7,3,2,16,16"])
    write(tid / "mos.csv", "ref,type,level,mos", [f"2,{kind},{level},{6 - level}" for kind, level in NAMES])
    rows = [f"2,{kind},{','.join(values)}" for kind, values in values_of.items()]
    write(tid / "official_psnr.csv", "image,type,l1,l2,l3,l4,l5", rows)
    return kodak, tid


def write(path: Path, header: str, lines: list[str]) -> None:
    path.write_text("\n".join([header, *lines]) + "\n")


def test_what_is_remade_is_a_database(given: tuple[Path, Path], tmp_path: Path) -> None:
    made = remake(*given, tmp_path / "out")
    assert (made.references, made.images) == (1, 20) and made.largest_difference <= 0.00005 + 1e-9
    table = ingest_folder(load_manifest("tid2013_kodak"), tmp_path / "out")
    rows = {row["image_id"]: row for row in table.to_pylist()}
    assert len(rows) == 21
    row = rows["i02_16_3.png"]
    assert (row["reference_id"], row["group"], row["type"], row["level"]) == ("i02.png", "i02.png", 16, 3)
    assert (row["mos"], row["stratum"], row["higher_is_better"]) == (3.0, "16", True)
    crop = picture(1, 24)[2:18, 3:19]
    assert np.array_equal(images.read(tmp_path / "out/reference_images/i02.png"), crop)
    darker = np.clip(crop.astype(int) - 20, 0, 255)
    assert np.array_equal(images.read(tmp_path / "out" / row["path"]), darker)
    jpeg = rows["i02_10_4.jpg"]
    assert jpeg["sha256"] == artifacts.sha256_file(given[1] / "jpeg/i02_10_4.jpg")


def test_the_recipes_on_numbers_done_by_hand() -> None:
    grey = np.full((16, 16, 3), 100, np.uint8)
    grey[:, 8:] = 200
    contrast, values = RECIPES[17]
    assert np.unique(contrast(grey, values[4])).tolist() == [125, 175]  # halved around 150
    assert np.unique(contrast(grey, values[3])).tolist() == [78, 222]  # 150 -+ 72.5, ties to even
    blur, sigmas = RECIPES[8]
    flat = blur(np.full((32, 32, 3), 200, np.uint8), sigmas[4])
    assert (flat[10:22, 10:22] == 200).all() and (flat[0] < 140).all()  # beyond the border are zeros
    # one grey level is 219/255 of a luma level before rounding: 100 -> 102, 101 -> 103
    assert psnr(grey[:, :8], grey[:, :8] + 1) == pytest.approx(10 * np.log10(255**2))


FAULTS = {
    "another PSNR": ("official_psnr.csv", "2,16,", "2,16,9", "PSNR is not the published one: i02_16_1 ("),
    "a lacking row": ("mos.csv", "2,17,5,1\n", "", "rows without an image: i02_17_5"),
    "a word": ("offsets.csv", "I02,7,3", "I02,7,x", "expected numbers in tid_ref"),
    "a lacking column": ("mos.csv", "level", "step", "expected numbers in ref, type, level, mos ('level')"),
    "a crop outside": ("offsets.csv", ",16,16", ",26,16", "07.png: 28 x 24 has no crop of 26 x 16 at 3, 2"),
    "no photograph": ("offsets.csv", "I02,7", "I02,8", "08.png: can't be read (No such file or directory)"),
    "another crop": ("offsets.csv", "7,3,2", "7,4,2", "PSNR is not the published one: i02_08_1 ("),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_and_leave_no_database(given: tuple[Path, Path], tmp_path: Path, fault: str) -> None:
    remake(*given, tmp_path / "out")
    name, old, new, message = FAULTS[fault]
    text = (given[1] / name).read_text()
    assert old in text
    (given[1] / name).write_text(text.replace(old, new))
    with pytest.raises(IngestError) as refused:
        remake(*given, tmp_path / "out")
    assert message in str(refused.value)
    assert not (tmp_path / "out/scores.csv").exists()


def test_jpeg_files_are_asked_for_by_name(given: tuple[Path, Path], tmp_path: Path) -> None:
    (given[1] / "jpeg/i02_10_3.jpg").unlink()
    with pytest.raises(IngestError, match=r"i02_10_3.jpg: can't be read"):
        remake(*given, tmp_path / "out")
    save(given[1] / "jpeg/i02_10_3.jpg", 3, "jpg", size=8)
    with pytest.raises(IngestError, match=r"i02_10_3.jpg: is 12 x 8, its reference is not"):
        remake(*given, tmp_path / "out")


def test_nothing_is_written_where_it_is_read(given: tuple[Path, Path]) -> None:
    for folder in (given[0], given[1] / "made"):
        with pytest.raises(IngestError, match="which is only read"):
            remake(*given, folder)


def test_the_verb_says_what_it_made_and_how_close_it_is(
    given: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["synthetic-iqa", "remake-tid2013", "--kodak", given[0], "--tid", given[1], "-o", out]
    monkeypatch.setattr("sys.argv", [*map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert capsys.readouterr().out.startswith(f"{out}: 20 images of 1 references; within 0.0000")
    (given[0] / "07.png").unlink()
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "07.png: can't be read" in capsys.readouterr().err


@pytest.mark.slow
def test_all_240_images_have_the_published_psnr(tmp_path: Path) -> None:
    data = Path(os.environ.get("IQA_DATA", "none"))
    if not (data / "tid2013_kodak").is_dir() or not (data / "kodak24").is_dir():
        pytest.skip("IQA_DATA names no folder with tid2013_kodak and kodak24")
    made = remake(data / "kodak24", data / "tid2013_kodak", tmp_path)
    assert (made.references, made.images) == (12, 240)
    assert made.largest_difference < 0.0003 < TOLERANCE
    table = ingest_folder(load_manifest("tid2013_kodak"), tmp_path)
    assert len(table) == 252 and len(table["group"].unique()) == 12
    assert sorted(set(table["stratum"].to_pylist()) - {None}) == ["08", "10", "16", "17"]
