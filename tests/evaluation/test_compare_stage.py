"""The stages evaluate and compare on two small databases: what they write, and what they name when it is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import stages.compare
import stages.evaluate
from pipeline import artifacts
from pipeline.databases import DATABASE
from pipeline.evaluation import RESULTS
from pipeline.evaluation.comparison.compare import CompareError
from pipeline.features import FeatureError, baselines, feature_table
from pipeline.features.floor import Floor
from pipeline.params import DatabaseParams, Params
from tests import profile

ROOT = Path(__file__).parents[2]


def manifest(name: str, falls: bool) -> str:
    range_ = "[0, 100]" if falls else "[1, 5]"
    return (
        f"name: {name}\ntitle: {name}\ncitation: none\nkind: folder\nhigher_is_better: {str(not falls).lower()}\n"
        f"range: {range_}\nraters: 16\n"
        "scores: {file: scores.csv, image: path, mos: score, mos_std: spread, group: group}\n"
        "images: {folder: ., extensions: [.png]}\ngroup: {kind: column}\n"
    )


def database(name: str, seed: int, falls: bool) -> tuple[pa.Table, np.ndarray]:
    rng = np.random.default_rng(seed)
    quality = rng.uniform(0, 1, 160)
    columns: dict[str, object] = {field.name: pa.nulls(160, field.type) for field in DATABASE}
    columns |= {
        "image_id": [f"{name}{i:04d}" for i in range(160)],
        "path": [f"{name}{i:04d}.png" for i in range(160)],
        "sha256": [f"{name}{i}" for i in range(160)],
        "phash": pa.array(rng.integers(2**63, 2**64, 160, dtype=np.uint64) | np.uint64(0xFFFFFF), pa.uint64()),
        "group": [f"{name}{i // 8}" for i in range(160)],
        "is_reference": [False] * 160,
        "mos": 100 * (1 - quality) if falls else 1 + 4 * quality,
        "mos_std": np.full(160, 20.0 if falls else 0.8),
        "higher_is_better": [not falls] * 160,
        **{side: np.full(160, 64) for side in ("width", "height")},
        "orientation": np.ones(160),
    }
    made = pa.table({field.name: pa.array(columns[field.name], field.type) for field in DATABASE}, schema=DATABASE)
    return made, quality


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(9)
    for name, seed, falls in (("mos", 1, False), ("dmos", 2, True)):
        made, quality = database(name, seed, falls)
        (tmp_path / name).mkdir()
        (tmp_path / name / "database.yaml").write_text(manifest(name, falls))
        artifacts.write_table(Path(f"data/databases/{name}.parquet"), made)
        for encoder, noise in (("floor", 1.0), ("mine", 0.1)):
            x = np.c_[quality + noise * rng.normal(size=160), rng.normal(size=(160, 3))].astype(np.float32)
            about = {"weights_sha256": Floor.sha256, "standardise": True, "non_finite": [], "dim": 4}
            table = feature_table(made, x, encoder=encoder, database_name=name, metadata=about)
            artifacts.write_table(Path(f"data/features/{encoder}/{name}.parquet"), table)
            artifacts.write_json(Path(f"data/models/{encoder}/encoder.json"), baselines.card("floor"))
    given = profile.read("tiny")
    databases = {name: DatabaseParams(folder=str(tmp_path / name)) for name in ("mos", "dmos")}
    return given.model_copy(update={"databases": databases, "encoders": ["floor", "mine"]})


def test_evaluate_then_compare(params: Params) -> None:
    for encoder in params.encoders:
        for name in params.databases:
            stages.evaluate.run(params, encoder, name)
    stages.compare.run(params)
    found = json.loads(Path("metrics/compare.json").read_text())
    assert {(m["encoder"], m["database"]) for m in found["methods"]} == {
        (encoder, name) for encoder in params.encoders for name in params.databases
    }
    assert all(pair["first"] == "mine" and pair["against"] == "floor" and pair["low"] > 0 for pair in found["pairs"])
    mine = [(c["train"], c["database"]) for c in found["cross"] if c["encoder"] == "mine" and c["srocc"] > 0.9]
    assert sorted(mine) == [("dmos", "mos"), ("mos", "dmos")]  # the directions differ, and the sign is right
    assert [c["raters"] for c in found["ceilings"]] == [16, 16] and all(0.9 < c["srocc"] < 1 for c in found["ceilings"])
    assert artifacts.read_table(Path("data/compare/table.parquet")).schema.equals(RESULTS)
    before = Path("metrics/compare.json").read_bytes()
    stages.compare.run(params)
    assert Path("metrics/compare.json").read_bytes() == before


def test_features_of_another_version_of_the_database_are_refused(params: Params) -> None:
    made, quality = database("mos", 1, False)
    path = Path("data/databases/mos.parquet")
    about = {"weights_sha256": Floor.sha256, "provenance": {"database": artifacts.sha256_file(path)}}
    x = np.repeat(quality.astype(np.float32)[:, None], 4, axis=1)
    table = feature_table(made, x, encoder="floor", database_name="mos", metadata=about)
    artifacts.write_table(Path("data/features/floor/mos.parquet"), table)
    stages.evaluate.run(params, "floor", "mos")
    artifacts.write_table(path, made.slice(1))
    with pytest.raises(FeatureError, match="another version of data/databases/mos.parquet; run the features stage"):
        stages.evaluate.run(params, "floor", "mos")


def test_a_direction_declared_after_ingest_is_refused(params: Params, tmp_path: Path) -> None:
    for encoder in params.encoders:
        for name in params.databases:
            stages.evaluate.run(params, encoder, name)
    own = tmp_path / "dmos/database.yaml"
    own.write_text(own.read_text().replace("higher_is_better: false", "higher_is_better: true"))
    with pytest.raises(CompareError, match="dmos: its manifest has higher_is_better true, its table was made with"):
        stages.compare.run(params)


def test_what_is_missing_is_named(params: Params) -> None:
    with pytest.raises(artifacts.ArtifactError, match="data/predictions/floor/mos.parquet: missing"):
        stages.compare.run(params)
