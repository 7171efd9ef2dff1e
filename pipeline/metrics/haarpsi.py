"""HaarPSI (Reisenhofer, Bosse, Kutyniok, Wiegand 2018): similarity of Haar coefficients at two scales, weighted by the
third.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.metrics.pairs import prepared_pair
from pipeline.metrics.planes import YIQ, planes, similarity, weighted_mean

_C, _ALPHA = 30.0, 4.2
_SCALES = 3


@dataclass(frozen=True)
class Prepared:
    """Magnitudes of one image at half size, float64: Haar coefficients [orientation][scale], then colours [I, Q]."""

    haar: tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]
    colour: tuple[np.ndarray, np.ndarray]


def haarpsi(reference: np.ndarray, image: np.ndarray) -> float:
    """HaarPSI of two uint8 H x W x 3 images of one size, from 0 to 1 (equal); higher is better."""
    return compare(*prepared_pair(prepare, reference, image))


def prepare(image: np.ndarray) -> Prepared:
    """What HaarPSI needs of one uint8 H x W x 3 image."""
    y, i, q = planes(image, YIQ, 2)
    flat, step = ([_line(scale, sign) for scale in range(1, _SCALES + 1)] for sign in (1, -1))
    upright = tuple(_filtered(y, across, along) for across, along in zip(step, flat, strict=True))
    lying = tuple(_filtered(y, across, along) for across, along in zip(flat, step, strict=True))
    mean = np.full(2, 0.5)
    return Prepared((upright, lying), (_filtered(i, mean, mean), _filtered(q, mean, mean)))


def compare(reference: Prepared, image: Prepared) -> float:
    """HaarPSI, 1 for equal images (section 2, eq. 10 to 12)."""
    weights, maps = [], []
    for one, other in zip(reference.haar, image.haar, strict=True):
        weights.append(np.maximum(one[-1], other[-1]))
        maps.append((similarity(one[0], other[0], _C) + similarity(one[1], other[1], _C)) / 2)
    weights.append((weights[0] + weights[1]) / 2)
    maps.append(sum(similarity(a, b, _C) for a, b in zip(reference.colour, image.colour, strict=True)) / 2)
    share = weighted_mean(1 / (1 + np.exp(-_ALPHA * np.stack(maps))), np.stack(weights))
    return float((np.log(share / (1 - share)) / _ALPHA) ** 2)


def _line(scale: int, sign: int) -> np.ndarray:
    """One side of a Haar filter of 2^scale pixels; its two sides together sum to 2^scale in magnitude."""
    half = np.full(2 ** (scale - 1), 2.0 ** (-scale / 2))
    return np.concatenate([half, sign * half])


def _filtered(plane: np.ndarray, across: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Magnitudes of the response at every pixel, zeros outside; the pixel is the one before the filter's middle."""
    anchor = (len(across) // 2 - 1,) * 2
    return np.abs(cv2.sepFilter2D(plane, -1, across, along, anchor=anchor, borderType=cv2.BORDER_CONSTANT))
