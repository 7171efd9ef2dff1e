"""evaluate@{encoder}-{database}: predictions of opinions, and how they agree (data/predictions/, metrics/evaluate/)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import artifacts
from pipeline.databases import Manifest, load_manifest
from pipeline.evaluation import Protocol, check_encoder, evaluate, evaluate_metric, evaluate_stored, is_metric
from pipeline.evaluation.leaks import EncoderCheck
from pipeline.features import read_features, weights_sha256
from pipeline.params import Params
from pipeline.shards.reader import ShardSet
from stages import DATA, METRICS, entry


def run(params: Params, encoder: str, database: str) -> None:
    """Look for leaks, fit the regressors of every split, predict its test part, measure. A metric is only measured, as
    are the predictions of a fine-tuned network.
    """
    manifest, model = load_manifest(database, params.database_folder(database)), DATA / "models" / encoder
    path, card = DATA / "databases" / f"{database}.parquet", artifacts.read_json(model / "encoder.json")
    images = artifacts.read_table(path)
    check = checked(params, encoder, card, images, manifest)
    sha256 = dict(zip(images["image_id"].to_pylist(), images["sha256"].to_pylist(), strict=True))
    splits, memory = params.run.paths.splits.get(database), params.run.memory
    protocol = Protocol.of(params.evaluate, manifest, seed=params.seed, memory=memory, split_file=splits)
    if database in card.get("predictions", {}):
        predictions = stored_predictions(model, card, database)
        metrics = evaluate_stored(predictions, images, protocol, card=card, sha256=sha256, seen=check.seen)
    else:
        table = read_features(DATA / "features" / encoder / path.name, weights=weights_sha256(model), database=path)
        judge = evaluate_metric if is_metric(table) else evaluate
        predictions, metrics = judge(table, protocol, sha256=sha256, seen=check.seen)
    artifacts.write_table(DATA / "predictions" / encoder / f"{database}.parquet", predictions)
    artifacts.write_json(METRICS / "evaluate" / encoder / f"{database}.json", {**metrics, "leaks": check.report})


def checked(
    params: Params, encoder: str, card: Mapping[str, Any], images: pa.Table, manifest: Manifest
) -> EncoderCheck:
    """Look for leaks between an encoder, by its card, and a database, by its table and manifest."""
    declared = {"embedded": manifest.kind == "members", "shares_groups": manifest.official_shares_groups}
    bits = params.evaluate.near_duplicate_bits
    return check_encoder(encoder, card, images, manifest.name, _sources, table_of, **declared, bits=bits)


def stored_predictions(model: Path, card: Mapping[str, Any], database: str) -> pa.Table:
    """The predictions that a fine-tuned network wrote; :class:`ArtifactError` if they are not those of its card."""
    path = model / "predictions" / f"{database}.parquet"
    if not path.is_file() or artifacts.sha256_file(path) != card["predictions"][database]:
        raise artifacts.ArtifactError(f"{path}: not the predictions that the card names; run finetune again")
    return artifacts.read_table(path)


def table_of(database: str) -> pa.Table | None:
    """A database's table, or None where it is not here."""
    path = DATA / "databases" / f"{database}.parquet"
    return artifacts.read_table(path) if path.is_file() else None


def _sources(name: str) -> pa.Table | None:
    folder = DATA / "sources" / name
    return ShardSet(folder).table if (folder / artifacts.MANIFEST).is_file() else None


if __name__ == "__main__":
    entry(run, "encoder", "database")
