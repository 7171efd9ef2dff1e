"""Where dead leaves take their colours: photographs of packages, those of a user's folder, or drawn palettes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.artifacts import sha256_file
from pipeline.sources.errors import SourceError
from pipeline.sources.image_files import image_files
from pipeline.sources.photographs import Photograph, packaged

EMBEDDED = (
    ("china", "sklearn", "datasets/images/china.jpg"),
    ("flower", "sklearn", "datasets/images/flower.jpg"),
    ("grace_hopper", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
"""Name, package and path in its wheel; none of these photographs is in the set ``photos``."""


def embedded() -> tuple[Photograph, ...]:
    """The three photographs of ``EMBEDDED``."""
    return packaged(EMBEDDED)


def folder(root: Path) -> tuple[Photograph, ...]:
    """Every image under ``root``, by relative path. ``SourceError`` if there is none."""
    paths = image_files(root)
    if not paths:
        raise SourceError(f"palettes: {root} has no images")
    return tuple(Photograph(path.relative_to(root).as_posix(), path, sha256_file(path)) for path in paths)


CLUSTERS = 5
_LIGHTNESS = (47.0, 23.0)
_CAST = ((-3.0, 6.5), (10.5, 13.0))
_BETWEEN = (6.5, 11.0)
_WITHIN = (7.5, 3.2, 4.8)
_UNEVEN = 0.55
"""CIE L*a*b* of 100 photographs of BSDS500, 5 Gaussians fitted to each: mean and deviation of the clusters' L*; those
of an image's mean a* and b*; the clusters' deviation around it; that within a cluster, and how its logarithm varies."""


def draw(generator: np.random.Generator, number: int) -> np.ndarray:
    """Uint8 [number, 3]: sRGB colours from a palette of ``CLUSTERS`` Gaussians in CIE L*a*b* that is drawn first.

    The largest cluster has 0.39 of the colours on average and the smallest 0.06, as in photographs (0.39 and 0.07).
    """
    import cv2

    cast = generator.normal(*np.transpose(_CAST))
    centres = np.column_stack(
        [
            generator.normal(*_LIGHTNESS, CLUSTERS),
            cast[0] + generator.laplace(0, _BETWEEN[0] / np.sqrt(2), CLUSTERS),  # a* has heavy tails: kurtosis 9
            cast[1] + generator.normal(0, _BETWEEN[1], CLUSTERS),
        ]
    )
    spreads = np.exp(_UNEVEN * generator.standard_normal((CLUSTERS, 1))) * _WITHIN
    shares = generator.dirichlet(np.full(CLUSTERS, 2.0))
    cluster = np.searchsorted(np.cumsum(shares)[:-1], generator.random(number), side="right")
    lab = centres[cluster] + spreads[cluster] * generator.standard_normal((number, 3))
    lab[:, 0] = np.clip(lab[:, 0], 0, 100)
    rgb = cv2.cvtColor(lab.astype(np.float32)[None], cv2.COLOR_LAB2RGB)[0]
    return np.asarray(np.rint(255 * np.clip(rgb, 0, 1)), np.uint8)
