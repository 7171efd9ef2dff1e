"""Every database in its official layout: its table, and what is refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import artifacts, images
from pipeline.databases import DATABASE, IngestError, ingest_folder, load_manifest, manifest_names
from tests.databases.fixtures import save
from tests.databases.layouts import DIRECTIONS, LAYOUTS


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All layouts, written once."""
    root = tmp_path_factory.mktemp("layouts")
    for name, layout in LAYOUTS.items():
        layout.write(root / name)
    return root


@pytest.fixture
def folder(written: Path, tmp_path: Path, name: str) -> Path:
    """One layout that a test may break."""
    return Path(shutil.copytree(written / name, tmp_path / name))


def refused(name: str, folder: Path) -> str:
    with pytest.raises(IngestError) as error:
        ingest_folder(load_manifest(name), folder)
    assert str(error.value).startswith(f"{name}: ") and "\n" not in str(error.value)
    return str(error.value)


def victim(name: str, folder: Path) -> Path:
    """The file of the layout's image."""
    wanted = Path(LAYOUTS[name].image).name.lower()
    return next(path for path in sorted(folder.rglob("*")) if path.name.lower() == wanted and path.parent.name)


def test_every_manifest_of_a_folder_has_a_layout_and_a_declared_direction() -> None:
    assert set(LAYOUTS) | {"photos", "tid2013_kodak"} == set(manifest_names())
    assert {name: load_manifest(name).higher_is_better for name in manifest_names()} == DIRECTIONS


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_official_layout_becomes_a_table(written: Path, name: str) -> None:
    layout, manifest = LAYOUTS[name], load_manifest(name)
    table = ingest_folder(manifest, written / name)
    assert table.schema.equals(DATABASE)
    references = table.filter(pc.field("is_reference"))
    assert (len(table) - len(references), len(references)) == (layout.scored, layout.references)
    row = table.filter(pc.field("image_id") == layout.image).to_pylist()[0]
    assert {key: row[key] for key in layout.row} == pytest.approx(layout.row)
    path = written / name / row["path"]
    assert row["sha256"] == artifacts.sha256_file(path)
    assert row["phash"] == images.perceptual_hash(images.read(path))
    assert table["phash"].null_count == table["sha256"].null_count == 0
    assert set(table["higher_is_better"].to_pylist()) == {DIRECTIONS[name]}
    known = set(references["image_id"].to_pylist())
    assert {r for r in table["reference_id"].to_pylist() if r is not None} == known


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_missing_an_extra_a_broken_and_an_equal_image_are_named(name: str, folder: Path) -> None:
    image = victim(name, folder)
    inside = image.relative_to(folder / load_manifest(name).images.folder).as_posix()
    row = ingest_folder(load_manifest(name), folder).filter(pc.field("image_id") == LAYOUTS[name].image)
    extra = image.with_name(f"extra{image.suffix}")
    save(extra, 9999, image.suffix[1:].lower())
    if "*" in load_manifest(name).images.unscored:  # declared: the archive has more than the scores
        assert ingest_folder(load_manifest(name), folder).schema.metadata[b"unscored"] == b"1"
    else:
        assert f"1 images without scores: {inside.replace(image.name, extra.name)}" in refused(name, folder)
    extra.unlink()
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 2])
    assert f"1 images that can't be decoded: {LAYOUTS[name].image} (" in refused(name, folder)
    image.unlink()
    assert f"1 scores without images: {LAYOUTS[name].image}" in refused(name, folder)
    shutil.copy(another(row, folder, image), image)
    assert f"1 sets of equal images: {equal(name, image, folder)}" in refused(name, folder)


def another(row: pa.Table, folder: Path, image: Path) -> Path:
    """An image of the same kind that is scored or a reference."""
    taken = {row["path"][0].as_py()}
    fits = [p for p in sorted(image.parent.iterdir()) if p.suffix.lower() == image.suffix.lower()]
    return next(p for p in reversed(fits) if p != image and p.relative_to(folder).as_posix() not in taken)


def equal(name: str, image: Path, folder: Path) -> str:
    """What ingest says of two files of equal bytes: their names, in order."""
    digest = artifacts.sha256_file(image)
    same = [p for p in folder.rglob(f"*{image.suffix}") if artifacts.sha256_file(p) == digest]
    declared = load_manifest(name).images
    names = [p.name if declared.by_name else p.relative_to(folder / declared.folder).as_posix() for p in same]
    return " = ".join(sorted(n.lower() if declared.ignore_case else n for n in names))


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("live", "refnames_all.mat", "refnames_all.mat can't be read (No such file or directory)"),
        ("clive", "Data/AllMOS_release.mat", "AllMOS_release.mat can't be read"),
        ("csiq", "csiq.DMOS.xlsx", "csiq.DMOS.xlsx can't be read"),
        ("csiq", "src_imgs/elk.png", "1 references that are not there: elk.png"),
        ("pipal", "Train_Label/A0060.txt", "4 images without scores: Distortion_2/Distortion_2/A0060_00_00.bmp"),
        ("flive", "labels640.csv", "labels640.csv can't be read"),
        ("live", "refimgs/bikes.bmp", "1 references that are not there: bikes.bmp"),
    ],
)
def test_a_missing_file_is_named(name: str, folder: Path, file: str, message: str) -> None:
    (folder / file).unlink()
    assert message in refused(name, folder)


@pytest.mark.parametrize("name", ["flive"])
def test_the_official_split_of_files(name: str, folder: Path) -> None:
    table = ingest_folder(load_manifest(name), folder)
    parts = dict(zip(table["image_id"].to_pylist(), table["official_split"].to_pylist(), strict=True))
    assert sorted(parts.values()) == ["test", "train", "train", "unused", "val"]
    assert parts["voc_emotic_ava/JPEGImages__2010_002618.jpg"] == "unused"  # what no file lists
    listed = folder / "labels640.csv"
    listed.write_text(listed.read_text() + "70.5,voc_emotic_ava/gone.jpg,1\n70.5,voc_emotic_ava/AVA__150.jpg,1\n")
    assert "1 images in two parts of the official split: voc_emotic_ava/AVA__150.jpg" in refused(name, folder)
    listed.write_text(listed.read_text().rsplit("\n", 2)[0] + "\n")
    assert "1 images of a split file without a score: voc_emotic_ava/gone.jpg" in refused(name, folder)


@pytest.mark.parametrize("name", ["pipal", "bid"])
def test_two_files_of_one_name_are_named_where_names_alone_count(name: str, folder: Path) -> None:
    image = victim(name, folder)
    shutil.copy(image, folder / image.name)
    assert f"1 names that several files have: {LAYOUTS[name].image}" in refused(name, folder)
