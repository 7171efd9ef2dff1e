"""evaluate@{encoder}-{database}: predictions of opinions, and how they agree (data/predictions/, metrics/evaluate/)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.evaluation import Protocol, SvrGrid, evaluate, evaluate_metric, is_metric
from pipeline.features import read_features, weights_sha256
from pipeline.params import EvaluateParams, Params
from stages import DATA, METRICS, entry


def run(params: Params, encoder: str, database: str) -> None:
    """Fit the regressors of every split, predict its test part, measure the agreement; a metric is only measured."""
    knobs, manifest = params.evaluate, load_manifest(database, Path(params.run.paths.databases.get(database, ".")))
    weights = weights_sha256(DATA / "models" / encoder)
    table = read_features(DATA / "features" / encoder / f"{database}.parquet", weights=weights)
    protocol = Protocol(
        name=manifest.protocol if knobs.protocol == "manifest" else knobs.protocol,
        lambdas=tuple(np.geomspace(knobs.lambda_min, knobs.lambda_max, knobs.lambda_count).tolist()),
        splits=knobs.splits,
        seed=params.seed,
        min_groups=knobs.min_validation_groups,
        stratified=manifest.stratified,
        shares_groups=manifest.official_shares_groups,
        regressors=knobs.regressors,
        svr=_grid(knobs),
    )
    predictions, metrics = (evaluate_metric if is_metric(table) else evaluate)(table, protocol)
    artifacts.write_table(DATA / "predictions" / encoder / f"{database}.parquet", predictions)
    artifacts.write_json(METRICS / "evaluate" / encoder / f"{database}.json", metrics)


def _grid(knobs: EvaluateParams) -> SvrGrid:
    svr = knobs.svr
    costs, gammas = tuple(sorted(svr.c)), tuple(sorted(svr.gamma))
    return SvrGrid(costs, gammas, grid_images=svr.grid_images, most_images=svr.images, most_numbers=svr.numbers)


if __name__ == "__main__":
    entry(run, "encoder", "database")
