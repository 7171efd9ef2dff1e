"""regressor@{encoder}-{database}: a ridge on the whole database, for `synthetic-iqa score` (data/regressors/)."""

from __future__ import annotations

from importlib.metadata import version

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.evaluation import stored_fits
from pipeline.features import read_features, weights_sha256
from pipeline.params import Params
from pipeline.scoring import Linear, save_regressor
from stages import DATA, entry

LIBRARIES = ("numpy", "scipy", "synthetic-iqa")


def run(params: Params, encoder: str, database: str) -> None:
    """Fit on every scored image, without and with the reference, and store it with what its numbers mean.

    A metric needs none: a note says so.
    """
    folder = DATA / "regressors" / encoder / database
    if params.is_metric(encoder):
        artifacts.write_json(folder / "metric.json", {"encoder": encoder, "note": "a metric needs no regressor"})
        return
    knobs, manifest = params.evaluate, load_manifest(database, params.database_folder(database))
    weights, path = weights_sha256(DATA / "models" / encoder), DATA / "features" / encoder / f"{database}.parquet"
    table = read_features(path, weights=weights)
    seen = artifacts.read_json(DATA / "models" / encoder / "encoder.json").get("opinions")  # then a training figure
    fits = stored_fits(table, knobs.lambdas, seed=params.seed, memory=params.run.memory)
    about = {
        "kind": "ridge",
        "encoder": encoder,
        "weights_sha256": weights,
        "dim": table.dim,
        "standardise": bool(table.metadata.get("standardise", False)),
        "database": database,
        "title": manifest.title,
        "citation": manifest.citation,
        "note": manifest.note,
        "higher_is_better": manifest.higher_is_better,
        "range": list(manifest.range),
        "short_side": manifest.short_side,
        "features_sha256": artifacts.sha256_file(path),
        "images": fits["nr"].images,
        "groups": fits["nr"].groups,
        "modes": {
            mode: {"lambda": fit.penalty, "lambda_rule": fit.rule, "srocc_left_out": None if seen else fit.criterion}
            for mode, fit in fits.items()
        },
        "versions": {name: version(name) for name in LIBRARIES},
    }
    modes = {mode: Linear(fit.coef, fit.mean, fit.scale, fit.level) for mode, fit in fits.items()}
    save_regressor(folder, modes, about)


if __name__ == "__main__":
    entry(run, "encoder", "database")
