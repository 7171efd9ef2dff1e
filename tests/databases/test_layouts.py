"""Every database in its official layout: its table, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pytest

from pipeline import artifacts, images
from pipeline.databases import DATABASE, IngestError, ingest_folder, load_manifest, manifest_names, notes_of
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
def test_a_missing_an_extra_and_a_broken_image_are_named(name: str, folder: Path) -> None:
    image = victim(name, folder)
    inside = image.relative_to(folder / load_manifest(name).images.folder).as_posix()
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


@pytest.mark.parametrize("name", LAYOUTS)
def test_equal_images_share_a_group_unless_an_official_split_parts_them(name: str, folder: Path) -> None:
    image = victim(name, folder)
    others = [path for path in image.parent.iterdir() if path.suffix == image.suffix and path != image]
    other = min(others, default=None)  # of the same kind, scored or a reference
    if other is None:
        pytest.skip("one image of its kind")
    shutil.copy(other, image)
    if name in ("koniq10k", "flive"):
        assert "1 sets of equal images in different parts of the official split" in refused(name, folder)
        return
    table = ingest_folder(load_manifest(name), folder)
    rows = {row["image_id"]: row for row in table.to_pylist()}
    (equal,) = [names for names in json.loads(table.schema.metadata[b"equal_images"]) if LAYOUTS[name].image in names]
    assert len(equal) >= 2 and len({rows[image_id]["group"] for image_id in equal}) == 1
    assert {rows[image_id]["sha256"] for image_id in equal} == {artifacts.sha256_file(other)}
    assert "sets of equal images; the images of each share a group: " in notes_of(table)[0]


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("live", "refnames_all.mat", "no score file refnames_all.mat in "),
        ("clive", "Data/AllMOS_release.mat", "there are Data/AllImages_release.mat, Data/AllStdDev_release.mat"),
        ("csiq", "csiq.DMOS.xlsx", "no score file csiq.DMOS.xlsx"),
        ("csiq", "src_imgs/elk.png", "1 references that are not there: elk.png"),
        ("pipal", "Train_Label/A0060.txt", "4 images without scores: Distortion_2/Distortion_2/A0060_00_00.bmp"),
        ("flive", "labels640.csv", "no score file labels640.csv"),
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
