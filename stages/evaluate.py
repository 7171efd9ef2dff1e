"""evaluate@{encoder}-{database}: predictions of opinions, and how they agree (data/predictions/, metrics/evaluate/)."""

from __future__ import annotations

import pyarrow as pa

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.evaluation import Protocol, check_encoder, evaluate, evaluate_metric, is_metric
from pipeline.features import read_features, weights_sha256
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from stages import DATA, METRICS, entry


def run(params: Params, encoder: str, database: str) -> None:
    """Look for leaks, fit the regressors of every split, predict its test part, measure; a metric is only measured."""
    manifest, model = load_manifest(database, params.database_folder(database)), DATA / "models" / encoder
    path, card = DATA / "databases" / f"{database}.parquet", artifacts.read_json(model / "encoder.json")
    images = artifacts.read_table(path)
    declared = {"embedded": manifest.kind == "members", "shares_groups": manifest.official_shares_groups}
    bits = params.evaluate.near_duplicate_bits
    check = check_encoder(encoder, card, images, database, _sources, table_of, **declared, bits=bits)
    table = read_features(DATA / "features" / encoder / path.name, weights=weights_sha256(model), database=path)
    sha256 = dict(zip(images["image_id"].to_pylist(), images["sha256"].to_pylist(), strict=True))
    judge = evaluate_metric if is_metric(table) else evaluate
    splits, memory = params.run.paths.splits.get(database), params.run.memory
    protocol = Protocol.of(params.evaluate, manifest, seed=params.seed, memory=memory, split_file=splits)
    predictions, metrics = judge(table, protocol, sha256=sha256, seen=check.seen)
    artifacts.write_table(DATA / "predictions" / encoder / f"{database}.parquet", predictions)
    artifacts.write_json(METRICS / "evaluate" / encoder / f"{database}.json", {**metrics, "leaks": check.report})


def table_of(database: str) -> pa.Table | None:
    """A database's table, or None where it is not here."""
    path = DATA / "databases" / f"{database}.parquet"
    return artifacts.read_table(path) if path.is_file() else None


def _sources(name: str) -> pa.Table | None:
    folder = DATA / "sources" / name
    return ShardSet(folder).table if (folder / artifacts.MANIFEST).is_file() else None


if __name__ == "__main__":
    entry(run, "encoder", "database")
