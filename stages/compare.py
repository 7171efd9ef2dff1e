"""compare: methods beside one another, intervals, tests, pairs of databases (metrics/compare.json, data/compare/)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from pipeline import artifacts, engine, evaluation
from pipeline.databases import Manifest, load_manifest
from pipeline.evaluation import Protocol, ScoredDatabase
from pipeline.params import Params
from stages import DATA, METRICS, entry


def run(params: Params) -> None:
    """Compare what evaluate left, and judge every encoder across every pair of databases."""
    manifests = {name: load_manifest(name, params.database_folder(name)) for name in params.databases}
    tables = {name: artifacts.read_table(DATA / "databases" / f"{name}.parquet") for name in manifests}
    cells = [f"{encoder}/{database}" for database in manifests for encoder in params.encoders]
    predictions = [artifacts.read_table(DATA / "predictions" / f"{cell}.parquet") for cell in cells]
    ratios = {}
    for name, manifest in manifests.items():
        splits, memory = params.run.paths.splits.get(name), params.run.memory
        protocol = Protocol.of(params.evaluate, manifest, seed=params.seed, memory=memory, split_file=splits)
        ratios[name] = evaluation.test_to_train(tables[name], protocol, name)
    results: dict[str, Any] = {"level": 0.95, **evaluation.compare(predictions, ratios)}
    results["cross"] = [row for encoder in params.encoders for row in _cross(params, encoder, manifests, tables)]
    figures = evaluation.published_figures()
    for row in [*results["methods"], *results["cross"]]:
        row["published"] = evaluation.verdicts(row, figures)
    raters = {name: manifest.raters for name, manifest in manifests.items()}
    ceilings = (evaluation.noise_ceiling(tables[name], name, count, seed=params.seed) for name, count in raters.items())
    results["ceilings"] = [asdict(ceiling) for ceiling in ceilings if ceiling is not None]
    artifacts.write_table(DATA / "compare" / "table.parquet", evaluation.results_table(results))
    artifacts.write_json(METRICS / "compare.json", results)


def _cross(
    params: Params, encoder: str, manifests: Mapping[str, Manifest], tables: Mapping[str, pa.Table]
) -> Iterator[dict[str, Any]]:
    knobs, bits = params.evaluate, params.evaluate.near_duplicate_bits

    def load(name: str) -> ScoredDatabase | None:
        memory = params.run.memory
        return evaluation.open_scored(DATA, encoder, manifests[name], tables.get, memory=memory, bits=bits)

    pairs = evaluation.cross_pairs(list(manifests), load, knobs.lambdas, seed=params.seed, bits=bits)
    number = len(manifests) * (len(manifests) - 1)
    for rows in engine.progress(pairs, total=number, describe=f"compare {encoder} across"):
        yield from rows


if __name__ == "__main__":
    entry(run)
