"""Whether scores fall as a distortion grows: an encoder's features of photographs in the 25 types at 5 levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.distortions import TYPES, distort_all
from pipeline.encoder import Extractor
from pipeline.labels import LEVELS, PRISTINE
from pipeline.seeding import generator

RISING = tuple(kind.id for kind in TYPES if kind.name not in ("jpeg", "mean_shift", "pixelate", "contrast_change"))
"""The 21 types whose PSNR falls with every level; of the others it does not, because each result is stretched."""
FALLS = -0.8  # Spearman's correlation of level and score, below which a type falls


def class_features(
    extractor: Extractor, photograph: NDArray[np.uint8], *, number: int = 0, seed: int = 1
) -> NDArray[np.float32]:
    """[126, dim]: features of every class of a photograph, uint8 H x W x 3, by their labels. Random distortions are
    drawn from ``seed`` and the photograph's ``number``.
    """
    made = distort_all(photograph, generator(seed, "monotonicity", number))
    return np.concatenate([extractor.extract([sample.image]) for sample in made])


def level_differences(
    extractor: Extractor, photograph: NDArray[np.uint8], *, number: int = 0, seed: int = 1
) -> NDArray[np.float32]:
    """[21 x 4, dim]: for every type of :data:`RISING`, the feature of each level from 2 on less that of the level
    before, of the classes of :func:`class_features`.
    """
    made = distort_all(photograph, generator(seed, "monotonicity", number))
    rising = np.concatenate([extractor.extract([sample.image]) for sample in made if sample.type in RISING])
    return np.diff(rising.reshape(len(RISING), LEVELS, -1), axis=1).reshape(-1, rising.shape[1])


def falls(scores: np.ndarray) -> np.ndarray:
    """float64 [25]: for each type Spearman's correlation of level and score, the mean over photographs.

    ``scores`` [photographs, 126], higher is better. A photograph whose scores of a type are all equal counts as 0.
    """
    curves = np.delete(scores, PRISTINE, axis=1).reshape(len(scores), len(TYPES), LEVELS)
    ranks = curves.argsort(-1, kind="stable").argsort(-1, kind="stable") - (LEVELS - 1) / 2
    levels = np.arange(LEVELS) - (LEVELS - 1) / 2
    correlations = (ranks @ levels) / (levels @ levels)
    return np.asarray(np.where(np.ptp(curves, axis=-1) > 0, correlations, 0.0).mean(axis=0))
