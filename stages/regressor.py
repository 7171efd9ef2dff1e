"""regressor@{encoder}-{database}: a ridge on the whole database, for `synthetic-iqa score` (data/regressors/)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.evaluation import Order, stored_fits
from pipeline.features import read_features, weights_sha256
from pipeline.params import Params
from pipeline.scoring import Linear, save_regressor
from stages import DATA, entry

LIBRARIES = ("numpy", "scipy", "synthetic-iqa")


def run(params: Params, encoder: str, database: str) -> None:
    """Fit on every scored image, without and with the reference, and store it with what its numbers mean.

    A metric needs none: a note says so.
    """
    if params.is_metric(encoder):
        note = {"encoder": encoder, "note": "a metric needs no regressor"}
        artifacts.write_json(DATA / "regressors" / encoder / database / "metric.json", note)
        return
    manifest = load_manifest(database, params.database_folder(database))
    scale = {
        "title": manifest.title,
        "citation": manifest.citation,
        "note": manifest.note,
        "higher_is_better": manifest.higher_is_better,
        "range": list(manifest.range),
        "short_side": manifest.short_side,
    }
    store(params, encoder, database, DATA / "features" / encoder / f"{database}.parquet", scale)


def store(
    params: Params, encoder: str, database: str, path: Path, scale: Mapping[str, object], order: Order | None = None
) -> None:
    """Fit on the feature table at ``path`` and write the regressor ``database``; its card takes ``scale`` too. With an
    ``order``, scores fall along its pairs.
    """
    weights = weights_sha256(DATA / "models" / encoder)
    table = read_features(path, weights=weights)
    seen = artifacts.read_json(DATA / "models" / encoder / "encoder.json").get("opinions")  # then a training figure
    fits = stored_fits(table, params.evaluate.lambdas, seed=params.seed, memory=params.run.memory, order=order)
    card = {
        "kind": "ridge",
        "encoder": encoder,
        "weights_sha256": weights,
        "dim": table.dim,
        "standardise": bool(table.metadata.get("standardise", False)),
        "database": database,
        "features_sha256": artifacts.sha256_file(path),
        "images": fits["nr"].images,
        "groups": fits["nr"].groups,
        "modes": {
            mode: {"lambda": fit.penalty, "lambda_rule": fit.rule, "srocc_left_out": None if seen else fit.criterion}
            | ({} if fit.falling is None else {"pairs_falling": fit.falling})
            for mode, fit in fits.items()
        },
        "versions": {name: version(name) for name in LIBRARIES},
        **scale,
    }
    modes = {mode: Linear(fit.coef, fit.mean, fit.scale, fit.level) for mode, fit in fits.items()}
    save_regressor(DATA / "regressors" / encoder / database, modes, card)


if __name__ == "__main__":
    entry(run, "encoder", "database")
