"""Metrics: nothing is fitted, the declared direction is used, the splits are those of all others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation import PREDICTIONS, Protocol, evaluate, evaluate_metric, is_metric
from pipeline.evaluation.agreement.measures import measure, srocc
from pipeline.features import FeatureTable
from tests.evaluation.tables import write_features

GROUPS = [f"g{i // 20:02d}" for i in range(200)]


def metric(
    path: Path, *, rises: bool = True, falls: bool = False, reference: bool = True, **columns: object
) -> FeatureTable:
    """A metric that tells quality up to noise; ``rises``: the metric with quality; ``falls``: mos with quality."""
    rng = np.random.default_rng(4)
    quality = rng.uniform(0, 1, 200)
    values = (quality if rises else -quality) + 0.1 * rng.normal(size=200)
    mos = 1 - quality if falls else quality
    about = {"kind": "metric", "higher_is_better": rises, "needs_reference": reference}
    columns = {"groups": GROUPS, "references": ["r"] * 200, **columns}
    return write_features(path, values[:, None], mos, falls=falls, encoder="metric", about=about, **columns)


@pytest.mark.parametrize("rises", [True, False])
@pytest.mark.parametrize("falls", [True, False])
def test_a_good_metric_is_positive_whatever_the_two_directions(tmp_path: Path, rises: bool, falls: bool) -> None:
    predictions, metrics = evaluate_metric(
        metric(tmp_path / "toys.parquet", rises=rises, falls=falls), Protocol("random", splits=3)
    )
    assert metrics["fr"]["none"]["srocc"] > 0.9 and metrics["fr"]["none"]["whole"]["plcc"] > 0.9
    assert metrics["kind"] == "metric" and metrics["regressor"] == "none" and "nr" not in metrics
    assert predictions.schema == PREDICTIONS and predictions["lambda"].null_count == len(predictions)


def test_it_is_judged_on_the_splits_of_all_others_and_on_the_whole_set(tmp_path: Path) -> None:
    protocol = Protocol("random", splits=3, seed=5)
    table = metric(tmp_path / "toys.parquet")
    predictions, metrics = evaluate_metric(table, protocol)
    other = write_features(tmp_path / "other.parquet", np.eye(200)[:, :5], np.arange(200.0), groups=GROUPS)
    ridge = evaluate(other, protocol)[0].to_pandas()
    frame = predictions.to_pandas()
    for split in range(3):
        mine = frame[(frame.part == "test") & (frame.split == split)]
        theirs = ridge[(ridge.part == "test") & (ridge.split == split)]
        assert mine["image_id"].tolist() == theirs["image_id"].tolist()
    whole = frame[frame.part == "whole"]
    assert len(whole) == 200 and set(whole["split"]) == {-1}
    assert whole["prediction"].to_numpy() == pytest.approx(table.matrix()[:, 0])
    expected = measure(whole["prediction"].to_numpy(), whole["mos"].to_numpy())
    assert metrics["fr"]["none"]["whole"] == json.loads(json.dumps(expected.as_dict()))
    values = [s["srocc"] for s in metrics["fr"]["none"]["splits"]]
    assert len(values) == 3 and metrics["fr"]["none"]["srocc"] == np.median(values)
    assert "lambda_rule" not in metrics["fr"]["none"]["splits"][0]


def test_references_are_never_scored_and_a_metric_without_references_is_nr(tmp_path: Path) -> None:
    table = metric(tmp_path / "toys.parquet", reference=False, is_reference=[i % 20 == 0 for i in range(200)])
    predictions, metrics = evaluate_metric(table, Protocol("leave_one_group_out"))
    assert metrics["images"] == 190 and "fr" not in metrics and metrics["nr"]["none"]["srocc"] > 0.9
    assert set(predictions["mode"].to_pylist()) == {"nr"}


def test_values_that_are_not_finite_are_set_to_the_mean_and_named(tmp_path: Path) -> None:
    table = metric(tmp_path / "toys.parquet")
    values = table.matrix().copy()
    values[3] = np.nan
    about = {"kind": "metric", "higher_is_better": True, "needs_reference": True}
    mos = table.columns["mos"].to_numpy()
    changed = write_features(tmp_path / "toys.parquet", values, mos, groups=GROUPS, about=about)
    predictions, metrics = evaluate_metric(changed, Protocol("leave_one_group_out"))
    assert metrics["non_finite"] == ["image00003"] and metrics["images"] == 200
    frame = predictions.to_pandas().set_index(["part", "image_id"])["prediction"]
    assert frame["whole", "image00003"] == pytest.approx(np.nanmean(values), rel=1e-6)


def test_a_table_without_rows_says_why(tmp_path: Path) -> None:
    from pipeline import artifacts
    from pipeline.features import read_features

    table = metric(tmp_path / "toys.parquet")
    full = artifacts.read_table(tmp_path / "toys.parquet")
    artifacts.write_table(tmp_path / "psnr" / "toys.parquet", full.slice(0, 0), byte_stream_split=["feature"])
    empty = read_features(tmp_path / "psnr" / "toys.parquet")
    assert is_metric(empty) and not is_metric(write_features(tmp_path / "f.parquet", np.eye(20), np.arange(20.0)))
    predictions, metrics = evaluate_metric(empty, Protocol("random"))
    assert predictions.schema == PREDICTIONS and len(predictions) == 0
    assert (
        metrics["absent"] == "no image with a reference" and metrics["images"] == 0 and not {"nr", "fr"} & set(metrics)
    )
    assert (metrics["encoder"], metrics["database"]) == ("psnr", "toys")
    assert len(table) == 200


def test_figures_per_type_and_level(tmp_path: Path) -> None:
    kinds, levels = [1 + i % 2 for i in range(200)], [1 + i // 2 % 5 for i in range(200)]
    table = metric(tmp_path / "toys.parquet", types=kinds, levels=levels, strata=[str(kind) for kind in kinds])
    predictions, metrics = evaluate_metric(table, Protocol("leave_one_group_out"))
    rows = {(row["type"], row["level"]): row for row in metrics["fr"]["none"]["types"]}
    assert set(rows) == {*((k, None) for k in (1, 2)), *((None, v) for v in range(1, 6)), *(
        (k, v) for k in (1, 2) for v in range(1, 6)
    )}  # fmt: skip
    frame = predictions.to_pandas().query("part == 'test' and type == 2")
    expected = [srocc(g["prediction"].to_numpy(), g["mos"].to_numpy()) for _, g in frame.groupby("split")]
    assert rows[2, None]["srocc"] == pytest.approx(np.median(expected)) and rows[2, None]["images"] == 10
    assert rows[1, 3]["images"] == 2 and rows[1, 3]["rmse"] < 0.3 and abs(rows[1, 3]["bias"]) < 0.3
    constant = metric(tmp_path / "toys.parquet", types=kinds, levels=levels)
    mos = np.array([float(10 * k + v) for k, v in zip(kinds, levels, strict=True)])
    about = {"kind": "metric", "higher_is_better": True, "needs_reference": True}
    same = write_features(
        tmp_path / "c.parquet", constant.matrix(), mos, groups=GROUPS, types=kinds, levels=levels, about=about
    )
    cells = evaluate_metric(same, Protocol("leave_one_group_out"))[1]["fr"]["none"]["types"]
    assert all(row["srocc"] is None for row in cells if row["type"] and row["level"])
    assert all(row["srocc"] is not None for row in cells if row["level"] is None)
