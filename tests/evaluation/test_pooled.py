"""Several databases as one: opinions on one scale, each database of the same weight, and what is fitted on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import stages.pooled
import stages.sources
from pipeline import artifacts
from pipeline.evaluation import Opinions, pooled_features, stored_fits
from pipeline.features import baselines, read_features
from pipeline.params.sections import DatabaseParams, OrderParams, PooledParams
from pipeline.scoring import find_regressors, load_regressor
from tests import profile
from tests.evaluation.tables import write_features

WEIGHTS = np.array([0.3, -0.2, 0.1])


def test_opinions_share_a_scale_and_each_database_counts_alike(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    large, small = draw.normal(size=(40, 3)), draw.normal(size=(13, 3))
    quality = [0.5 + each @ WEIGHTS for each in (large, small)]
    first = write_features(tmp_path / "a.parquet", large, 100 * quality[0])
    flags = [number == 0 for number in range(13)]  # a reference, which has no opinion
    second = write_features(
        tmp_path / "b.parquet", small, 5 - 4 * quality[1], falls=True, is_reference=flags,
        references=[None, *["image00000"] * 12],
    )  # fmt: skip
    opinions = {"a": Opinions(first, (0.0, 100.0), True), "b": Opinions(second, (1.0, 5.0), False)}
    table = pooled_features(opinions, encoder="toy", name="both")
    assert len(table) == 40 + 3 * 12 and table["reference_id"].null_count == len(table)
    assert set(table["group"].to_pylist()) == {f"{name}/group{number}" for name in "ab" for number in range(10)}
    expected = np.concatenate([quality[0], *[quality[1][1:]] * 3])
    np.testing.assert_allclose(table["mos"].to_numpy(), expected, atol=1e-12)
    assert table["higher_is_better"].unique().to_pylist() == [True]

    artifacts.write_table(tmp_path / "both.parquet", table)
    fits = stored_fits(read_features(tmp_path / "both.parquet"), (0.5,), seed=1)
    x = np.concatenate([large, small[1:]]).astype(np.float32).astype(np.float64)
    weight = np.repeat([1.0, 3.0], [40, 12])
    peer = Ridge(alpha=0.5).fit(x, np.concatenate([quality[0], quality[1][1:]]), sample_weight=weight)
    assert set(fits) == {"nr"}
    np.testing.assert_allclose(fits["nr"].coef, peer.coef_, rtol=1e-6)


def two_databases() -> np.ndarray:
    """Features by `floor`, float64 [60, 19], of two databases, photos (1..5) and biq2021 (0..1), of one quality."""
    card, x = baselines.card("floor"), np.random.default_rng(2).normal(size=(60, 19))
    artifacts.write_json(Path("data/models/floor/encoder.json"), card)
    folder = Path("data/features/floor")
    folder.mkdir(parents=True)
    for name, mos in (("photos", 3 + x[:, 0] / 4), ("biq2021", 0.5 + x[:, 0] / 16)):
        write_features(folder / f"{name}.parquet", x, mos, standardise=True, weights=str(card["sha256"]))
    return x


def test_the_stage_stores_a_regressor_that_is_found_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = two_databases()
    params = profile.read("tiny").model_copy(
        update={
            "databases": {name: DatabaseParams(folder="none") for name in ("photos", "biq2021")},
            "pooled": {"people": PooledParams(encoder="floor", databases=("photos", "biq2021"))},
        }
    )
    stages.pooled.run(params, "people")
    assert [entry.name for entry in find_regressors([], Path("data"))] == ["floor/people"]
    found = load_regressor(Path("data/regressors/floor/people"))
    assert found.card["range"] == [0, 1] and found.card["images"] == 120
    assert found.card["databases"] == ["photos", "biq2021"]
    np.testing.assert_allclose(found.modes["nr"].predict(x), 0.5 + x[:, 0] / 16, atol=1e-3)


def test_the_stage_has_scores_fall_as_a_sets_images_are_distorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = profile.read("tiny")
    small = tiny.sources.model_copy(update={"count": 2, "size": 64, "per_shard": 1})
    serial = tiny.run.model_copy(update={"engine": "serial"})
    params = tiny.model_copy(update={"sources": small, "run": serial})
    stages.sources.run(params, "textured_dead_leaves")
    two_databases()
    cards = []
    for weight in (1e-6, 100.0):
        order = OrderParams(set="textured_dead_leaves", images=5, weight=weight)
        pooled = PooledParams(encoder="floor", databases=("photos", "biq2021"), order=order)
        databases = {name: DatabaseParams(folder="none") for name in ("photos", "biq2021")}
        stages.pooled.run(params.model_copy(update={"databases": databases, "pooled": {"people": pooled}}), "people")
        cards.append(load_regressor(Path("data/regressors/floor/people")).card)
    asked = {"set": "textured_dead_leaves", "images": 5, "weight": 100.0, "step": 0.05}
    assert cards[1]["order"] == {**asked, "pairs": 2 * 21 * 4, "pairs_left_out": 0}
    assert cards[0]["modes"]["nr"]["pairs_falling"] < cards[1]["modes"]["nr"]["pairs_falling"] <= 1


def test_pairs_that_are_not_finite_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two_databases()
    pairs = np.random.default_rng(3).normal(size=(8, 19))
    pairs[5, 2] = np.nan
    monkeypatch.setattr(stages.pooled, "_pairs", lambda *_: pairs)
    pooled = PooledParams(encoder="floor", databases=("photos", "biq2021"), order=OrderParams(set="photos"))
    databases = {name: DatabaseParams(folder="none") for name in ("photos", "biq2021")}
    params = profile.read("tiny").model_copy(update={"databases": databases, "pooled": {"people": pooled}})
    stages.pooled.run(params, "people")
    order = load_regressor(Path("data/regressors/floor/people")).card["order"]
    assert (order["pairs"], order["pairs_left_out"]) == (7, 1)
