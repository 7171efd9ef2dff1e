"""The loop over pairs of a database, and the tables of metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import artifacts, images
from pipeline.databases import ingest_folder, ingest_members, load_manifest
from pipeline.databases.pixels import ChangedImageError
from pipeline.engine import Engine
from pipeline.features import FeatureError, compare_images, extract_features, read_features
from pipeline.metrics import METRICS, niqe
from tests.databases.fixtures import biq, kadid, picture, save, shard


def compared(database: pa.Table, folder: Path, name: str = "gmsd", **more: int) -> pa.Table:
    return compare_images(database, folder, METRICS[name], encoder=name, database_name="kadid10k", **more)


def written(path: Path, table: pa.Table) -> Path:
    artifacts.write_table(path, table, byte_stream_split=["feature"])
    return path


@pytest.mark.parametrize("engine", [Engine(), Engine("processes", 2)], ids=str)
def test_every_image_is_compared_with_its_own_reference(tmp_path: Path, engine: Engine) -> None:
    folder = kadid(tmp_path / "kadid")
    database = ingest_folder(load_manifest("kadid10k"), folder)
    found = read_features(written(tmp_path / "f.parquet", compared(database, folder, engine=engine)))
    rows = [row for row in database.to_pylist() if not row["is_reference"]]
    assert len(found) == 30 and found.columns["image_id"].to_pylist() == [row["image_id"] for row in rows]
    assert found.columns["mos"].to_pylist() == [row["mos"] for row in rows]
    expected = [
        METRICS["gmsd"](images.read(folder / "images" / row["reference_id"]), images.read(folder / row["path"]))
        for row in rows
    ]
    # OpenCV's filters differ in the last bit with the alignment of their input
    np.testing.assert_allclose(found.matrix()[:, 0], np.array(expected, np.float32), atol=1e-15)
    assert sum(value < 1e-15 for value in expected) == 3  # of each reference one class equals it


def test_the_table_says_what_the_number_means(tmp_path: Path) -> None:
    database = ingest_members(load_manifest("photos"), shard(tmp_path), tmp_path)
    for name, metric in METRICS.items():
        about = read_features(written(tmp_path / "f.parquet", compared(database, tmp_path, name))).metadata
        assert about["kind"] == "metric" and about["needs_reference"] is True and about["dim"] == 1
        assert about["higher_is_better"] is metric.higher_is_better and about["weights_sha256"] == metric.sha256
        assert about["standardise"] is False


def test_references_of_a_tar_are_compared_too(tmp_path: Path) -> None:
    database = ingest_members(load_manifest("photos"), shard(tmp_path), tmp_path)
    assert len(compared(database, tmp_path)) == 30


def test_a_database_without_references_gives_a_table_without_rows(tmp_path: Path) -> None:
    folder = biq(tmp_path / "biq", {"ss01": [1, 2], "ss02": [1], "ss03": [1]})
    database = ingest_folder(load_manifest("biq2021"), folder)
    found = read_features(written(tmp_path / "f.parquet", compared(database, folder)), weights=METRICS["gmsd"].sha256)
    assert len(found) == 0 and found.matrix().shape == (0, 1)
    assert found.metadata["kind"] == "metric" and found.metadata["non_finite"] == []
    import polars

    assert polars.read_parquet(tmp_path / "f.parquet").shape[0] == 0


def test_values_that_are_not_defined_are_named(tmp_path: Path) -> None:
    """The fixtures are 16 x 20 pixels: too few for MS-SSIM."""
    database = ingest_members(load_manifest("photos"), shard(tmp_path), tmp_path)
    found = read_features(written(tmp_path / "f.parquet", compared(database, tmp_path, "ms_ssim")))
    assert found.metadata["non_finite"] == found.columns["image_id"].to_pylist()
    assert np.isnan(found.matrix()).all()


def test_a_reference_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    folder = kadid(tmp_path)
    (folder / "images/I02_01_03.png").write_bytes(images.encode(picture(9, 18), "png"))
    database = ingest_folder(load_manifest("kadid10k"), folder)
    with pytest.raises(FeatureError, match=r"I02_01_03.png is 22 x 18, its reference I02.png 20 x 16"):
        compared(database, folder)


def test_a_reference_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    folder = kadid(tmp_path)
    database = ingest_folder(load_manifest("kadid10k"), folder)
    without = database.filter(pa.array([row["image_id"] != "I02.png" for row in database.to_pylist()]))
    with pytest.raises(FeatureError, match=r"I02_01_01.png: its reference I02.png is not in kadid10k"):
        compared(without, folder)


@pytest.mark.parametrize("name", ["I02.png", "I02_01_03.png"])
def test_a_file_that_changed_since_ingest_is_named(tmp_path: Path, name: str) -> None:
    folder = kadid(tmp_path)
    database = ingest_folder(load_manifest("kadid10k"), folder)
    save(folder / "images" / name, 999)
    with pytest.raises(ChangedImageError, match=f"{name}.*has changed since"):
        compared(database, folder)


def test_a_blind_metric_has_every_image_and_says_what_it_is(tmp_path: Path) -> None:
    database = ingest_members(load_manifest("photos"), shard(tmp_path), tmp_path)
    model = niqe.Niqe(np.zeros(36), np.eye(36), side=8, sha256="ab" * 32)
    table = extract_features(database, tmp_path, model, encoder="niqe", database_name="photos")
    found = read_features(written(tmp_path / "f.parquet", table)).metadata
    assert len(table) == 32 and (found["kind"], found["dim"]) == ("metric", 1)
    assert found["higher_is_better"] is False and found["needs_reference"] is False
