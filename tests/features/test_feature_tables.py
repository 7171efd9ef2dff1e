"""The extraction loop and the feature table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import artifacts, images
from pipeline.databases import ingest_folder, ingest_members, load_manifest
from pipeline.databases.pixels import ChangedImageError
from pipeline.features import (
    Extractor,
    FeatureError,
    extract_features,
    load_extractor,
    read_features,
    weights_sha256,
)
from pipeline.features.baselines import card
from pipeline.features.floor import FLOOR, floor_numbers
from tests.databases.fixtures import kadid, save, shard


class Mean:
    """Red, green and blue means; remembers its batches."""

    name, dim, sha256 = "mean", 3, "cd" * 32

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []

    def extract(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        self.batches.append([picture.shape for picture in pictures])
        return np.stack([picture.mean(axis=(0, 1)) for picture in pictures]).astype(np.float32)


def written(path: Path, table) -> Path:
    artifacts.write_table(path, table, byte_stream_split=("feature",))
    return path


def test_every_image_has_its_own_row_whatever_the_batches(tmp_path: Path) -> None:
    folder = kadid(tmp_path / "kadid")
    for number, name in enumerate(("I01_01_01.png", "I02_02_03.png")):  # two of another size
        odd = np.random.default_rng(number).integers(0, 256, (9, 30, 3), dtype=np.uint8)
        (folder / "images" / name).write_bytes(images.encode(odd, "png"))
    database = ingest_folder(load_manifest("kadid10k"), folder)
    expected = [images.read(folder / row["path"]).mean(axis=(0, 1)) for row in database.to_pylist()]
    for count, pixels in ((1, 2**20), (4, 2**20), (100, 2**20), (100, 1000), (100, 1)):
        extractor = Mean()
        assert isinstance(extractor, Extractor)
        table = extract_features(
            database,
            folder,
            extractor,
            encoder="mean",
            database_name="kadid10k",
            batch_images=count,
            batch_pixels=pixels,
        )
        found = read_features(written(tmp_path / "f.parquet", table))
        np.testing.assert_allclose(found.matrix(), expected, rtol=1e-6)
        assert found.columns["image_id"].to_pylist() == database["image_id"].to_pylist()
        for batch in extractor.batches:
            assert len(set(batch)) == 1 and len(batch) <= count
            assert len(batch) == 1 or len(batch) * batch[0][0] * batch[0][1] <= pixels


def test_members_of_a_tar_are_read_where_they_lie(tmp_path: Path) -> None:
    database = ingest_members(load_manifest("photos"), shard(tmp_path), tmp_path)
    table = extract_features(database, tmp_path, Mean(), encoder="mean", database_name="photos")
    assert len(table) == 32
    assert np.unique(np.stack(table["feature"].to_pylist()), axis=0).shape == (32, 3)


def test_a_file_that_changed_since_ingest_is_named(tmp_path: Path) -> None:
    folder = kadid(tmp_path)
    database = ingest_folder(load_manifest("kadid10k"), folder)
    save(folder / "images/I02_01_03.png", 999)
    with pytest.raises(ChangedImageError, match="I02_01_03.png.*has changed since .*ingest@NAME"):
        extract_features(database, folder, Mean(), encoder="mean", database_name="kadid10k")
    (folder / "images/I02_01_03.png").unlink()
    with pytest.raises(ChangedImageError, match="I02_01_03.png.*can't be read"):
        extract_features(database, folder, Mean(), encoder="mean", database_name="kadid10k")


def test_an_extractor_that_gives_something_else_is_refused(tmp_path: Path) -> None:
    class Wide(Mean):
        dim = 4

    database = ingest_members(load_manifest("photos"), shard(tmp_path), tmp_path)
    with pytest.raises(FeatureError, match=r"expected float32 \(16, 4\)"):
        extract_features(database, tmp_path, Wide(), encoder="wide", database_name="photos")


def test_non_finite_rows_are_kept_and_named(tmp_path: Path) -> None:
    class Broken(Mean):
        def extract(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
            found = super().extract(pictures)
            found[0, 0] = np.nan
            return found

    database = ingest_members(load_manifest("photos"), shard(tmp_path), tmp_path)
    table = extract_features(database, tmp_path, Broken(), encoder="b", database_name="photos", batch_images=100)
    assert read_features(written(tmp_path / "f.parquet", table)).metadata["non_finite"] == ["000000-000"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """2,500 rows of 24 numbers: three row groups."""
    from tests.evaluation.tables import write_features

    x = np.random.default_rng(0).normal(size=(2500, 24)).astype(np.float32)
    path = tmp_path_factory.mktemp("large") / "f.parquet"
    write_features(path, x, np.arange(2500.0))
    return path, x


def test_the_table_is_laid_out_as_promised(large: tuple[Path, np.ndarray]) -> None:
    file = pq.ParquetFile(large[0])
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [1024, 1024, 452]
    names = [file.schema.column(i).path for i in range(len(file.schema))]
    column = file.metadata.row_group(0).column(names.index("feature.list.element"))
    assert column.compression == "ZSTD" and "BYTE_STREAM_SPLIT" in column.encodings
    assert all(b"description" in (file.schema_arrow.field(i).metadata or {}) for i in range(len(file.schema_arrow)))
    assert file.schema_arrow.field("feature").type.list_size == 24


def test_reading_gives_the_bits_back(large: tuple[Path, np.ndarray]) -> None:
    path, x = large
    found = read_features(path)
    matrix = found.matrix()
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, x)
    np.testing.assert_array_equal(found.block(1), x[1024:2048])
    assert found.bounds == ((0, 1024), (1024, 2048), (2048, 2500))
    assert found.columns["mos"].to_pylist() == list(np.arange(2500.0))


def test_it_opens_in_pandas_polars_and_duckdb_at_full_length(large: tuple[Path, np.ndarray]) -> None:
    import duckdb
    import pandas as pd
    import polars as pl

    path, x = large
    frame = pd.read_parquet(path)
    np.testing.assert_array_equal(np.stack(frame["feature"].to_numpy()), x)
    lazy = pl.read_parquet(path)
    assert lazy.schema["feature"] == pl.Array(pl.Float32, 24)
    np.testing.assert_array_equal(lazy["feature"].to_numpy(), x)
    rows = duckdb.sql(f"select image_id, mos, feature from '{path}'").fetchall()
    assert len(rows) == 2500 and {len(row[2]) for row in rows} == {24}
    np.testing.assert_array_equal(np.array([row[2] for row in rows], dtype=np.float32), x)


def test_features_of_other_weights_are_refused(large: tuple[Path, np.ndarray]) -> None:
    assert len(read_features(large[0], weights="ab" * 32)) == 2500
    with pytest.raises(FeatureError, match="made by weights abababababab, the encoder's are cdcdcdcdcdcd"):
        read_features(large[0], weights="cd" * 32)


def test_nulls_that_another_tool_wrote_are_refused(tmp_path: Path, large: tuple[Path, np.ndarray]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pq.read_table(large[0])
    for values in ([None, *whole["feature"].to_pylist()[1:]], [[None] * 24, *whole["feature"].to_pylist()[1:]]):
        column = pa.array(values, pa.list_(pa.float32(), 24))
        place = whole.column_names.index("feature")
        pq.write_table(whole.set_column(place, "feature", column), tmp_path / "nulls.parquet")
        with pytest.raises(FeatureError, match="nulls among the features"):
            read_features(tmp_path / "nulls.parquet").matrix()


def test_what_is_not_a_feature_table_is_refused(tmp_path: Path, large: tuple[Path, np.ndarray]) -> None:
    import pyarrow as pa

    with pytest.raises(FeatureError, match="not a readable Parquet table"):
        read_features(tmp_path / "none.parquet")
    (tmp_path / "cut.parquet").write_bytes(large[0].read_bytes()[:-100])
    with pytest.raises(FeatureError, match="not a readable Parquet table"):
        read_features(tmp_path / "cut.parquet")
    artifacts.write_table(tmp_path / "other.parquet", pa.table({"encoder": ["x"]}))
    with pytest.raises(FeatureError, match="missing database"):
        read_features(tmp_path / "other.parquet")


def test_the_floor_loads_from_its_card(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "encoder.json", card("floor"))
    extractor = load_extractor(tmp_path)
    assert extractor.dim == len(FLOOR) == 19
    assert weights_sha256(tmp_path) == extractor.sha256 == card("floor")["sha256"]
    assert extractor.standardise
    artifacts.write_json(tmp_path / "encoder.json", {"kind": "oracle"})
    with pytest.raises(FeatureError, match="'oracle'; expected one of resnet, floor"):
        load_extractor(tmp_path)


def test_floor_numbers_are_what_their_names_say() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    image[:8] = 255
    found = dict(zip(FLOOR, floor_numbers(image), strict=True))
    unit = image / 255
    assert found["mean_r"] == pytest.approx(unit[..., 0].mean(), abs=1e-6)
    assert found["sd_b"] == pytest.approx(unit[..., 2].std(), abs=1e-6)
    grey = unit @ [0.299, 0.587, 0.114]
    assert found["mean_grey"] == pytest.approx(grey.mean(), abs=1e-5)
    assert found["sd_grey"] == pytest.approx(grey.std(), abs=1e-5)
    assert found["percentile_1"] == pytest.approx(np.quantile(grey, 0.01), abs=0.02)
    assert found["clipped"] == pytest.approx(np.mean((image == 0) | (image == 255)))
    rg, yb = unit[..., 0] - unit[..., 1], unit[..., :2].mean(axis=2) - unit[..., 2]
    colourful = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert found["colourfulness"] == pytest.approx(colourful, abs=1e-5)
    assert 0 < found["entropy"] < 8


@pytest.mark.parametrize("shape", [(1, 1, 3), (32, 32, 3), (7, 500, 3)])
def test_floor_is_finite_on_anything(shape: tuple[int, int, int]) -> None:
    for value in (0, 255):
        assert np.isfinite(floor_numbers(np.full(shape, value, np.uint8))).all()


def test_floor_falls_with_blur() -> None:
    import cv2

    sharp = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    index = FLOOR.index("log_laplacian_1")
    assert floor_numbers(cv2.GaussianBlur(sharp, (0, 0), 2))[index] < floor_numbers(sharp)[index] - 3
