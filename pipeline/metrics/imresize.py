"""Resizing as MATLAB's imresize does it, which VSI's and NIQE's authors used: an antialiasing kernel that widens where
the image shrinks, and a mirror at the border.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import sparse


def linear(x: np.ndarray) -> np.ndarray:
    """The triangle of half-width 1."""
    return np.asarray(np.maximum(0, 1 - np.abs(x)))


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys's cubic of half-width 2, a = -0.5."""
    x = np.abs(x)
    inner, outer = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0))


def resized(plane: np.ndarray, shape: tuple[int, int], kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A float64 H x W plane at another ``shape``, by :func:`linear` or :func:`cubic`."""
    rows, columns = (_weights(have, want, kernel) for have, want in zip(plane.shape, shape, strict=True))
    return np.ascontiguousarray((columns @ (rows @ plane).T).T)


@lru_cache(maxsize=16)
def _weights(have: int, want: int, kernel: Callable[[np.ndarray], np.ndarray]) -> sparse.csr_array:
    """[want, have]: what each pixel of the result takes from the pixels of a line."""
    scale = want / have
    shrink = min(1.0, scale)
    half = (1 if kernel is linear else 2) / shrink
    centre = (np.arange(want) + 0.5) / scale - 0.5
    taps = np.floor(centre - half).astype(int)[:, None] + np.arange(int(np.ceil(2 * half)) + 2)
    weights = kernel((centre[:, None] - taps) * shrink)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.mod(taps, 2 * have)
    mirrored = np.where(mirrored < have, mirrored, 2 * have - 1 - mirrored)
    rows = np.repeat(np.arange(want), taps.shape[1])
    return sparse.csr_array((weights.ravel(), (rows, mirrored.ravel())), shape=(want, have))
