"""MDSI (Nafchi, Shahkolaei, Hedjam, Cheriet 2016): how uneven the similarity of gradients and colours is. Lower is
better.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.metrics.pairs import prepared_pair
from pipeline.metrics.planes import LHM, PREWITT, gradients, planes, similarity, viewing_factor

_C1, _C2, _C3 = 140.0, 55.0, 550.0
_ALPHA = 0.6  # weight of the gradients
_Q, _O = 0.25, 0.25  # powers of the map and of its deviation


@dataclass(frozen=True)
class Prepared:
    """float64 maps of one image, reduced for viewing distance: the luma's gradients and the two chromatic planes."""

    x: np.ndarray
    y: np.ndarray
    h: np.ndarray
    m: np.ndarray


def mdsi(reference: np.ndarray, image: np.ndarray) -> float:
    """MDSI of two uint8 H x W x 3 images of one size, from 0 (equal); lower is better."""
    return compare(*prepared_pair(prepare, reference, image))


def prepare(image: np.ndarray) -> Prepared:
    """What MDSI needs of one uint8 H x W x 3 image."""
    luma, h, m = planes(image, LHM, viewing_factor(image))
    return Prepared(*gradients(luma, PREWITT), h, m)


def compare(reference: Prepared, image: Prepared) -> float:
    """MDSI, 0 for equal images (sum combination); the power of a negative similarity is complex, and so is the mean."""
    one, other = cv2.magnitude(reference.x, reference.y), cv2.magnitude(image.x, image.y)
    fused = cv2.magnitude((reference.x + image.x) / 2, (reference.y + image.y) / 2)
    structure = similarity(one, other, _C1) + similarity(other, fused, _C2) - similarity(one, fused, _C2)
    products = reference.h * image.h + reference.m * image.m
    squares = reference.h**2 + image.h**2 + reference.m**2 + image.m**2
    colour = (2 * products + _C3) / (squares + _C3)
    powers = (_ALPHA * structure + (1 - _ALPHA) * colour).astype(np.complex128) ** _Q
    return float(np.mean(np.abs(powers - powers.mean())) ** _O)
