"""The ``floor`` extractor: 19 numbers that anybody would think of first.

On BIQ2021 and on TID2013's Kodak images a ridge on them beats one on BRISQUE's 36 features within subsets, so an
encoder that does not beat it has learnt nothing about quality.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline import artifacts, images

FLOOR = (
    *(f"{measure}_{channel}" for channel in "bgr" for measure in ("mean", "sd")),
    *("mean_grey", "sd_grey", "mean_saturation", "sd_saturation", "colourfulness", "entropy"),
    *(
        "log_laplacian_1",
        "log_laplacian_2",
        "log_laplacian_4",
        "log_gradient",
        "percentile_1",
        "percentile_99",
        "clipped",
    ),
)
_TINY = 1e-8  # under the logarithms: a flat image gives -18.4 and not minus infinity


class Floor:
    """The ``floor`` extractor: ``dim`` 19, units differ (``standardise``), deterministic."""

    name = "floor"
    dim = len(FLOOR)
    standardise = True
    provenance = {"kind": "floor", "version": 1, "numbers": list(FLOOR)}
    sha256 = artifacts.fingerprint(provenance)

    def extract(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 H x W x 3 images -> float32 [n, 19], the numbers of :data:`FLOOR`, pixel values in [0, 1]."""
        return np.stack([floor_numbers(picture) for picture in pictures]).astype(np.float32)


def floor_numbers(image: np.ndarray) -> np.ndarray:
    """The 19 numbers of one uint8 H x W x 3 image, float64 [19] in the order of :data:`FLOOR`.

    Colourfulness is Hasler and Suesstrunk's (2003); the Laplacian's variance is taken at full, half and quarter size.
    """
    images.check(image)
    image = np.ascontiguousarray(image)
    mean, deviation = (values.ravel() / 255 for values in cv2.meanStdDev(image))
    unit = image.astype(np.float32) / 255
    grey = cv2.cvtColor(unit, cv2.COLOR_RGB2GRAY)
    red, green, blue = cv2.split(unit)  # a reduction over an axis of 3 takes 10 times as long
    top, bottom = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    saturation = (top - bottom) / np.maximum(top, 1e-6)
    share = np.bincount(np.rint(grey * 255).astype(np.int32).ravel(), minlength=256) / grey.size
    numbers = [value for channel in (2, 1, 0) for value in (mean[channel], deviation[channel])]
    for plane in (grey, saturation):
        numbers += [value.item() for value in cv2.meanStdDev(plane)]
    numbers += [_colourfulness(unit), _entropy(share), *_sharpness(grey)]
    numbers += [np.searchsorted(np.cumsum(share), part) / 255 for part in (0.01, 0.99)]
    numbers.append(np.count_nonzero((image == 0) | (image == 255)) / image.size)
    return np.array(numbers, dtype=np.float64)


def _colourfulness(unit: np.ndarray) -> float:
    opponents = cv2.transform(unit, np.array([[1, -1, 0], [0.5, 0.5, -1]], dtype=np.float32))
    mean, deviation = cv2.meanStdDev(opponents)
    return float(np.linalg.norm(deviation) + 0.3 * np.linalg.norm(mean))


def _entropy(share: np.ndarray) -> float:
    """Bits a pixel of the 256-level grey histogram."""
    share = share[share > 0]
    return max(0.0, float(-(share * np.log2(share)).sum()))


def _sharpness(grey: np.ndarray) -> list[float]:
    """Log variance of the Laplacian at three sizes, then the log mean gradient at full size."""
    numbers, scaled = [], grey
    for _ in range(3):
        deviation = cv2.meanStdDev(cv2.Laplacian(scaled, cv2.CV_32F))[1].item()
        numbers.append(float(np.log(deviation**2 + _TINY)))
        size = (max(1, scaled.shape[1] // 2), max(1, scaled.shape[0] // 2))
        scaled = cv2.resize(scaled, size, interpolation=cv2.INTER_AREA)
    gradient = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return [*numbers, float(np.log(gradient.mean(dtype=np.float64) + _TINY))]
