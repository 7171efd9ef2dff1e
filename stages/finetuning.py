"""What finetune and transfer share: a labelled database, and a fine-tuning on it as params.yaml says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import artifacts
from pipeline.databases import Manifest, load_manifest
from pipeline.encoder import before, read_card
from pipeline.evaluation import scored_images
from pipeline.params import FinetuneRun, FinetuningParams, Params, TransferRun
from pipeline.training.finetuning import FineTuning
from pipeline.training.methods.regression import OpinionScale
from stages.running import DATA
from stages.training import training_run


@dataclass(frozen=True)
class Database:
    """A database's table, its rows with an opinion (``scored``) and their names, and where its images are."""

    manifest: Manifest
    root: Path
    images: pa.Table
    scored: pa.Table
    names: list[str]
    scale: OpinionScale


def database_of(params: Params, name: str) -> Database:
    """The database of this name."""
    root = params.database_folder(name)
    manifest, images = load_manifest(name, root), artifacts.read_table(DATA / "databases" / f"{name}.parquet")
    scored = scored_images(images)
    return Database(manifest, root, images, scored, scored["image_id"].to_pylist(), OpinionScale.of(manifest))


def finetuning(
    params: Params,
    name: str,
    line: FinetuneRun | TransferRun,
    knobs: FinetuningParams,
    database: Database,
    first: int,
    features: np.ndarray | None = None,
) -> FineTuning:
    """The fine-tuning that a run's line asks for, into data/models/{run}; its splits' first is number ``first``."""
    encoder = DATA / "models" / line.encoder
    provenance = {"trained_on": [], **before(read_card(encoder))}
    run = training_run(params, name, batch=knobs.batch, precision=knobs.precision, ema=None, provenance=provenance)
    return FineTuning(
        run,
        mode=line.mode,
        encoder=encoder,
        database=database.manifest.name,
        table=database.scored,
        root=database.root,
        targets=database.scale.targets(database.scored["mos"].to_numpy()),
        params=knobs,
        first=first,
        features=features,
        seed=params.seed,
        opinions=read_card(encoder).get("opinions", []),
        cache=params.run.cache,
    )
