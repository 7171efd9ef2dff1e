"""baselines: encoders that need no images to be set up, and the released one, as folders of data/models/."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.features import baselines
from pipeline.params import BASELINES, CLASSIFIER, RELEASED, Params
from stages import DATA, entry


def run(params: Params) -> None:
    """Write the card of every baseline; copy the released encoder and classifier, if their weights are their cards'."""
    for name in BASELINES:
        artifacts.write_json(DATA / "models" / name / "encoder.json", baselines.card(name))
    _copy(Path(RELEASED), DATA / "models" / RELEASED)
    if (Path(CLASSIFIER) / "encoder.json").is_file():
        _copy(Path(CLASSIFIER), DATA / "models" / CLASSIFIER, "classifier.safetensors")


def _copy(encoder: Path, to: Path, *more: str) -> None:
    card, weights = artifacts.read_json(encoder / "encoder.json"), encoder / "encoder.safetensors"
    if not weights.is_file():
        raise artifacts.ArtifactError(f"{weights}: missing")
    data = weights.read_bytes()
    if (sha256 := artifacts.sha256_bytes(data)) != card.get("sha256"):
        raise artifacts.ArtifactError(f"{weights}: sha256 {sha256:.12}..., its card has {card.get('sha256')!s:.12}...")
    for name in more:
        artifacts.write_bytes(to / name, (encoder / name).read_bytes())
    artifacts.write_bytes(to / weights.name, data)
    artifacts.write_json(to / "encoder.json", card)


if __name__ == "__main__":
    entry(run)
