"""GMSD (Xue, Zhang, Mou, Bovik 2014): how uneven the similarity of gradients is over the image. Lower is better."""

from __future__ import annotations

import numpy as np

from pipeline.metrics.pairs import prepared_pair
from pipeline.metrics.planes import PREWITT, gradient, luma, reduced, similarity

_C = 170.0  # section III


def gmsd(reference: np.ndarray, image: np.ndarray) -> float:
    """GMSD of two uint8 H x W x 3 images of one size, from 0 (equal); lower is better (section III)."""
    return compare(*prepared_pair(prepare, reference, image))


def prepare(image: np.ndarray) -> np.ndarray:
    """Prewitt's gradient of the luma at half size: uint8 H x W x 3 -> float64."""
    return gradient(reduced(luma(image), 2), PREWITT)


def compare(reference: np.ndarray, image: np.ndarray) -> float:
    """The standard deviation (of a sample) of the similarity map, 0 for equal images."""
    similar = similarity(reference, image, _C)
    return float(similar.std(ddof=1)) if similar.size > 1 else 0.0
