"""Similarity of a target (any images, without opinions) to the 25 distortion types (paper 4, section 3.2).

A classifier of the types is applied to crops of each image. Two rules turn its outputs into one number for each type:

- ``mean_prob`` is the paper's eq. (5): the softmax, averaged over the crops and then over all images. Eq. (6) selects
  the types above 1/25.
- ``top4_vote`` is what the authors' code does: the logits are averaged over an image's crops, its four largest outputs
  are its votes, and the votes of a type are divided by 3 n. Types whose share, rounded to two digits, is at least 0.04
  are selected.

An image's outputs are kept (26 numbers), not its pixels, so a folder of any length takes little memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.labels import TYPES
from pipeline.seeding import generator

RULES = ("mean_prob", "top4_vote")
THRESHOLD = 1 / TYPES  # tau = 1/k, both rules
VOTES = 4  # of an image, in the authors' code
VOTES_DIVISOR = VOTES - 1  # the authors divide by 3, not by 4


@dataclass(frozen=True)
class Outputs:
    """The outputs of a classifier for the ``n`` images of a target.

    ``probabilities`` float64 [n, 25 or 26]: the softmax, averaged over the crops. ``votes`` bool [n, 25 or 26]: the
    four largest outputs by the logits averaged over the crops, the lower type where two are equal. With 26 columns the
    first is the pristine class, which takes part in the softmax and in the votes and is no domain.
    """

    probabilities: NDArray[np.float64]
    votes: NDArray[np.bool_]

    @classmethod
    def of(cls, logits: Iterable[NDArray[np.floating]]) -> Outputs:
        """From one array of logits [crops, 25 or 26] an image; images may differ in their number of crops.

        ``ValueError`` for no image, no crop, a wrong number of columns, or a logit that is not finite.
        """
        probabilities, votes = [], []
        for index, image in enumerate(logits):
            values = np.asarray(image, np.float64)
            if values.ndim != 2 or not len(values) or values.shape[1] not in (TYPES, TYPES + 1):
                raise ValueError(f"logits of image {index}: expected [crops, 25 or 26], got {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"logits of image {index}: not finite")
            probabilities.append(_softmax(values).mean(axis=0))
            top = np.argsort(-values.mean(axis=0), kind="stable")[:VOTES]
            votes.append(np.isin(np.arange(values.shape[1]), top))
        if not probabilities:
            raise ValueError("the target has no images")
        return cls(np.stack(probabilities), np.stack(votes))

    def __len__(self) -> int:
        return len(self.probabilities)


@dataclass(frozen=True)
class Similarity:
    """One type of one target: ``mean_prob`` with its 95 % bootstrap interval over images, ``top4_share``, and whether
    each rule selects the type.
    """

    domain: int
    mean_prob: float
    mean_prob_low: float
    mean_prob_high: float
    top4_share: float
    top4_low: float
    top4_high: float
    selected_mean_prob: bool
    selected_top4_vote: bool


def similarity(outputs: Outputs, *, seed: int, resamples: int = 1000, level: float = 0.95) -> list[Similarity]:
    """The 25 types in order, 1..25. The intervals resample images; they are the point itself for one image."""
    types = slice(outputs.probabilities.shape[1] - TYPES, None)
    probabilities, votes = outputs.probabilities[:, types], outputs.votes[:, types].astype(np.float64)
    mean_prob, share = probabilities.mean(axis=0), votes.sum(axis=0) / (VOTES_DIVISOR * len(votes))
    both = np.concatenate([probabilities, votes / VOTES_DIVISOR], axis=1)
    low, high = _bootstrap(both, seed, resamples, level)
    return [
        Similarity(
            domain=index + 1,
            mean_prob=float(mean_prob[index]),
            mean_prob_low=float(low[index]),
            mean_prob_high=float(high[index]),
            top4_share=float(share[index]),
            top4_low=float(low[TYPES + index]),
            top4_high=float(high[TYPES + index]),
            selected_mean_prob=bool(mean_prob[index] > THRESHOLD),
            selected_top4_vote=bool(np.round(share[index], 2) >= THRESHOLD),
        )
        for index in range(TYPES)
    ]


def _bootstrap(
    values: NDArray[np.float64], seed: int, resamples: int, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile interval of the column means of ``values`` [n, k] over resampled rows: two vectors [k]."""
    n = len(values)
    random = generator(seed, "domains/bootstrap", n)
    means = np.empty((resamples, values.shape[1]))
    for index in range(resamples):  # one resample at a time: n counts, whatever the length of the target
        means[index] = random.multinomial(n, np.full(n, 1 / n)) @ values / n
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
