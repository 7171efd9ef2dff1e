"""A ridge with an order: against a general minimiser, and what its weight does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from pipeline.evaluation import Order, stored_fits
from pipeline.evaluation.regressors import RegressionData, open_features, ordered
from pipeline.evaluation.regressors.ordered import OrderError, fit_ordered
from pipeline.evaluation.regressors.ridge import fit
from pipeline.features import FeatureTable
from tests.evaluation.tables import write_features

DIM, IMAGES = 6, 90


@pytest.fixture(params=(False, True), ids=("raw", "standardised"))
def table(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureTable:
    draw = np.random.default_rng(5)
    x = draw.normal(size=(IMAGES, DIM)) * ([1, 5, 1, 0.2, 1, 3] if request.param else 1)
    mos = 3 + x @ draw.normal(size=DIM) + draw.normal(size=IMAGES)
    return write_features(tmp_path / "table.parquet", x, mos, standardise=request.param)


def regression(table: FeatureTable) -> RegressionData:
    features = open_features(table, memory=2**31)["nr"]
    scored = table.columns.take(features.rows)
    return RegressionData(features, scored["mos"].to_numpy(), np.asarray(scored["group"].to_pylist()))


def pairs(count: int = 40) -> np.ndarray:
    return np.random.default_rng(6).normal(size=(count, DIM)).astype(np.float32) + 0.3


@pytest.mark.parametrize("weight", (0.01, 1.0, 100.0))
def test_it_is_the_minimum(table: FeatureTable, weight: float) -> None:
    data, order, penalty = regression(table), Order(pairs(), weight, 0.4), 2.0
    rows = np.arange(0, IMAGES, 2)
    found = fit_ordered(data, rows, penalty, order)
    x, y = table.matrix()[rows].astype(np.float64), data.mos[rows]
    scale = x.std(axis=0) if data.standardise else np.ones(DIM)

    def total(w: np.ndarray) -> float:
        short = np.maximum(0, order.step + (order.differences / scale) @ w)
        loss = np.sum((y - y.mean() - ((x - x.mean(axis=0)) / scale) @ w) ** 2) + penalty * w @ w
        return float(loss + weight * len(rows) / len(short) * short @ short)

    best = minimize(total, np.zeros(DIM), method="BFGS", options={"gtol": 1e-9})
    assert total(found.coef[:, 0] * scale) <= best.fun * (1 + 1e-9)
    np.testing.assert_allclose(found.coef[:, 0] * scale, best.x, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.predict(x).mean(), y.mean(), atol=1e-9)


def test_without_a_pair_that_is_short_it_is_the_ridge(table: FeatureTable) -> None:
    data, rows = regression(table), np.arange(IMAGES)
    plain = fit(data, rows, np.array([2.0]))
    falling = -plain.coef.T / np.linalg.norm(plain.coef) ** 2  # a prediction that falls by 1
    found = fit_ordered(data, rows, 2.0, Order(np.repeat(falling, 3, axis=0), 50.0, 0.5))
    np.testing.assert_allclose(found.coef, plain.coef, rtol=1e-9)
    np.testing.assert_allclose(found.intercept, plain.intercept, rtol=1e-9)


def test_more_weight_more_pairs_that_fall_and_the_stored_fit_says_how_many(table: FeatureTable) -> None:
    order = [Order(pairs(), weight, 0.4) for weight in (1e-3, 1.0, 1e3)]
    fits = [stored_fits(table, (2.0,), seed=1, order=each)["nr"] for each in order]
    shares = [fitted.falling for fitted in fits]
    assert shares[0] < shares[1] <= shares[2] and fits[0].criterion > fits[2].criterion
    plain = stored_fits(table, (2.0,), seed=1)["nr"]
    assert plain.falling is None and abs(plain.criterion - fits[0].criterion) < 0.01
    coef = fits[2].coef / fits[2].scale
    assert shares[2] == np.mean(pairs() @ coef < 0)


def test_pairs_that_can_not_be_fitted_are_refused() -> None:
    with pytest.raises(OrderError, match="finite"):
        Order(np.array([[1.0, np.nan]]), 1.0, 0.1)
    with pytest.raises(OrderError, match="needs pairs"):
        Order(np.empty((0, 2)), 1.0, 0.1)


def test_more_numbers_than_images_and_a_large_weight(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    x, pairs = draw.normal(size=(60, 150)), draw.normal(size=(300, 150)) + 0.1
    x, pairs = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (x, pairs))
    table = write_features(tmp_path / "long.parquet", x, 3 + x @ draw.normal(size=150))
    data, order = regression(table), Order(pairs.astype(np.float32), 100.0, 0.05)
    found = fit_ordered(data, np.arange(60), 1e-2, order)
    w, short = found.coef[:, 0], np.maximum(0, 0.05 + order.differences @ found.coef[:, 0])
    residual = data.mos - data.mos.mean() - (table.matrix() - table.matrix().mean(axis=0)) @ w
    centred = table.matrix() - table.matrix().mean(axis=0)
    gradient = 1e-2 * w - residual @ centred + 100.0 * 60 / 300 * short @ order.differences
    assert np.linalg.norm(gradient) < 1e-4 * np.linalg.norm((data.mos - data.mos.mean()) @ centred)


def test_a_fit_that_does_not_converge_is_an_error(table: FeatureTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered, "MOST_ITERATIONS", 1)
    with pytest.raises(OrderError, match="does not converge .lambda 0.01, weight 100, 40 pairs.; lower the weight"):
        fit_ordered(regression(table), np.arange(IMAGES), 0.01, Order(pairs(), 100.0, 2.0))
