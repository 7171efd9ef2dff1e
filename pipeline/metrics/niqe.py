"""NIQE (Mittal, Soundararajan, Bovik 2013): how far an image's patches lie from those of pristine images. It needs no
reference and no opinion; lower is better.

Its authors' model was fitted on 125 photographs. This one is fitted on the sources of a set, and says on which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline import Refusal, artifacts
from pipeline.metrics.planes import luma
from pipeline.metrics.scene_statistics import DIM, patch_statistics

WEIGHTS, CARD = "niqe.safetensors", "encoder.json"
_FEWEST = 2 * DIM  # patches under a covariance of 36 numbers


class NiqeError(Refusal, ValueError):
    """A model that can't be fitted or read; the message says why."""


class Niqe:
    """The extractor of one number: a distance from a pristine model (``mean`` [36], ``covariance`` [36, 36])."""

    name, dim = "niqe", 1
    table_metadata = {
        "kind": "metric",
        "higher_is_better": False,
        "needs_reference": False,
    }  # in its card and in its tables

    def __init__(self, mean: np.ndarray, covariance: np.ndarray, *, side: int, sha256: str = "") -> None:
        self.mean, self.covariance, self.side, self.sha256 = mean, covariance, side, sha256

    def extract(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 H x W x 3 images -> float32 [n, 1]; NaN for an image without a whole patch that has any spread."""
        return np.array([[self.distance(image)] for image in images], dtype=np.float32).reshape(-1, 1)

    def distance(self, image: np.ndarray) -> float:
        """sqrt((m - m')^T ((C + C') / 2)^+ (m - m')) of the model's and the image's mean and covariance (eq. 10)."""
        numbers, _ = patch_statistics(luma(image), self.side)
        numbers = numbers[np.isfinite(numbers).all(axis=1)]
        if not len(numbers):
            return float("nan")
        own = np.cov(numbers, rowvar=False) if len(numbers) > 1 else np.zeros((DIM, DIM))
        apart = self.mean - numbers.mean(axis=0)
        return float(np.sqrt(max(0.0, apart @ np.linalg.pinv((self.covariance + own) / 2) @ apart)))


def fit(images: Iterable[np.ndarray], *, side: int, sharpness: float) -> tuple[Niqe, int]:
    """The model of pristine ``images`` (uint8 H x W x 3), and how many patches it was made from.

    Only patches count whose mean local deviation is above ``sharpness`` times the largest of their image (section
    II-B). :class:`NiqeError` where fewer than 72 are left.
    """
    kept = [np.empty((0, DIM))]
    for image in images:
        numbers, deviation = patch_statistics(luma(image), side)
        if len(numbers):
            sharp = deviation > sharpness * deviation.max()
            kept.append(numbers[sharp & np.isfinite(numbers).all(axis=1)])
    numbers = np.concatenate(kept)
    if len(numbers) < _FEWEST:
        raise NiqeError(f"niqe: {len(numbers)} sharp patches of {side} pixels; at least {_FEWEST} are needed")
    return Niqe(numbers.mean(axis=0), np.cov(numbers, rowvar=False), side=side), len(numbers)


def save(folder: Path, model: Niqe, origin: Mapping[str, object]) -> None:
    """Write niqe.safetensors, then encoder.json with ``origin`` (what the model was fitted on)."""
    from safetensors.numpy import save as serialise

    data = serialise({"covariance": np.ascontiguousarray(model.covariance), "mean": model.mean})
    (Path(folder) / CARD).unlink(missing_ok=True)
    artifacts.write_bytes(Path(folder) / WEIGHTS, data)
    own = {"name": "niqe", "dim": 1, "side": model.side, "sha256": artifacts.sha256_bytes(data), "trained_on": None}
    artifacts.write_json(Path(folder) / CARD, {**origin, **model.table_metadata, **own})


def load(folder: Path) -> Niqe:
    """The model in ``folder``; :class:`NiqeError` if it is not the one of its card."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    card, path = artifacts.read_json(Path(folder) / CARD), Path(folder) / WEIGHTS
    try:
        data = path.read_bytes()
        tensors = parse(data)
    except (OSError, SafetensorError) as error:
        raise NiqeError(f"{path}: can't be read ({error})") from None
    if artifacts.sha256_bytes(data) != card.get("sha256"):
        raise NiqeError(f"{path}: not the model of {CARD} (its sha256 differs)")
    return Niqe(tensors["mean"], tensors["covariance"], side=int(card["side"]), sha256=str(card["sha256"]))
