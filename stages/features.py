"""features@{encoder}-{database}: features of every image of a database (data/features/{encoder}/{database}.parquet)."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline import artifacts
from pipeline.databases import load_manifest
from pipeline.features import extract_features, load_extractor
from pipeline.params import Params
from pipeline.training.launch import devices
from stages import DATA, cores, entry


def run(params: Params, encoder: str, database: str) -> None:
    """Extract features at native resolution, full and half scale, into the feature table."""
    torch.set_num_threads(params.run.threads or cores())
    device, _ = devices(params.run.device)
    knobs, models = params.features, DATA / "models" / encoder
    table = DATA / "databases" / f"{database}.parquet"
    extracted = extract_features(
        artifacts.read_table(table),
        _root(params, database),
        load_extractor(models, device=device, precision=knobs.precision),
        encoder=encoder,
        database_name=database,
        batch_images=knobs.batch_images,
        batch_pixels=knobs.batch_pixels,
        decode_threads=cores(),
        provenance={"encoder": artifacts.read_json(models / "encoder.json"), "database": artifacts.sha256_file(table)},
    )
    artifacts.write_table(DATA / "features" / encoder / f"{database}.parquet", extracted, byte_stream_split=["feature"])


def _root(params: Params, database: str) -> Path:
    folder = Path(params.run.paths.databases.get(database, "."))
    return DATA / "distorted" / database if load_manifest(database, folder).kind == "members" else folder


if __name__ == "__main__":
    entry(run, "encoder", "database")
