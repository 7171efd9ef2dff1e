"""The labels that the contrastive loss sees, and how much of a positive one class is to another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.labels import CLASSES, IDENTICAL_TO_PRISTINE, LEVELS

AUTHENTIC = -1  # the label of an image whose distortions nobody knows


def class_labels(labels: NDArray[np.int16], merge_identical: bool) -> NDArray[np.int64]:
    """int64 [n]: ``labels``, or with the four classes that equal the pristine image under label 0."""
    merged = labels.astype(np.int64)
    if merge_identical:
        merged[np.isin(merged, IDENTICAL_TO_PRISTINE)] = 0
    return merged


def batch_labels(labels: NDArray[np.int64], classes: int = CLASSES) -> NDArray[np.int64]:
    """int64 [n]: the classes of a whole batch, of which the set has ``classes``. An authentic image is a class of its
    own, ``classes`` plus its place in the batch (paper 2, eq. 3: only its own views and patches are its positives).
    """
    return np.where(labels == AUTHENTIC, classes + np.arange(len(labels)), labels)


def positive_weights(neighbour_weight: float, classes: int = CLASSES) -> Tensor | None:
    """float64 [classes, classes]: 1 on the diagonal, ``neighbour_weight`` between levels l and l + 1 of a type; None at
    weight 0. The pristine image is of no type and has no neighbours, nor have labels from 126 on.
    """
    if not neighbour_weight:
        return None
    weights = torch.eye(classes, dtype=torch.float64)
    for label in range(1, CLASSES - 1):
        if label % LEVELS:  # the fifth level's next label is another type's first
            weights[label, label + 1] = weights[label + 1, label] = neighbour_weight
    return weights
