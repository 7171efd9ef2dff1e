"""pooled@{name}: a ridge on several databases together, for `synthetic-iqa score` (data/regressors/)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.evaluation import Opinions, pooled_features, scored_rows
from pipeline.features import read_features, weights_sha256
from pipeline.params import Params
from stages import DATA, entry
from stages.regressor import store


def run(params: Params, name: str) -> None:
    """Put the opinions of several databases on one scale, fit on all of their images, and store it."""
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
    with TemporaryDirectory() as folder:
        path = Path(folder) / "features.parquet"
        artifacts.write_table(path, pooled_features(opinions, encoder=encoder, name=name))
        store(params, encoder, name, path, scale)


if __name__ == "__main__":
    entry(run, "name")
