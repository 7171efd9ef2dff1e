"""VSI (Zhang, Shen, Li 2014): similarity of saliency, gradient and colour, weighted by saliency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.metrics.pairs import prepared_pair
from pipeline.metrics.planes import (
    LMN,
    SCHARR,
    gradient,
    planes,
    reduced,
    similarity,
    viewing_factor,
    weighted_mean,
)
from pipeline.metrics.saliency import saliency

_C1, _C2, _C3 = 1.27, 386.0, 130.0
_ALPHA, _BETA = 0.40, 0.02  # powers of the gradient and of the colour terms


@dataclass(frozen=True)
class Prepared:
    """float64 maps of one image, reduced for viewing distance."""

    saliency: np.ndarray
    gradient: np.ndarray
    m: np.ndarray
    n: np.ndarray


def vsi(reference: np.ndarray, image: np.ndarray) -> float:
    """VSI of two uint8 H x W x 3 images of one size, at most 1 (equal); higher is better."""
    return compare(*prepared_pair(prepare, reference, image))


def prepare(image: np.ndarray) -> Prepared:
    """What VSI needs of one uint8 H x W x 3 image; saliency is found before the reduction."""
    factor = viewing_factor(image)
    lightness, m, n = planes(image, LMN, factor)
    return Prepared(reduced(saliency(image), factor), gradient(lightness, SCHARR), m, n)


def compare(reference: Prepared, image: Prepared) -> float:
    """VSI, 1 for equal images; of a negative colour similarity's power the real part counts."""
    colour = similarity(reference.m, image.m, _C3) * similarity(reference.n, image.n, _C3)
    score = similarity(reference.saliency, image.saliency, _C1) * (colour.astype(np.complex128) ** _BETA).real
    score *= similarity(reference.gradient, image.gradient, _C2) ** _ALPHA
    return weighted_mean(score, np.maximum(reference.saliency, image.saliency))
