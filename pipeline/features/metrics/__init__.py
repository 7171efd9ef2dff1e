"""Full-reference metrics: a number for an image and its pristine reference, by the definitions of their authors.

Each is a preparation of one image and a comparison of two prepared ones, so that a reference with 125 versions is
prepared once. Where a paper and its authors' code differ, the code is followed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import Refusal, artifacts, images
from pipeline.features.metrics import fsim, gmsd, haarpsi, mdsi, psnr, ssim, vsi


class MetricError(Refusal, ValueError):
    """Two images that can't be compared."""


@dataclass(frozen=True)
class Metric:
    """A full-reference metric. ``prepare`` takes a uint8 H x W x 3 image; ``version`` rises when values change."""

    name: str
    prepare: Callable[[np.ndarray], Any]
    compare: Callable[[Any, Any], float]
    higher_is_better: bool = True
    version: int = 1

    @property
    def sha256(self) -> str:
        """What tables made by this metric carry in place of a hash of weights."""
        return artifacts.fingerprint({"kind": "metric", "name": self.name, "version": self.version})

    def __call__(self, reference: np.ndarray, image: np.ndarray) -> float:
        """The value for two uint8 H x W x 3 images of one size; NaN where it is not defined (MS-SSIM below 161 pixels).

        Raises :class:`MetricError` for images of different sizes.
        """
        images.check(reference, "reference")
        images.check(image)
        if reference.shape != image.shape:
            sizes = [" x ".join(map(str, picture.shape[1::-1])) for picture in (image, reference)]
            raise MetricError(f"{self.name}: the image is {sizes[0]}, its reference {sizes[1]}")
        return self.compare(self.prepare(reference), self.prepare(image))


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", psnr.prepare, psnr.compare),
        Metric("ssim", ssim.prepare, ssim.compare),
        Metric("ms_ssim", ssim.prepare_scales, ssim.compare_scales),
        Metric("gmsd", gmsd.prepare, gmsd.compare, higher_is_better=False),
        Metric("fsim", fsim.prepare, fsim.compare),
        Metric("fsimc", fsim.prepare, fsim.compare_colour),
        Metric("vsi", vsi.prepare, vsi.compare),
        Metric("haarpsi", haarpsi.prepare, haarpsi.compare),
        Metric("mdsi", mdsi.prepare, mdsi.compare, higher_is_better=False),
    )
}
