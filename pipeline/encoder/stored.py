"""The extractor of an encoder's folder as a small value: worker processes get it instead of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import ArtifactError
from pipeline.encoder.card import CARD, feature_fingerprint, read_card, read_weights
from pipeline.encoder.extractor import TILE_SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.encoder.trunk import TrunkExtractor

SMALLEST_SIDE = 32  # pixels, of an encoder whose crops are not known: one place on the trunk's last map


@dataclass(frozen=True)
class StoredEncoder:
    """An :class:`pipeline.encoder.Extractor` whose process loads the weights when it first extracts, and keeps them.

    ``smallest_side`` is the side in pixels of the crops that it was trained on. ``bytes_per_pixel`` bounds the memory
    of a feature, of at most ``pixels_at_once`` pixels (None: of the whole image).
    """

    folder: Path
    device: str
    precision: str
    name: str
    dim: int
    sha256: str
    smallest_side: int
    bytes_per_pixel: float
    pixels_at_once: int | None

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features of ``images`` (uint8 [h, w, 3], any sizes) in their order, float32 [n, dim]."""
        return _loaded(self).extract(images)


def stored_encoder(folder: Path, *, device: str = "cpu", precision: str = "fp32") -> StoredEncoder:
    """The encoder in ``folder`` by its card; :class:`ArtifactError` for a card that is no network's, and for weights
    that are not the card's.
    """
    folder = Path(folder)
    card = read_card(folder)
    read_weights(folder, card)
    trained = card.get("provenance", {}).get("params")
    crop = trained.get("crop", SMALLEST_SIDE) if isinstance(trained, dict) else SMALLEST_SIDE
    try:
        return StoredEncoder(
            folder=folder,
            device=device,
            precision=precision,
            name=str(card["name"]),
            dim=int(card["dim"]),
            sha256=feature_fingerprint(str(card["sha256"]), card),
            smallest_side=int(crop),
            bytes_per_pixel=_bytes_per_pixel(int(card["depth"]), int(card["width"])),
            pixels_at_once=TILE_SIDE**2 if _cut_into_tiles(card) else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder / CARD}: not the card of a network ({error})") from None


def _cut_into_tiles(card: Mapping[str, Any]) -> bool:
    """Whether tiles give the feature of the whole image: not where halving looks beyond its pixels (bicubic)."""
    halves = card.get("preprocessing", {}).get("half", "area")
    return bool(halves == "area" or card.get("pool", {}).get("scales") == 1)


def _bytes_per_pixel(depth: int, width: int) -> float:
    """Measured peaks of extraction from RGB, one image, fp32: 50 (ResNet-18, width 16), 82 (32), 146 (64) and 290
    (ResNet-50, width 64) bytes a pixel; colour spaces add up to 31, decoding takes up to 45 before.
    """
    return 64 + width * (2 if depth < 50 else 4.5)


@lru_cache(maxsize=1)
def _loaded(stored: StoredEncoder) -> TrunkExtractor:
    from pipeline.encoder.weights import load_encoder

    extractor = load_encoder(stored.folder, device=stored.device, precision=stored.precision)
    if extractor.sha256 != stored.sha256:
        raise ArtifactError(f"{stored.folder}: the encoder was replaced while it was in use")
    return extractor
