"""The 36 features of BRISQUE (Mittal, Moorthy, Bovik 2012) as OpenCV computes them, for a regressor of our own."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline import artifacts, images

DIM = 36


class Brisque36:
    """The ``brisque36`` extractor: ``dim`` 36, units differ (``standardise``), deterministic.

    A flat image has no statistics: its numbers are NaN, which the table counts and names.
    """

    name = "brisque36"
    dim = DIM
    standardise = True
    provenance = {"kind": "brisque36", "version": 1, "opencv": cv2.__version__}
    sha256 = artifacts.fingerprint(provenance)

    def extract(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 H x W x 3 images -> float32 [n, 36]: 18 numbers at full size, then 18 at half size."""
        return np.array([brisque_features(picture) for picture in pictures], dtype=np.float32).reshape(-1, DIM)


def brisque_features(image: np.ndarray) -> np.ndarray:
    """The numbers of one uint8 H x W x 3 image, float32 [36]; all NaN where a side is a single pixel."""
    images.check(image)
    if min(image.shape[:2]) < 2:  # OpenCV can't halve it
        return np.full(DIM, np.nan, dtype=np.float32)
    numbers = cv2.quality.QualityBRISQUE_computeFeatures(np.ascontiguousarray(image[..., ::-1]))  # type: ignore[attr-defined]
    return np.asarray(numbers, dtype=np.float32).reshape(DIM)
