"""features@{encoder}-{database}: features of every image of a database (data/features/{encoder}/{database}.parquet)."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.devices import cores, resolve_device
from pipeline.features import Extractor, compare_images, extract_features, load_extractor, load_metric
from pipeline.params import Params
from stages import DATA, entry


def run(params: Params, encoder: str, database: str) -> None:
    """Extract features at native resolution, or compare every image with its reference, into the feature table."""
    models, path = DATA / "models" / encoder, DATA / "databases" / f"{database}.parquet"
    table, root, metric = artifacts.read_table(path), params.database_folder(database), load_metric(models)
    made_of = {"encoder": artifacts.read_json(models / "encoder.json"), "database": artifacts.sha256_file(path)}
    about = {"encoder": encoder, "database_name": database}
    if metric is not None:
        extracted = compare_images(table, root, metric, threads=cores(), provenance=made_of, **about)
    else:
        extracted = extract_features(
            table,
            root,
            _extractor(params, models),
            batch_images=params.features.batch_images,
            batch_pixels=params.features.batch_pixels,
            decode_threads=cores(),
            provenance=made_of,
            **about,
        )
    artifacts.write_table(DATA / "features" / encoder / f"{database}.parquet", extracted, byte_stream_split=["feature"])


def _extractor(params: Params, models: Path) -> Extractor:
    import torch

    torch.set_num_threads(params.run.threads or cores())
    device = resolve_device(params.run.device).kind
    return load_extractor(models, device=device, precision=params.features.precision)


if __name__ == "__main__":
    entry(run, "encoder", "database")
