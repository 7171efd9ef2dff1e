"""What the loss takes for a class: the labels it sees, and how near two of them are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLASSES = 126  # the pristine image and 25 types at 5 levels
LEVELS = 5
AUTHENTIC = -1  # the label of an image whose distortions nobody knows
IDENTICAL = (1, 11, 36, 88)  # blur 0.1, motion 1, saturation x 1, mean shift 0: the pristine image, to one grey level


def class_labels(labels: NDArray[np.int16], merge_identical: bool) -> NDArray[np.int64]:
    """The labels that the loss sees: those given, or with the four classes that equal the pristine image under label
    0.
    """
    merged = labels.astype(np.int64)
    if merge_identical:
        merged[np.isin(merged, IDENTICAL)] = 0
    return merged


def batch_labels(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes of a whole batch: the labels, and for each authentic image one of its own, 126 plus its place in the
    batch (paper 2, eq. 3: only its own views and patches are its positives).
    """
    return np.where(labels == AUTHENTIC, CLASSES + np.arange(len(labels)), labels)


def affinity(neighbour_weight: float, classes: int = CLASSES, device: torch.device | str = "cpu") -> Tensor | None:
    """float64 [classes, classes] for the loss: 1 on the diagonal, ``neighbour_weight`` between levels l and l + 1 of a
    type; None at weight 0. The pristine image is of no type and has no neighbours, nor have labels from 126 on.
    """
    if not neighbour_weight:
        return None
    near = torch.eye(classes, dtype=torch.float64)
    for label in range(1, CLASSES - 1):
        if label % LEVELS:  # the fifth level's next label is another type's first
            near[label, label + 1] = near[label + 1, label] = neighbour_weight
    return near.to(device)
