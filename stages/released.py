"""released: the encoder that comes with the code (released/), where the other encoders are (data/models/released/)."""

from __future__ import annotations

from pathlib import Path

from pipeline import artifacts
from pipeline.params import Params
from stages import DATA, entry

RELEASED = Path("released")


def run(params: Params) -> None:
    """Copy weights and card; :class:`ArtifactError` if the weights are not those of the card."""
    card, weights = artifacts.read_json(RELEASED / "encoder.json"), RELEASED / "encoder.safetensors"
    if not weights.is_file():
        raise artifacts.ArtifactError(f"{weights}: missing")
    data = weights.read_bytes()
    if (found := artifacts.sha256_bytes(data)) != card.get("sha256"):
        raise artifacts.ArtifactError(f"{weights}: sha256 {found:.12}..., its card has {card.get('sha256')!s:.12}...")
    folder = DATA / "models" / "released"
    artifacts.write_bytes(folder / weights.name, data)
    artifacts.write_json(folder / "encoder.json", card)


if __name__ == "__main__":
    entry(run)
