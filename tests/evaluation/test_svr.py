"""The second regressor: what scikit-learn gives, chosen as lambda is, and refused above its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation import Protocol, evaluate
from pipeline.evaluation.regressors import RegressionData, Svr, TooLarge, open_features
from pipeline.evaluation.splits import Split
from pipeline.params import SvrParams
from tests.evaluation.tables import write_features

SMALL = SvrParams(c=(1.0, 100.0), gamma=(0.3, 1.0))


def curved(path: Path, *, groups: int = 30, each: int = 10, **columns):
    """Opinions that a straight line in the features cannot tell."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(groups * each, 4)) * [1, 100, 1, 1]
    y = 3 + (x[:, 1] / 100) ** 2 + 0.05 * rng.normal(size=len(x))
    return write_features(path, x, y, groups=[f"g{i // each:02d}" for i in range(len(x))], **columns), x, y


def test_one_candidate_is_scikit_learns_machine_on_scaled_numbers(tmp_path: Path) -> None:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    table, _, y = curved(tmp_path / "f.parquet")
    x = table.matrix().astype(np.float64)
    split = Split(0, np.arange(200), np.arange(200, 250), np.arange(250, 300))
    groups = np.asarray(table.columns["group"].to_pylist())
    data = RegressionData(open_features(table, memory=2**30)["nr"], y, groups)
    found = Svr(SvrParams(c=(10.0,), gamma=(1.0,)), seed=0).fit(data, split)
    machine = make_pipeline(StandardScaler(), SVR(C=10.0, gamma=0.25, epsilon=0.1))
    peer = TransformedTargetRegressor(machine, transformer=StandardScaler()).fit(x[:200], y[:200])
    np.testing.assert_allclose(found.test, peer.predict(x[250:]), atol=1e-6)
    np.testing.assert_allclose(found.val, peer.predict(x[200:250]), atol=1e-6)
    assert found.settings == {"C": 10.0, "gamma": 0.25} and found.at_edge


def test_it_sees_what_a_ridge_cannot_and_stands_beside_it(tmp_path: Path) -> None:
    table, _, _ = curved(tmp_path / "f.parquet", groups=60)
    predictions, metrics = evaluate(table, Protocol("random", splits=2, regressors=("ridge", "svr"), svr=SMALL))
    assert metrics["regressor"] == "ridge"
    assert metrics["nr"]["svr"]["srocc"] > 0.9 > 0.5 > metrics["nr"]["ridge"]["srocc"]
    frame = predictions.to_pandas()
    tested = frame[frame["part"] == "test"].groupby(["regressor", "split"])["image_id"].apply(set)
    assert tested["ridge", 1] == tested["svr", 1]
    assert frame[frame["regressor"] == "svr"]["lambda"].isna().all()
    assert {s["lambda_rule"] for s in metrics["nr"]["svr"]["splits"]} == {"validation"}


def test_few_validation_groups_choose_by_leaving_one_out(tmp_path: Path) -> None:
    table, _, _ = curved(tmp_path / "f.parquet", groups=10)
    _, metrics = evaluate(table, Protocol("random", splits=1, regressors=("svr",), svr=SMALL))
    (split,) = metrics["nr"]["svr"]["splits"]
    assert split["lambda_rule"] == "leave_one_group_out"
    assert metrics["nr"]["svr"]["srocc"] > 0.8 and split["C"] in SMALL.c


def test_the_grid_runs_on_at_most_so_many_images_and_the_final_fit_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.evaluation.regressors import svr

    table, _, y = curved(tmp_path / "f.parquet")
    split = Split(0, np.arange(200), np.arange(200, 250), np.arange(250, 300))
    groups = np.asarray(table.columns["group"].to_pylist())
    seen: list[int] = []
    original = svr._predictions

    def counted(x, y, on, parts, cost, gamma):
        seen.append(len(on))
        return original(x, y, on, parts, cost, gamma)

    monkeypatch.setattr(svr, "_predictions", counted)
    data = RegressionData(open_features(table, memory=2**30)["nr"], y, groups)
    Svr(SMALL.model_copy(update={"max_grid_images": 50}), seed=0).fit(data, split)
    assert seen == [50] * 4 + [200]


def test_a_table_above_its_size_is_left_out_with_the_reason_or_refused(tmp_path: Path) -> None:
    table, _, _ = curved(tmp_path / "f.parquet")
    few = SMALL.model_copy(update={"max_images": 100})
    predictions, metrics = evaluate(table, Protocol("random", splits=1, regressors=("ridge", "svr"), svr=few))
    assert "300 images of 4 features" in metrics["skipped"]["svr"]
    assert set(predictions["regressor"].to_pylist()) == {"ridge"}
    with pytest.raises(TooLarge, match="evaluate.svr.max_images"):
        evaluate(table, Protocol("random", splits=1, regressors=("svr",), svr=few))
    with pytest.raises(TooLarge, match="evaluate.svr.max_features"):
        evaluate(table, Protocol("random", regressors=("svr",), svr=SMALL.model_copy(update={"max_features": 3})))


def test_it_is_unmoved_by_the_opinions_of_its_test_part(tmp_path: Path) -> None:
    table, x, y = curved(tmp_path / "f.parquet", groups=10)
    protocol = Protocol("leave_one_group_out", regressors=("svr",), svr=SMALL)
    before, _ = evaluate(table, protocol)
    moved = y.copy()
    moved[:10] = moved[:10][::-1] + 50
    changed = write_features(tmp_path / "g.parquet", x, moved, groups=table.columns["group"].to_pylist())
    after, _ = evaluate(changed, protocol)
    assert np.array_equal(before["prediction"].to_numpy()[:10], after["prediction"].to_numpy()[:10])
