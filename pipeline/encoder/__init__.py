"""The encoder: the residual trunk, what it sees (half scale, colour spaces), its weights on disk and its features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.encoder.extractor import Extractor


def load(folder: Path, *, device: str = "cpu", precision: str = "fp32") -> Extractor:
    """The extractor of ``folder`` (encoder.json and encoder.safetensors); see :func:`pipeline.encoder.weights.load`."""
    from pipeline.encoder import weights

    return weights.load(folder, device=device, precision=precision)
