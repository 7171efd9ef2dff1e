"""The linear probe: how well a linear map tells the distortion's type and class from features of sources never trained
on.

Type: one of 25, on the 125 distorted classes (the pristine image has none and is left out). Class: one of 126. Sources
are split into folds, so that a source is never on both sides. In each fold features are standardised by the training
part and a ridge is fitted to the one-hot answers; the largest output wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.encoder import Extractor
from pipeline.engine import Engine
from pipeline.labels import CLASSES, LEVELS
from pipeline.params import ParamsError
from pipeline.params.sections import ProbeParams
from pipeline.shards.decoded import LabelledImages
from pipeline.shards.plan import held_out
from pipeline.shards.reader import ShardSet

RIDGE = 10.0  # on standardised features: the order of 1 % of the rows in a fold of the small profile


@dataclass(frozen=True)
class HeldOut:
    """What an encoder is probed on: the ``rows`` of ``data``, whose sources no encoder is trained on. ``sources`` int
    [n] are those of the rows.
    """

    data: LabelledImages
    rows: NDArray[np.int64]
    sources: NDArray[np.int32]
    folds: int = 4
    ridge: float = RIDGE

    @classmethod
    def of(cls, shards: ShardSet, params: ProbeParams) -> HeldOut:
        """The last ``params.sources`` sources of a distorted set, without their composites."""
        rows = np.flatnonzero(held_out(shards.sources, params.sources) & (shards.labels < CLASSES))
        return cls(shards, rows, shards.sources[rows], params.folds, params.ridge)

    def first(self, count: int) -> HeldOut:
        """The same on the first ``count`` sources alone."""
        chosen = np.isin(self.sources, np.unique(self.sources)[:count])
        return HeldOut(self.data, self.rows[chosen], self.sources[chosen], min(self.folds, count), self.ridge)

    def __call__(self, extractor: Extractor, describe: str = "probe", engine: Engine = Engine()) -> dict[str, float]:
        """Extract the features on ``engine``, a task for as many images as a source has, and :func:`probe` them."""
        chunks = np.array_split(self.rows, -(-len(self.rows) // CLASSES))
        tasks = [ProbeTask(extractor, self.data, tuple(chunk.tolist())) for chunk in chunks]
        features = np.concatenate(engine.map(extract_rows, tasks, describe=describe))
        return probe(features, self.data.labels[self.rows], self.sources, folds=self.folds, ridge=self.ridge)


@dataclass(frozen=True)
class ProbeTask:
    """Rows of ``data`` whose features one worker extracts."""

    extractor: Extractor
    data: LabelledImages
    rows: tuple[int, ...]

    def __str__(self) -> str:
        return f"features by {self.extractor.name} of {len(self.rows)} images from {self.data.keys[self.rows[0]]} on"


def extract_rows(task: ProbeTask) -> NDArray[np.float32]:
    """float32 [rows, dim]."""
    return task.extractor.extract([task.data.image(row) for row in task.rows])


def probe(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    sources: NDArray[np.integer],
    *,
    folds: int = 4,
    ridge: float = RIDGE,
) -> dict[str, float]:
    """Accuracies in [0, 1] over all images: ``type_accuracy``, ``class_accuracy``, with their chance levels and counts.

    ``features`` [n, d], ``labels`` 0..125 and ``sources`` (the image an image was made of), all [n]. Source i of the
    sorted distinct ones is in fold i % folds. ``ValueError`` with fewer sources than folds.
    """
    distinct, source = np.unique(sources, return_inverse=True)
    if not 2 <= folds <= len(distinct):
        raise ParamsError(f"probe.folds: {folds} is not in 2..{len(distinct)}, the number of sources")
    fold = source % folds
    distorted = labels > 0
    types = (labels[distorted] - 1) // LEVELS
    return {
        "type_accuracy": _cross_fit(features[distorted], types, fold[distorted], folds, ridge),
        "class_accuracy": _cross_fit(features, labels, fold, folds, ridge),
        "type_chance": 1 / len(np.unique(types)),
        "class_chance": 1 / len(np.unique(labels)),
        "images": len(labels),
        "sources": len(distinct),
    }


def _cross_fit(
    features: NDArray[np.float32], answers: NDArray[np.integer], fold: NDArray[np.integer], folds: int, ridge: float
) -> float:
    right = 0
    for held in range(folds):
        test = fold == held
        predicted = _ridge_predict(features[~test], answers[~test], features[test], ridge)
        right += int((predicted == answers[test]).sum())
    return right / len(answers)


def _ridge_predict(
    train: NDArray[np.float32], answers: NDArray[np.integer], test: NDArray[np.float32], ridge: float
) -> NDArray[np.integer]:
    """The answer with the largest output of a ridge fitted to one-hot answers, with an intercept, in float64."""
    known, codes = np.unique(answers, return_inverse=True)
    mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    x = (train - mean) / deviation
    targets = np.eye(len(known))[codes]
    centred = targets - targets.mean(0)
    gram = x.T @ x if x.shape[1] <= len(x) else x @ x.T  # the smaller one: (X'X + r)^-1 X' = X' (XX' + r)^-1
    gram[np.diag_indices_from(gram)] += ridge
    weights = np.linalg.solve(gram, x.T @ centred) if x.shape[1] <= len(x) else x.T @ np.linalg.solve(gram, centred)
    predicted: NDArray[np.integer] = known[np.argmax((test - mean) / deviation @ weights + targets.mean(0), axis=1)]
    return predicted
