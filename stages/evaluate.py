"""evaluate@{encoder}-{database}: predictions of opinions, and how they agree (data/predictions/, metrics/evaluate/)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import artifacts
from pipeline.databases import Manifest, load_manifest
from pipeline.evaluation import Protocol, SvrGrid, check_encoder, evaluate, evaluate_metric, is_metric
from pipeline.features import read_features, weights_sha256
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from stages import DATA, METRICS, entry


def run(params: Params, encoder: str, database: str) -> None:
    """Look for leaks, fit the regressors of every split, predict its test part, measure; a metric is only measured."""
    manifest = load_manifest(database, params.database_folder(database))
    model, path = DATA / "models" / encoder, DATA / "databases" / f"{database}.parquet"
    bits = params.evaluate.near_duplicate_bits
    images, card = artifacts.read_table(path), artifacts.read_json(model / "encoder.json")
    leaks = check_encoder(encoder, card, images, database, _sources, embedded=manifest.kind == "members", bits=bits)
    table = read_features(DATA / "features" / encoder / path.name, weights=weights_sha256(model), database=path)
    sha256 = dict(zip(images["image_id"].to_pylist(), images["sha256"].to_pylist(), strict=True))
    judge = evaluate_metric if is_metric(table) else evaluate
    predictions, metrics = judge(table, protocol_of(params, manifest), sha256=sha256)
    artifacts.write_table(DATA / "predictions" / encoder / f"{database}.parquet", predictions)
    artifacts.write_json(METRICS / "evaluate" / encoder / f"{database}.json", {**metrics, "leaks": leaks})


def _sources(name: str) -> pa.Table | None:
    folder = DATA / "sources" / name
    return ShardSet(folder).table if (folder / artifacts.MANIFEST).is_file() else None


def protocol_of(params: Params, manifest: Manifest) -> Protocol:
    """How encoders are judged on the manifest's database."""
    knobs, svr, file = params.evaluate, params.evaluate.svr, params.run.paths.splits.get(manifest.name)
    most = (svr.max_grid_images, svr.max_images, svr.max_features)
    declared = manifest.protocol if knobs.protocol == "manifest" else knobs.protocol
    return Protocol(
        name="imported" if file else declared,
        split_file=None if file is None else Path(file),
        lambdas=tuple(np.geomspace(knobs.lambda_min, knobs.lambda_max, knobs.lambda_count).tolist()),
        splits=knobs.splits,
        seed=params.seed,
        min_groups=knobs.min_validation_groups,
        stratified=manifest.stratified,
        shares_groups=manifest.official_shares_groups,
        memory=params.run.memory,
        regressors=knobs.regressors,
        svr=SvrGrid(tuple(sorted(svr.c)), tuple(sorted(svr.gamma)), *most),
    )


if __name__ == "__main__":
    entry(run, "encoder", "database")
