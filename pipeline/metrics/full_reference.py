"""The table of full-reference metrics: a number for an image and its pristine reference, by their authors' definitions.

Each is a preparation of one image and a comparison of two prepared ones, so that a reference with 125 versions is
prepared once. Where a paper and its authors' code differ, the code is followed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline.metrics import fsim, gmsd, haarpsi, mdsi, psnr, ssim, vsi


@dataclass(frozen=True)
class Metric:
    """A full-reference metric. ``function`` compares two uint8 H x W x 3 images, and equals ``compare`` of what
    ``prepare`` makes of each; ``version`` rises when values change.
    """

    function: Callable[[np.ndarray, np.ndarray], float]
    prepare: Callable[[np.ndarray], Any]
    compare: Callable[[Any, Any], float]
    higher_is_better: bool = True
    version: int = 1

    @property
    def name(self) -> str:
        """The function's name, such as ``ms_ssim``."""
        return self.function.__name__

    @property
    def sha256(self) -> str:
        """What tables made by this metric carry in place of a hash of weights."""
        return artifacts.fingerprint({"kind": "metric", "name": self.name, "version": self.version})

    def __call__(self, reference: np.ndarray, image: np.ndarray) -> float:
        """``function`` of the two images; :class:`pipeline.metrics.MetricError` for images of different sizes."""
        return self.function(reference, image)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(psnr.psnr, psnr.prepare, psnr.compare),
        Metric(ssim.ssim, ssim.prepare, ssim.compare),
        Metric(ssim.ms_ssim, ssim.prepare_scales, ssim.compare_scales),
        Metric(gmsd.gmsd, gmsd.prepare, gmsd.compare, higher_is_better=False),
        Metric(fsim.fsim, fsim.prepare, fsim.compare),
        Metric(fsim.fsimc, fsim.prepare, fsim.compare_colour),
        Metric(vsi.vsi, vsi.prepare, vsi.compare),
        Metric(haarpsi.haarpsi, haarpsi.prepare, haarpsi.compare),
        Metric(mdsi.mdsi, mdsi.prepare, mdsi.compare, higher_is_better=False),
    )
}
