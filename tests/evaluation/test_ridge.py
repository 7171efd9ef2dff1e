"""Ridge: equal to scikit-learn's in both forms for all lambdas, whatever the blocks and the scheduler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import Refusal
from pipeline.evaluation.regressors import RegressionData, open_features, shifted_systems, workers_within
from pipeline.evaluation.regressors.ridge import fit, fit_dual, fit_primal, predict
from pipeline.evaluation.regressors.shifted_systems import shifted_solutions
from tests.evaluation.tables import write_features

LAMBDAS = np.geomspace(1e-3, 1e3, 13)


def data_of(
    path: Path, x: np.ndarray, y: np.ndarray, *, memory: int = 2**31, workers: int = 2, standardise: bool = False
) -> RegressionData:
    features = open_features(write_features(path, x, y, standardise=standardise), memory=memory)["nr"]
    return RegressionData(features, y, np.zeros(len(y)), workers)


def unit_halves(rng: np.random.Generator, rows: int, half: int) -> np.ndarray:
    """ReLU-like features, each half L2-normalised, as an encoder's are: a mean far from zero, small variances."""
    parts = np.maximum(rng.normal(0.6, 0.5, (2, rows, half)), 0)
    return np.concatenate(list(parts / np.linalg.norm(parts, axis=2, keepdims=True)), axis=1).astype(np.float32)


def peer(x: np.ndarray, y: np.ndarray, new: np.ndarray, standardise: bool) -> np.ndarray:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    x, new = x.astype(np.float64), new.astype(np.float64)
    if standardise:
        scaler = StandardScaler().fit(x)
        x, new = scaler.transform(x), scaler.transform(new)
    return np.stack([Ridge(alpha=value).fit(x, y).predict(new) for value in LAMBDAS], axis=1)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize(("rows", "half"), [(2500, 64), (2500, 300), (300, 256)], ids=["primal", "krylov", "dual"])
def test_equal_to_scikit_learn_for_all_lambdas(tmp_path: Path, rows: int, half: int, standardise: bool) -> None:
    rng = np.random.default_rng(1)
    x = unit_halves(rng, rows, half)
    y = 50 + 20 * (x @ rng.normal(size=2 * half)) + rng.normal(size=rows)
    train, test = np.arange(0, rows, 2), np.arange(1, rows, 2)
    data = data_of(tmp_path / "f.parquet", x, y, standardise=standardise)
    found = predict(data.features, test, fit(data, train, LAMBDAS))
    assert np.max(np.abs(found - peer(x[train], y[train], x[test], standardise))) < 1e-8


def test_both_forms_give_the_same_predictions(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x, y = unit_halves(rng, 400, 64), rng.normal(size=400)
    data = data_of(tmp_path / "f.parquet", x, y)
    rows = np.arange(200)
    primal = fit_primal(data.gram(rows), LAMBDAS, shift=data.shift, standardise=False)
    dual = fit_dual(x[rows].astype(np.float64), y[rows], LAMBDAS, standardise=False)
    assert np.max(np.abs(primal.predict(x) - dual.predict(x))) < 1e-9


def test_sums_of_a_part_are_the_whole_less_the_rest(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x, y = unit_halves(rng, 3000, 32), rng.normal(size=3000)
    data = data_of(tmp_path / "f.parquet", x, y)
    rows = np.sort(rng.permutation(3000)[:2500])
    found, direct = data.gram(rows), data.direct_gram(rows)
    assert found.n == direct.n == 2500
    np.testing.assert_allclose(np.tril(found.xx), np.tril(direct.xx), rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.diag(direct.xx), np.sum((x[rows] - data.shift) ** 2, axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.xy, direct.xy, rtol=0, atol=1e-11)


def test_bits_do_not_depend_on_memory_or_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x, y = unit_halves(rng, 3000, 16), rng.normal(size=3000)
    rows, fits = np.arange(0, 3000, 3), []
    for memory, workers in ((2**31, 1), (0, 3)):
        data = data_of(tmp_path / "f.parquet", x, y, memory=memory, workers=workers)
        assert (data.features.held is None) == (memory == 0)
        fits.append(fit(data, rows, LAMBDAS))
    assert np.array_equal(fits[0].coef, fits[1].coef)
    assert np.array_equal(fits[0].intercept, fits[1].intercept)


def test_a_smaller_allowance_means_fewer_threads_and_never_none() -> None:
    assert workers_within(2**40, 4096, 8) == 8
    assert workers_within(2**28, 1024, 8) == 4
    assert workers_within(2**26, 4096, 8) == 1


@pytest.mark.parametrize("spread", [0, 3, 8], ids=["equal", "three_decades", "eight_decades"])
@pytest.mark.parametrize("size", [1, 2, 3, 40, 300])
@pytest.mark.parametrize("small", [0, 512], ids=["krylov", "factors"])
def test_shifted_systems_are_solved_for_every_lambda(
    monkeypatch: pytest.MonkeyPatch, small: int, size: int, spread: int
) -> None:
    monkeypatch.setattr(shifted_systems, "SMALL", small)
    rng = np.random.default_rng(size)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    matrix = np.asfortranarray(basis * np.geomspace(100, 100 * 10.0**-spread, size) @ basis.T)
    right = rng.normal(size=size)
    lower = np.tril(matrix)
    lambdas = rng.permutation(LAMBDAS)
    found = shifted_solutions(np.asfortranarray(lower), right, lambdas)
    for column, value in enumerate(lambdas):
        exact = np.linalg.solve(matrix + value * np.eye(size), right)
        np.testing.assert_allclose(found[:, column], exact, atol=1e-10 * np.abs(exact).max())


def test_a_matrix_of_low_rank_and_a_zero_right_side_are_harmless() -> None:
    matrix, right = np.zeros((5, 5), order="F"), np.arange(5.0)
    np.testing.assert_allclose(shifted_solutions(matrix, right, LAMBDAS), right[:, None] / LAMBDAS)
    assert not shifted_solutions(matrix, 0 * right, LAMBDAS).any()


def test_a_lambda_below_the_rounding_is_refused() -> None:
    ones = np.ones((40, 40), order="F") * 1e8
    with pytest.raises(Refusal, match="lambda 1e-12 is below .* raise evaluate.lambda_min"):
        shifted_solutions(ones, np.arange(40.0), np.array([1e-12]))


def test_a_constant_feature_is_harmless_when_scaled(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    x = np.c_[rng.normal(size=(100, 3)), np.full(100, 7.3)].astype(np.float32)
    y = x[:, 0] + rng.normal(size=100)
    model = fit(data_of(tmp_path / "f.parquet", x, y, standardise=True), np.arange(100), LAMBDAS)
    assert np.isfinite(model.coef).all()
    assert np.max(np.abs(model.predict(x) - peer(x, y, x, True))) < 1e-8
