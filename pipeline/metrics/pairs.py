"""Two images of one size: the check that every full-reference metric begins with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from pipeline import Refusal, images

Prepared = TypeVar("Prepared")


class MetricError(Refusal, ValueError):
    """Two images that can't be compared."""


def prepared_pair(
    prepare: Callable[[np.ndarray], Prepared], reference: np.ndarray, image: np.ndarray
) -> tuple[Prepared, Prepared]:
    """``prepare`` of both uint8 H x W x 3 images; :class:`MetricError` unless they have one size."""
    images.check(reference, "reference")
    images.check(image)
    if reference.shape != image.shape:
        sizes = [" x ".join(map(str, picture.shape[1::-1])) for picture in (image, reference)]
        raise MetricError(f"the image is {sizes[0]}, its reference {sizes[1]}")
    return prepare(reference), prepare(image)
