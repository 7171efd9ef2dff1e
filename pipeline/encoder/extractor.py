"""What every encoder offers: features of images. Written once, for trunks, baselines and metrics without reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Extractor(Protocol):
    """What turns images into features: ``dim`` float32 numbers an image, made by what ``sha256`` stands for.

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
