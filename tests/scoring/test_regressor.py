"""The stored regressor: what the evaluation's ridge says, to the last digits, and only for its own weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pipeline import artifacts
from pipeline.evaluation.regressors.fit_on_all import STORED_FOLDS, stored_fits
from pipeline.features import read_features
from pipeline.scoring import Linear, RegressorError, choose_regressor, find_regressors, load_regressor, save_regressor
from tests import profile
from tests.evaluation.tables import write_features

LAMBDAS = np.geomspace(1e-3, 1e3, 7).tolist()
ABOUT = {
    "encoder": "toy", "weights_sha256": "ab" * 32, "database": "toys", "dim": 6, "higher_is_better": False,
    "range": [0.0, 100.0], "modes": {"nr": {"lambda": 1.0}},
}  # fmt: skip


def data(images: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    x = draw.normal(5, [1, 10, 0.1, 3, 1, 2], (images, 6)).astype(np.float32)
    return x, x @ [1, 0.1, 5, 0, -1, 0] + draw.normal(0, 0.5, images)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_stored_fit_predicts_what_scikit_learn_does(tmp_path: Path, standardise: bool) -> None:
    x, y = data()
    fit = stored_fits(write_features(tmp_path / "t.parquet", x, y, standardise=standardise), LAMBDAS, seed=1)["nr"]
    assert fit.rule == "leave_one_group_out" and fit.penalty in LAMBDAS and (fit.images, fit.groups) == (60, 10)
    save_regressor(tmp_path / "r", {"nr": Linear(fit.coef, fit.mean, fit.scale, fit.level)}, ABOUT)
    found = load_regressor(tmp_path / "r")
    wide = x.astype(np.float64)
    mean, scale = wide.mean(0), wide.std(0) if standardise else np.ones(6)
    peer = Ridge(alpha=fit.penalty).fit((wide - mean) / scale, y)
    np.testing.assert_allclose(found.modes["nr"].predict(x), peer.predict((wide - mean) / scale), atol=1e-8)
    np.testing.assert_allclose(found.modes["nr"].level, y.mean())
    assert found.meaning == "lower is better, toys runs from 0 to 100"


def test_lambda_is_the_one_that_predicts_left_out_groups_best(tmp_path: Path) -> None:
    x, y = data()
    groups = np.array([f"group{i % 10}" for i in range(len(y))])
    fit = stored_fits(write_features(tmp_path / "t.parquet", x, y), LAMBDAS, seed=1)["nr"]
    from scipy.stats import spearmanr

    scores = []
    for value in LAMBDAS:
        out = np.empty(len(y))
        for name in np.unique(groups):
            rows = groups == name
            out[rows] = Ridge(alpha=value).fit(x[~rows].astype(float), y[~rows]).predict(x[rows].astype(float))
        scores.append(spearmanr(out, y).statistic)
    assert fit.criterion == pytest.approx(max(scores), abs=1e-12)
    assert scores[LAMBDAS.index(fit.penalty)] == pytest.approx(max(scores), abs=1e-12)


def test_many_groups_are_left_out_in_folds_that_the_seed_draws(tmp_path: Path) -> None:
    x, y = data(90)
    table = write_features(tmp_path / "t.parquet", x, y, groups=[f"g{i // 2}" for i in range(90)])
    fit = stored_fits(table, LAMBDAS, seed=1)["nr"]
    assert fit.rule == f"leave_one_of_{STORED_FOLDS}_folds_of_groups_out" and fit.groups == 45
    again = stored_fits(read_features(tmp_path / "t.parquet"), LAMBDAS, seed=1)["nr"]
    assert again.criterion == fit.criterion and (again.coef == fit.coef).all()


def test_a_database_with_references_has_a_full_reference_fit_too(tmp_path: Path) -> None:
    x, y = data(12)
    pristine = [i % 4 == 0 for i in range(12)]
    table = write_features(
        tmp_path / "t.parquet",
        x,
        y,
        is_reference=pristine,
        references=[None if flag else f"image{i - i % 4:05d}" for i, flag in enumerate(pristine)],
        groups=[f"g{i // 4}" for i in range(12)],
    )
    fits = stored_fits(table, LAMBDAS, seed=1)
    assert list(fits) == ["nr", "fr"] and fits["fr"].images == 9
    rows = np.array([i for i in range(12) if i % 4])
    difference = np.abs(x[rows - rows % 4] - x[rows]).astype(float)
    peer = Ridge(alpha=fits["fr"].penalty).fit(difference, y[rows])
    linear = Linear(fits["fr"].coef, fits["fr"].mean, fits["fr"].scale, fits["fr"].level)
    np.testing.assert_allclose(linear.predict(difference), peer.predict(difference), atol=1e-8)


def saved(folder: Path) -> Path:
    save_regressor(folder, {"nr": Linear(np.arange(6.0), np.zeros(6), np.ones(6), 2.5)}, ABOUT)
    return folder


def test_equal_fits_are_equal_bytes(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")
    for name in ("regressor.safetensors", "regressor.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_other_weights_are_refused_and_named(tmp_path: Path) -> None:
    found = load_regressor(saved(tmp_path / "r"))
    found.require_weights("ab" * 32, 6)
    with pytest.raises(
        RegressorError, match=r"toy/toys was made for weights abababababab .*encoder's are cdcdcdcdcdcd"
    ):
        found.require_weights("cd" * 32, 6)


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "r")
    tensors = folder / "regressor.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1] + b"x")
    with pytest.raises(RegressorError, match=r"regressor.safetensors: sha256"):
        load_regressor(folder)
    tensors.unlink()
    with pytest.raises(RegressorError, match="can't be read"):
        load_regressor(folder)
    artifacts.write_json(folder / "regressor.json", {"encoder": "toy"})
    with pytest.raises(RegressorError, match="missing format, weights_sha256"):
        load_regressor(folder)
    saved(folder)
    card = artifacts.read_json(folder / "regressor.json")
    for key, value in (("dim", "six"), ("modes", {"nr": {}}), ("range", 5)):
        artifacts.write_json(folder / "regressor.json", {**card, key: value})
        with pytest.raises(RegressorError, match=rf"regressor.json: {key}.* can not be read"):
            load_regressor(folder)
    tensors.write_bytes(b"no tensors")
    artifacts.write_json(folder / "regressor.json", {**card, "sha256": artifacts.sha256_file(tensors)})
    with pytest.raises(RegressorError, match="not a safetensors file"):
        load_regressor(folder)
    save_regressor(folder, {"nr": Linear(np.full(6, np.nan), np.zeros(6), np.ones(6), 2.5)}, ABOUT)
    with pytest.raises(RegressorError, match="nr.coef is not 6 finite numbers"):
        load_regressor(folder)


def test_a_release_comes_before_what_the_pipeline_stored(tmp_path: Path) -> None:
    data, release = tmp_path / "data", tmp_path / "released"
    with pytest.raises(RegressorError, match="no regressor here: `dvc repro` stores them"):
        choose_regressor(find_regressors([release], data), regressor=None, encoder=None)
    saved(data / "regressors" / "other" / "toys")
    saved(data / "regressors" / "toy" / "toys")
    assert [entry.name for entry in find_regressors([release], data)] == ["other/toys", "toy/toys"]
    saved(release / "regressor")
    artifacts.write_json(release / "encoder" / "encoder.json", {"kind": "floor"})
    known = find_regressors([tmp_path / "nowhere", release], data)
    assert [entry.name for entry in known] == ["released/toys", "other/toys", "toy/toys"]
    assert choose_regressor(known, regressor=None, encoder=None).encoder == release / "encoder"
    assert choose_regressor(known, regressor="toys", encoder="toy").encoder == data / "models" / "toy"
    assert choose_regressor(known, regressor="other/toys", encoder=None).regressor == data / "regressors/other/toys"
    by_folder = choose_regressor(known, regressor=str(data / "regressors/toy/toys"), encoder=str(release / "encoder"))
    assert by_folder.encoder == release / "encoder"
    with pytest.raises(
        RegressorError, match="--regressor koniq10k: no such regressor; there are released/toys, other/"
    ):
        choose_regressor(known, regressor="koniq10k", encoder=None)


def test_the_stage_stores_direction_range_and_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import stages.regressor
    from pipeline.features.baselines import card

    params = profile.read("tiny")
    monkeypatch.chdir(tmp_path)
    artifacts.write_json(tmp_path / "data/models/floor/encoder.json", card("floor"))
    sha256 = card("floor")["sha256"]
    x, y = data()
    write_features(tmp_path / "data/features/floor/photos.parquet", x, y, weights=str(sha256))
    stages.regressor.run(params, "floor", "photos")
    found = load_regressor(tmp_path / "data/regressors/floor/photos")
    found.require_weights(str(sha256), 6)
    told = found.card
    assert (told["higher_is_better"], told["range"], told["images"], told["groups"]) == (True, [1.0, 5.0], 60, 10)
    assert told["modes"]["nr"]["lambda_rule"] == "leave_one_group_out" and told["versions"]["numpy"] == np.__version__
    assert "KADID-10k" in told["title"] + told["note"] + told["citation"]
