"""pooled@{name}: a ridge on several databases together, for `synthetic-iqa score` (data/regressors/)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.devices import resolve_device
from pipeline.encoder import Extractor
from pipeline.evaluation import Opinions, Order, pooled_features, scored_rows
from pipeline.features import load_extractor, read_features, weights_sha256
from pipeline.params import OrderParams, Params
from pipeline.scoring.monotonicity import level_differences
from pipeline.shards.reader import ShardSet
from stages import DATA, entry, feature_engine
from stages.regressor import store


def run(params: Params, name: str) -> None:
    """Put the opinions of several databases on one scale, fit on all of their images, and store it; with an `order`, a
    fit whose scores fall as photographs are distorted.
    """
    encoder, databases = params.pooled[name].encoder, params.pooled[name].databases
    weights, opinions, titles = weights_sha256(DATA / "models" / encoder), {}, {}
    for database in databases:
        manifest = load_manifest(database, params.database_folder(database))
        table = read_features(DATA / "features" / encoder / f"{database}.parquet", weights=weights)
        opinions[database] = Opinions(table, manifest.range, manifest.higher_is_better)
        titles[database] = f"{manifest.title} ({manifest.citation})"
    scale = {
        "title": " + ".join(databases),
        "citation": "; ".join(titles.values()),
        "note": "opinions of each database on 0 to 1 by its declared range; each counts alike",
        "higher_is_better": True,
        "range": [0, 1],
        "short_side": None,
        "databases": list(databases),
        "images": sum(len(scored_rows(each.table)) for each in opinions.values()),
    }
    order = None
    if (asked := params.pooled[name].order) is not None:
        pairs = _pairs(params, encoder, asked)
        whole = np.isfinite(pairs).all(axis=1)
        order = Order(pairs[whole], asked.weight, asked.step)
        scale["order"] = {**asked.model_dump(), "pairs": int(whole.sum()), "pairs_left_out": int((~whole).sum())}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "features.parquet"
        artifacts.write_table(path, pooled_features(opinions, encoder=encoder, name=name))
        store(params, encoder, name, path, scale, order)


def _pairs(params: Params, encoder: str, asked: OrderParams) -> np.ndarray:
    """What each next level of a distortion adds to the features of the set's first images."""
    sources = ShardSet(DATA / "sources" / asked.set)
    device = resolve_device(params.run.device)
    folder, precision = DATA / "models" / encoder, params.features.precision
    extractor = load_extractor(folder, device=device.kind, precision=precision)
    chosen = range(min(asked.images, len(sources)))
    work = partial(_of_one, sources, extractor, params.seed)
    found = feature_engine(params.run, device).map(work, chosen, describe=f"levels of {asked.set} by {encoder}")
    return np.concatenate(found)


def _of_one(sources: ShardSet, extractor: Extractor, seed: int, number: int) -> np.ndarray:
    return level_differences(extractor, sources.image(number), number=number, seed=seed)


if __name__ == "__main__":
    entry(run, "name")
