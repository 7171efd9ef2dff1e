"""domains@{name}: which of the 25 types a target's images resemble; no opinion of them is read (data/domains/,
metrics/domains/).
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import torch

from pipeline import artifacts
from pipeline.devices import resolve_device
from pipeline.distortions import TYPES
from pipeline.domains import domains_table, similarity, target_outputs
from pipeline.params import Params
from pipeline.training.methods.classifier import load_classifier
from stages import DATA, METRICS, entry, feature_engine


def run(params: Params, name: str) -> None:
    """Ask a classifier about every image of a folder, and compare by both rules."""
    asked = params.domains[name]
    device = resolve_device(params.run.device)
    classifier = load_classifier(DATA / "models" / asked.classifier, torch.device(device.kind))
    engine = feature_engine(params.run, device)
    outputs, failed = target_outputs(Path(asked.folder), classifier, engine, describe=f"domains {name}")
    for path, reason in failed.items():
        print(f"domains: {path}: {reason}; left out", file=sys.stderr)
    names = [type.name for type in TYPES]
    similarities = similarity(outputs, seed=params.seed)
    table = domains_table(name, asked.classifier, similarities, names, len(outputs))
    artifacts.write_table(DATA / "domains" / f"{name}.parquet", table)
    figures = {"target": name, "classifier": asked.classifier, "images": len(outputs)}
    artifacts.write_json(METRICS / "domains" / f"{name}.json", figures | {"domains": [asdict(s) for s in similarities]})


if __name__ == "__main__":
    entry(run, "name")
