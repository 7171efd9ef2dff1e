"""Whether scores fall as a distortion grows: an encoder's features of photographs in the 25 types at 5 levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.distortions import TYPES, distort_all
from pipeline.encoder import Extractor
from pipeline.labels import LEVELS, PRISTINE
from pipeline.seeding import generator

RISING = tuple(kind.id for kind in TYPES if kind.name not in ("jpeg", "mean_shift", "pixelate", "contrast_change"))
"""The 21 types whose PSNR falls with every level; of the others it does not, because each result is stretched."""
FALLS = -0.8  # Spearman's correlation of level and score, below which a type falls


def class_features(extractor: Extractor, photographs: Sequence[np.ndarray], *, seed: int = 1) -> np.ndarray:
    """float32 [photographs, 126, dim]: features of every class of uint8 H x W x 3 photographs, by their labels."""
    every = []
    for number, photo in enumerate(photographs):
        made = distort_all(photo, generator(seed, "monotonicity", number))
        every.append(np.concatenate([extractor.extract([sample.image]) for sample in made]))
    return np.stack(every)


def falls(scores: np.ndarray) -> np.ndarray:
    """float64 [25]: for each type Spearman's correlation of level and score, the mean over photographs.

    ``scores`` [photographs, 126], higher is better. A photograph whose scores of a type are all equal counts as 0.
    """
    curves = np.delete(scores, PRISTINE, axis=1).reshape(len(scores), len(TYPES), LEVELS)
    ranks = curves.argsort(-1, kind="stable").argsort(-1, kind="stable") - (LEVELS - 1) / 2
    levels = np.arange(LEVELS) - (LEVELS - 1) / 2
    correlations = (ranks @ levels) / (levels @ levels)
    return np.asarray(np.where(np.ptp(curves, axis=-1) > 0, correlations, 0.0).mean(axis=0))
