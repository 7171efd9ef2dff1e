"""What is exported: a trunk, how images are shown to it, what is read out of it, and the regressors of its features."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline import Refusal
from pipeline.encoder.card import read_card
from pipeline.encoder.network import ResNet
from pipeline.encoder.pooling import Pool
from pipeline.encoder.preprocessing import Preprocessing
from pipeline.encoder.stored import stored_encoder
from pipeline.encoder.trunk import TrunkExtractor
from pipeline.encoder.weights import load_encoder
from pipeline.scoring.regressor import Regressor

LICENCE = "mit"  # of the project and of the released weights


class ExportError(Refusal, ValueError):
    """An encoder that can't be exported, or whose export does not compute the same."""


@dataclass(frozen=True)
class Exportable:
    """An encoder's folder, opened; ``regressor`` is None where only features are exported."""

    folder: Path
    card: dict[str, Any]
    extractor: TrunkExtractor
    regressor: Regressor | None

    @property
    def trunk(self) -> ResNet:
        """The network."""
        return self.extractor.trunk

    @property
    def pool(self) -> Pool:
        """What is read out."""
        return self.extractor.pool

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image is shown to the trunk."""
        return self.extractor.preprocessing

    @property
    def smallest_side(self) -> int:
        """Pixels: the side of the crops that it was trained on."""
        return stored_encoder(self.folder).smallest_side

    def config(self) -> dict[str, object]:
        """What describes the model: config.json, and the metadata of an ONNX file."""
        config: dict[str, object] = {
            "model_type": "synthetic-iqa",
            "version": version("synthetic-iqa"),
            "name": self.card["name"],
            "architecture": self.trunk.architecture,
            "depth": self.trunk.depth,
            "width": self.trunk.width,
            "dim": self.extractor.dim,
            "fingerprint": self.extractor.sha256,
            "preprocessing": asdict(self.preprocessing),
            "pool": self.pool.as_card(),
            "licence": LICENCE,
        }
        if self.regressor is not None:
            kept = ("database", "title", "citation", "higher_is_better", "range")
            chosen: dict[str, object] = {key: self.regressor.card[key] for key in kept if key in self.regressor.card}
            levels = {mode: fit.level for mode, fit in self.regressor.modes.items()}
            config["regressor"] = {**chosen, "levels": levels}
        return config


def exportable(folder: Path, regressor: Regressor | None) -> Exportable:
    """The encoder in ``folder`` with the regressor of its features.

    :class:`ExportError` for a regressor whose protocol resizes images first, which an exported model does not do;
    ``ArtifactError`` for what is no network.
    """
    extractor = load_encoder(folder)
    if regressor is not None:
        regressor.require_weights(extractor.sha256, extractor.dim)
        if regressor.card.get("short_side") is not None:
            raise ExportError(
                f"regressor {regressor.name}: its database's protocol resizes images to a shorter side of "
                f"{regressor.card['short_side']} first, which an exported model does not do; choose another --regressor"
            )
    return Exportable(folder, read_card(folder), extractor, regressor)
