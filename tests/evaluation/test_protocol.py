"""The whole protocol on small tables: what is chosen, what is written, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.evaluation import PREDICTIONS, Protocol, evaluate
from pipeline.evaluation.agreement.measures import srocc
from pipeline.features import FeatureError, FeatureTable
from tests.evaluation.tables import write_features


def toys(path: Path, *, groups: int = 20, each: int = 15, reference: bool = False, **kwargs) -> FeatureTable:
    """Opinions that features tell, up to noise, with a colour offset for each group."""
    rng = np.random.default_rng(7)
    n = groups * each
    group = np.repeat(np.arange(groups), each)
    quality = rng.uniform(0, 1, n)
    x = rng.normal(scale=0.1, size=(n, 12))
    x[:, 0] += quality
    x[:, 1:4] += rng.normal(size=(groups, 3))[group]
    y = 1 + 4 * quality + 0.1 * rng.normal(size=n)
    names = [f"g{i:02d}" for i in group]
    if reference:
        first = [i % each == 0 for i in range(n)]
        ids = [None if flag else f"image{i - i % each:05d}" for i, flag in enumerate(first)]
        kwargs |= {"is_reference": first, "references": ids}
    return write_features(path, x, y, groups=names, **kwargs)


def test_random_protocol_predicts_every_test_image_once(tmp_path: Path) -> None:
    table = toys(tmp_path / "f.parquet", groups=60, strata=["ab"[i % 2] for i in range(900)])
    predictions, metrics = evaluate(table, Protocol("random", splits=3, seed=1))
    assert predictions.schema == PREDICTIONS
    frame = predictions.to_pandas()
    assert set(frame["part"]) == {"val", "test"}
    assert not frame.duplicated(["mode", "split", "image_id"]).any()
    test = frame[frame["part"] == "test"]
    values = [srocc(rows["prediction"].to_numpy(), rows["mos"].to_numpy()) for _, rows in test.groupby("split")]
    assert metrics["nr"]["ridge"]["srocc"] == pytest.approx(np.median(values))
    assert metrics["nr"]["ridge"]["srocc"] > 0.9
    assert {"plcc", "plcc_raw", "krocc", "rmse", "srocc_within"} <= set(metrics["nr"]["ridge"])
    assert "fr" not in metrics
    assert {split["lambda_rule"] for split in metrics["nr"]["ridge"]["splits"]} == {"validation"}


def test_fewer_than_five_validation_groups_choose_by_leaving_one_out(tmp_path: Path) -> None:
    _, metrics = evaluate(toys(tmp_path / "f.parquet"), Protocol("random", splits=2))
    assert {split["lambda_rule"] for split in metrics["nr"]["ridge"]["splits"]} == {"leave_one_group_out"}
    _, metrics = evaluate(toys(tmp_path / "f.parquet"), Protocol("random", splits=2, min_groups=2))
    assert {split["lambda_rule"] for split in metrics["nr"]["ridge"]["splits"]} == {"validation"}


def test_leave_one_group_out_has_a_figure_for_every_group_nr_and_fr(tmp_path: Path) -> None:
    table = toys(tmp_path / "f.parquet", groups=5, each=40, reference=True)
    predictions, metrics = evaluate(table, Protocol("leave_one_group_out"))
    assert metrics["images"] == 195
    assert len(predictions) == 2 * 195
    for mode in ("nr", "fr"):
        splits = metrics[mode]["ridge"]["splits"]
        assert [split["test"] for split in splits] == [39] * 5
        assert metrics[mode]["ridge"]["srocc"] == pytest.approx(np.median([split["srocc"] for split in splits]))
    assert not set(predictions["image_id"].to_pylist()) & {f"image{i:05d}" for i in range(0, 200, 40)}


def test_fr_feature_is_the_absolute_difference_and_identical_pairs_score_the_intercept(tmp_path: Path) -> None:
    from pipeline.evaluation.regressors import RegressionData, open_features
    from pipeline.evaluation.regressors.ridge import fit

    table = toys(tmp_path / "f.parquet", groups=5, each=40, reference=True)
    x = table.matrix()
    for memory in (0, 2**30):
        source = open_features(table, memory=memory)["fr"]
        expected = np.stack([np.abs(x[i] - x[i - i % 40]) for i in range(200) if i % 40])
        np.testing.assert_array_equal(source.load(0), expected)
    model = fit(RegressionData(source, np.arange(195.0), np.zeros(195)), np.arange(195), np.array([0.1]))
    assert model.predict(np.zeros((1, 12)))[0, 0] == model.intercept[0]


def test_a_regressor_is_unmoved_by_the_opinions_of_its_test_part(tmp_path: Path) -> None:
    table = toys(tmp_path / "f.parquet", groups=5, each=40)
    before, _ = evaluate(table, Protocol("leave_one_group_out"))
    y = table.columns["mos"].to_numpy().copy()
    y[:40] = y[:40][::-1] + 50
    changed = write_features(tmp_path / "g.parquet", table.matrix(), y, groups=table.columns["group"].to_pylist())
    after, _ = evaluate(changed, Protocol("leave_one_group_out"))
    moved = np.abs(before["prediction"].to_numpy()[:40] - after["prediction"].to_numpy()[:40])
    assert moved.max() < 1e-10  # a training part's sums are the whole's less the rest: opinions cancel up to rounding


def test_equal_inputs_give_equal_bytes_and_strict_json(tmp_path: Path) -> None:
    table = toys(tmp_path / "f.parquet", groups=12)
    for name in ("a", "b"):
        predictions, metrics = evaluate(table, Protocol("random", splits=2, seed=3, memory=0 if name == "a" else 2**30))
        artifacts.write_table(tmp_path / f"{name}.parquet", predictions)
        artifacts.write_json(tmp_path / f"{name}.json", metrics)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text())["encoder"] == "toy"


def test_official_protocol_reports_shared_groups(tmp_path: Path) -> None:
    table = toys(tmp_path / "f.parquet", official=["test" if i % 5 == 0 else "train" for i in range(300)])
    _, metrics = evaluate(table, Protocol("official", shares_groups=True))
    assert metrics["nr"]["ridge"]["splits"][0]["shared_groups"] == 20


def test_non_finite_features_are_filled_counted_and_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(100, 4))
    y = x[:, 0] * 2
    x[17, 2] = np.inf
    table = write_features(tmp_path / "f.parquet", x, y)
    _, metrics = evaluate(table, Protocol("leave_one_group_out"))
    assert metrics["non_finite"] == ["image00017"]
    unnamed = replace(table, metadata={**table.metadata, "non_finite": []})
    with pytest.raises(FeatureError, match="non-finite"):
        evaluate(unnamed, Protocol("leave_one_group_out"))


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    table = toys(tmp_path / "f.parquet", references=["image00000" if i else None for i in range(300)])
    with pytest.raises(FeatureError, match="image00000"):
        evaluate(table, Protocol("leave_one_group_out"))


def test_unknown_protocols_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'best'"):
        evaluate(toys(tmp_path / "f.parquet"), Protocol("best"))


def test_large_numbers_of_units_are_scaled_by_the_training_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    quality = rng.uniform(0, 1, 200)
    x = np.c_[1e5 * rng.normal(size=200), quality, 1e-4 * rng.normal(size=200)]
    found = {}
    for standardise in (True, False):
        table = write_features(tmp_path / "f.parquet", x, quality, standardise=standardise)
        found[standardise] = evaluate(table, Protocol("leave_one_group_out", lambdas=(1.0,)))[1]["nr"]["ridge"]["srocc"]
    assert found[True] > 0.99
