"""From an encoder's folder to something that extracts: ``encoder.json`` says of which kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from pipeline import artifacts
from pipeline.features import baselines
from pipeline.features.table import FeatureError

KINDS = ("resnet", *baselines.KINDS)


@runtime_checkable
class Extractor(Protocol):
    """What turns images into features. An attribute ``standardise`` (default False) declares that the numbers have
    different units, so that a regressor must scale them by its training part.
    """

    name: str
    dim: int
    sha256: str

    def extract(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 H x W x 3 images of one size -> float32 [n, dim]; each row depends on its own image only."""
        ...


def load_extractor(folder: Path, *, device: str = "cpu", precision: str = "fp32") -> Extractor:
    """The extractor of ``folder``, a network's weights checked against their hash; :class:`FeatureError` if unknown."""
    kind = _kind(folder)
    if kind == "resnet":
        from pipeline import encoder

        return encoder.load(folder, device=device, precision=precision)
    return baselines.KINDS[kind]()


def weights_sha256(folder: Path) -> str:
    """The hash that features made by this encoder carry: of the weights' file as it lies there, or of a baseline's
    definition. Needs neither torch nor the weights in memory.
    """
    if _kind(folder) == "resnet":
        return artifacts.sha256_file(Path(folder) / "encoder.safetensors")
    return baselines.KINDS[_kind(folder)]().sha256


def _kind(folder: Path) -> str:
    kind = artifacts.read_json(Path(folder) / "encoder.json").get("kind")
    if kind not in KINDS:
        raise FeatureError(f"{Path(folder) / 'encoder.json'}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    return str(kind)
