"""The protocol of encoders: features of images. Trunks, baselines and metrics without a reference follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

TILE_SIDE = 2048  # pixels: an image of more than its square is computed in tiles (pipeline.encoder.tiles)


@runtime_checkable
class Extractor(Protocol):
    """Turns images into features of ``dim`` float32 numbers; ``sha256`` identifies the weights and the preprocessing.

    An attribute ``standardise`` (default False) declares that the numbers have different units, so that a regressor
    must scale them by its training part.
    """

    @property
    def name(self) -> str:
        """The encoder's name."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in one feature."""
        ...

    @property
    def sha256(self) -> str:
        """What features carry of the encoder (:func:`pipeline.encoder.feature_fingerprint`)."""
        ...

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """uint8 [h, w, 3] images -> float32 [n, dim] in their order; each row depends on its own image only."""
        ...
