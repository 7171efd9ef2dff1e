"""compare: methods beside one another, intervals, tests, pairs of databases (metrics/compare.json, data/compare/)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import artifacts, engine, evaluation
from pipeline.databases import Manifest, load_manifest
from pipeline.evaluation import ScoredDatabase
from pipeline.features import read_features, weights_sha256
from pipeline.params import Params
from stages import DATA, METRICS, entry
from stages.evaluate import protocol_of


def run(params: Params) -> None:
    """Compare what evaluate left, and judge every encoder across every pair of databases."""
    names = {name: load_manifest(name, params.database_folder(name)) for name in params.databases}
    cells = [f"{encoder}/{database}" for database in names for encoder in params.encoders]
    predictions = [artifacts.read_table(DATA / "predictions" / f"{cell}.parquet") for cell in cells]
    tables = {name: artifacts.read_table(DATA / "databases" / f"{name}.parquet") for name in names}
    ratios = {name: evaluation.test_to_train(tables[name], protocol_of(params, names[name]), name) for name in names}
    found: dict[str, Any] = {"level": 0.95, **evaluation.compare(predictions, ratios), "cross": _cross(params, names)}
    figures = evaluation.published_figures()
    for row in [*found["methods"], *found["cross"]]:
        row["published"] = evaluation.verdicts(row, figures)
    raters = ((name, manifest.raters) for name, manifest in names.items())
    ceilings = (evaluation.noise_ceiling(tables[name], name, count, seed=params.seed) for name, count in raters)
    found["ceilings"] = [ceiling for ceiling in ceilings if ceiling is not None]
    artifacts.write_table(DATA / "compare" / "table.parquet", evaluation.results_table(found))
    artifacts.write_json(METRICS / "compare.json", found)


def _cross(params: Params, names: dict[str, Manifest]) -> list[dict[str, Any]]:
    knobs, entries = params.evaluate, list[dict[str, Any]]()
    lambdas = np.geomspace(knobs.lambda_min, knobs.lambda_max, knobs.lambda_count)
    for encoder in params.encoders:

        def domain(name: str, encoder: str = encoder) -> ScoredDatabase | None:
            about, file, made_by = names[name], f"{name}.parquet", weights_sha256(DATA / "models" / encoder)
            path, made_of = DATA / "features" / encoder / file, DATA / "databases" / file
            table = read_features(path, weights=made_by, database=made_of)
            images, memory = artifacts.read_table(made_of), params.run.memory
            if evaluation.is_metric(table):
                return None
            return ScoredDatabase(table, images, about.higher_is_better, about.range, memory)

        pairs = evaluation.cross_pairs(list(names), domain, lambdas, seed=params.seed, bits=knobs.near_duplicate_bits)
        for made in engine.progress(pairs, total=len(names) * (len(names) - 1), describe=f"compare {encoder} across"):
            entries += made
    return entries


if __name__ == "__main__":
    entry(run)
