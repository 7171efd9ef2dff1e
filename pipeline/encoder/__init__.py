"""The encoder: the residual trunk, what it sees (half scale, colour spaces), its weights on disk and its features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts import fingerprint

if TYPE_CHECKING:
    from pipeline.encoder.extractor import Extractor


def load(folder: Path, *, device: str = "cpu", precision: str = "fp32") -> Extractor:
    """The extractor of ``folder`` (encoder.json and encoder.safetensors); see :func:`pipeline.encoder.weights.load`."""
    from pipeline.encoder import weights

    return weights.load(folder, device=device, precision=precision)


def identity(sha256: str, card: Mapping[str, object]) -> str:
    """What features carry of the encoder that made them: the hash of its weights' file, joined with the card's
    ``sight`` where it has one, since the same weights give other features of images in another colour space or scale.
    """
    return fingerprint({"weights": sha256, "sight": card["sight"]}) if card.get("sight") else sha256
