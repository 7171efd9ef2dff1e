"""FSIM and FSIMc (Zhang, Zhang, Mou, Zhang 2011): similarity of phase congruency and gradient, FSIMc of colour too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.metrics.pairs import prepared_pair
from pipeline.metrics.phase_congruency import phase_congruency
from pipeline.metrics.planes import SCHARR, YIQ, gradient, planes, similarity, viewing_factor, weighted_mean

_T1, _T2, _T3, _T4 = 0.85, 160.0, 200.0, 200.0
_LAMBDA = 0.03  # the power of the colour term


@dataclass(frozen=True)
class Prepared:
    """float64 maps of one image, reduced for viewing distance."""

    congruency: np.ndarray
    gradient: np.ndarray
    i: np.ndarray
    q: np.ndarray


def fsim(reference: np.ndarray, image: np.ndarray) -> float:
    """FSIM of two uint8 H x W x 3 images of one size, at most 1 (equal); colour is not looked at."""
    return compare(*prepared_pair(prepare, reference, image))


def fsimc(reference: np.ndarray, image: np.ndarray) -> float:
    """FSIMc of two uint8 H x W x 3 images of one size, at most 1 (equal): FSIM with the two chromatic planes of YIQ."""
    return compare_colour(*prepared_pair(prepare, reference, image))


def prepare(image: np.ndarray) -> Prepared:
    """What FSIM and FSIMc need of one uint8 H x W x 3 image."""
    y, i, q = planes(image, YIQ, viewing_factor(image))
    return Prepared(phase_congruency(y), gradient(y, SCHARR), i, q)


def compare(reference: Prepared, image: Prepared) -> float:
    """FSIM on luma, 1 for equal images."""
    return weighted_mean(_structure(reference, image), np.maximum(reference.congruency, image.congruency))


def compare_colour(reference: Prepared, image: Prepared) -> float:
    """FSIMc, 1 for equal images; of a negative colour similarity's power the real part counts."""
    colour = similarity(reference.i, image.i, _T3) * similarity(reference.q, image.q, _T4)
    power = (colour.astype(np.complex128) ** _LAMBDA).real
    return weighted_mean(_structure(reference, image) * power, np.maximum(reference.congruency, image.congruency))


def _structure(reference: Prepared, image: Prepared) -> np.ndarray:
    congruent = similarity(reference.congruency, image.congruency, _T1)
    return np.asarray(congruent * similarity(reference.gradient, image.gradient, _T2))
