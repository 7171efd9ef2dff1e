"""encoder.json, the card of an encoder's folder: its kind, its provenance, and how images are shown to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import ArtifactError, fingerprint, read_json, sha256_bytes

WEIGHTS, CARD = "encoder.safetensors", "encoder.json"
TRAINED = ("trained_on", "authentic_set")


def read_card(folder: Path) -> dict[str, Any]:
    """encoder.json of ``folder``; :class:`ArtifactError` if it is missing, broken or written by an older version."""
    path = Path(folder) / CARD
    card = read_json(path)
    if not isinstance(card, dict) or "kind" not in card:
        raise ArtifactError(f"{path}: not an encoder's card (no kind)")
    if "sight" in card:
        raise ArtifactError(f"{path}: its key sight is now preprocessing; import the encoder's weights again")
    return card


def read_weights(folder: Path, card: Mapping[str, object]) -> bytes:
    """encoder.safetensors of ``folder``; :class:`ArtifactError` if it is missing or not the one of ``card``."""
    path = Path(folder) / WEIGHTS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing") from None
    if (digest := sha256_bytes(data)) != card.get("sha256"):
        raise ArtifactError(f"{path}: sha256 {digest:.12}..., {CARD} has {card.get('sha256')!s:.12}...")
    return data


def feature_fingerprint(sha256: str, card: Mapping[str, object]) -> str:
    """What features carry of the encoder that made them: the sha256 of its weights' file, joined with the card's
    ``preprocessing`` and ``pool`` where it has them, since the same weights then give other features.
    """
    also = {key: card[key] for key in ("preprocessing", "pool") if card.get(key)}
    return fingerprint({"weights": sha256, **also}) if also else sha256


def provenance(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """How an encoder was made, as its card says; empty where it does not."""
    value = card.get("provenance")
    return value if isinstance(value, Mapping) else {}


def lineage(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """How an encoder was made, then how the one was made whose weights it began from, and so on (``before``)."""
    found, one = list[Mapping[str, Any]](), provenance(card)
    while one:
        found.append(one)
        before = one.get("before")
        one = before if isinstance(before, Mapping) else {}
    return found


def before(card: Mapping[str, Any]) -> dict[str, object]:
    """What the provenance of an encoder says that begins from the weights of ``card``."""
    return {"before": {**provenance(card), "sha256": card.get("sha256")}}


def seen_sets(card: Mapping[str, Any], *, how: Sequence[str] = (*TRAINED, "statistics_of", "fitted_on")) -> list[str]:
    """The sets whose images the encoder, or one that it began from, has seen: to train on, to fit, or for its batch
    norms' statistics; or in the ways ``how`` alone.
    """
    names: list[str] = []
    for mapping in (card, *lineage(card)):
        for key in how:
            value = mapping.get(key) or []
            names += [value] if isinstance(value, str) else list(value)
    return sorted(set(names))
