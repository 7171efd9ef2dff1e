"""features@{encoder}-{database}: features of every image of a database (data/features/{encoder}/{database}.parquet)."""

from __future__ import annotations

from pipeline import artifacts
from pipeline.devices import cores, resolve_device
from pipeline.features import compare_images, extract_features, load_extractor, load_metric
from pipeline.params import Params
from stages import DATA, engine, entry, feature_engine


def run(params: Params, encoder: str, database: str) -> None:
    """Extract features at native resolution, or compare every image with its reference, into the feature table."""
    models, path = DATA / "models" / encoder, DATA / "databases" / f"{database}.parquet"
    table, root, metric = artifacts.read_table(path), params.database_folder(database), load_metric(models)
    made_of = {"encoder": artifacts.read_json(models / "encoder.json"), "database": artifacts.sha256_file(path)}
    if metric is not None:
        extracted = compare_images(
            table,
            root,
            metric,
            encoder=encoder,
            database_name=database,
            engine=engine(params.run),
            provenance=made_of,
        )
    else:
        device = resolve_device(params.run.device)
        extracted = extract_features(
            table,
            root,
            load_extractor(models, device=device.kind, precision=params.features.precision),
            encoder=encoder,
            database_name=database,
            engine=feature_engine(params.run, device),
            batch_images=params.features.batch_images,
            batch_pixels=params.features.batch_pixels,
            decode_threads=0 if device.kind == "cpu" else cores(),
            provenance=made_of,
        )
    artifacts.write_table(DATA / "features" / encoder / f"{database}.parquet", extracted, byte_stream_split=["feature"])


if __name__ == "__main__":
    entry(run, "encoder", "database")
