"""A regressor on disk: regressor.safetensors (what it computes with) and regressor.json (what its numbers mean).

A regressor belongs to the weights that made the features it was fitted on; the card has their hash, and other weights
are refused: they would give numbers that look like scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import Refusal, artifacts

TENSORS, CARD = "regressor.safetensors", "regressor.json"
FORMAT = 1
_PARTS = ("coef", "mean", "scale")
_NEEDED = ("format", "encoder", "weights_sha256", "database", "dim", "higher_is_better", "range", "modes", "sha256")


class RegressorError(Refusal, ValueError):
    """A stored regressor that is missing, damaged or made for other weights; the message names the folder."""


@dataclass(frozen=True)
class Linear:
    """One fit: level + ((feature - mean) / scale) @ coef. ``coef``, ``mean``, ``scale``: float64 [dim].

    ``level`` is the mean opinion of the training images, in the database's own units; ``scale`` is 1 where the features
    were not standardised.
    """

    coef: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    level: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """float64 [n] for features [n, dim], in the database's own units, not clipped to its range."""
        centred = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        return np.asarray(self.level + centred @ self.coef)


@dataclass(frozen=True)
class Regressor:
    """``modes``: nr (the image's features) and, where the database has references, fr (their absolute difference)."""

    card: Mapping[str, Any]
    modes: Mapping[str, Linear]

    @property
    def name(self) -> str:
        """``encoder/database``."""
        return f"{self.card['encoder']}/{self.card['database']}"

    @property
    def meaning(self) -> str:
        """The direction and range of a score in words."""
        low, high = self.card["range"]
        better = "higher" if self.card["higher_is_better"] else "lower"
        return f"{better} is better, {self.card['database']} runs from {low:g} to {high:g}"

    def require_weights(self, sha256: str, dim: int) -> None:
        """:class:`RegressorError` unless features of ``dim`` numbers made by these weights are what it was made for."""
        made_for = str(self.card["weights_sha256"])
        if sha256 != made_for or dim != self.card["dim"]:
            raise RegressorError(
                f"regressor {self.name} was made for weights {made_for[:12]} ({self.card['dim']} numbers an image), "
                f"the encoder's are {sha256[:12]} ({dim}); run the regressor stage again, or give its own encoder"
            )


def save_regressor(folder: Path, modes: Mapping[str, Linear], description: Mapping[str, object]) -> None:
    """Write ``modes`` and the card: ``description`` (encoder, weights_sha256, database, dim, higher_is_better, range,
    and ``modes``: mode -> {lambda, ...}), with the format, the tensors' sha256 and each mode's level.

    The card is written last: a folder with a card is whole. Equal fits give equal bytes.
    """
    from safetensors.numpy import save

    state = {f"{mode}.{part}": getattr(fit, part) for mode, fit in sorted(modes.items()) for part in _PARTS}
    data = save({name: np.ascontiguousarray(values, dtype=np.float64) for name, values in state.items()})
    recorded = description["modes"] if isinstance(description.get("modes"), Mapping) else {}
    levels = {mode: {**recorded.get(mode, {}), "level": fit.level} for mode, fit in modes.items()}  # type: ignore[attr-defined]
    card = {**description, "format": FORMAT, "modes": levels, "sha256": artifacts.sha256_bytes(data)}
    (folder / CARD).unlink(missing_ok=True)
    artifacts.write_bytes(folder / TENSORS, data)
    artifacts.write_json(folder / CARD, card)


def read_regressor_card(folder: Path) -> dict[str, Any]:
    """regressor.json of ``folder``; :class:`RegressorError` if it is no card of a regressor."""
    card = artifacts.read_json(folder / CARD)
    missing = [name for name in _NEEDED if not isinstance(card, dict) or name not in card]
    if missing:
        raise RegressorError(f"{folder / CARD}: not a regressor's card (missing {', '.join(missing)})")
    if card["format"] != FORMAT:
        raise RegressorError(f"{folder / CARD}: format {card['format']}; this version reads {FORMAT}")
    expected = {"dim": int, "higher_is_better": bool, "range": list, "modes": dict}
    wrong = [key for key, kind in expected.items() if type(card[key]) is not kind]
    if not wrong:
        wrong = [f"modes.{mode}" for mode, fit in card["modes"].items() if not _has_level(fit)]
    if wrong:
        raise RegressorError(f"{folder / CARD}: {', '.join(wrong)} can not be read")
    return dict(card)


def _has_level(fit: object) -> bool:
    return isinstance(fit, dict) and isinstance(fit.get("level"), int | float)


def load_regressor(folder: Path) -> Regressor:
    """The regressor in ``folder``, its tensors checked against the card's hash."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    card = read_regressor_card(folder)
    try:
        data = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise RegressorError(f"{folder / TENSORS}: can't be read ({error.strerror})") from None
    digest = artifacts.sha256_bytes(data)
    if digest != card["sha256"]:
        raise RegressorError(f"{folder / TENSORS}: sha256 {digest:.12}..., {CARD} has {card['sha256']!s:.12}...")
    try:
        tensors, dim = load(data), (card["dim"],)
    except SafetensorError:
        raise RegressorError(f"{folder / TENSORS}: not a safetensors file") from None
    modes = {}
    for mode, settings in card["modes"].items():
        parts = {part: tensors.get(f"{mode}.{part}", np.empty(0)) for part in _PARTS}
        for part, values in parts.items():
            if values.shape != dim or not np.isfinite(values).all():
                raise RegressorError(f"{folder / TENSORS}: {mode}.{part} is not {dim[0]} finite numbers")
        modes[mode] = Linear(**parts, level=float(settings["level"]))
    return Regressor(card, modes)
