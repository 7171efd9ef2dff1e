"""Accuracy of a classifier of the types on held-out sources: confusion matrix, accuracy by type and by level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.engine import progress
from pipeline.labels import IDENTICAL_TO_PRISTINE, LEVELS, TYPES
from pipeline.shards.decoded import LabelledImages

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # uint8 [h, w, 3] -> [crops, 25 or 26]


def predicted_types(
    logits: Logits, images: LabelledImages, rows: NDArray[np.integer], describe: str
) -> NDArray[np.int64]:
    """The type 1..25 with the largest logit, averaged over crops, of the given rows; the pristine output is no answer
    here. int64 [n].
    """
    answers = [
        int(logits(images.image(int(row))).mean(axis=0)[-TYPES:].argmax()) + 1
        for row in progress(rows, total=len(rows), describe=describe)
    ]
    return np.array(answers, np.int64)


def confusion(labels: NDArray[np.integer], predicted: NDArray[np.integer]) -> dict[str, object]:
    """Plain values for JSON of the distorted images (labels 1..125) and the types 1..25 that were predicted.

    ``accuracy`` over all; ``matrix`` [25][25], counts of true type by predicted; ``by_type`` and ``by_level``,
    accuracies; ``invisible``, the share of images of a class that equals the pristine image, whose type cannot be seen.
    """
    types, levels = (labels - 1) // LEVELS + 1, (labels - 1) % LEVELS + 1
    matrix = np.zeros((TYPES, TYPES), np.int64)
    np.add.at(matrix, (types - 1, predicted - 1), 1)
    right = types == predicted
    return {
        "accuracy": float(right.mean()),
        "images": len(labels),
        "by_type": {str(value): float(right[types == value].mean()) for value in np.unique(types)},
        "by_level": {str(value): float(right[levels == value].mean()) for value in np.unique(levels)},
        "invisible": float(np.isin(labels, IDENTICAL_TO_PRISTINE).mean()),
        "matrix": matrix.tolist(),
    }
