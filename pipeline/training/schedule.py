"""The learning rate of each step and the optimiser."""

from __future__ import annotations

import math

import torch
from torch import nn


def learning_rate(step: int, *, total: int, warmup: int, peak: float) -> float:
    """Linear warm-up from peak / (warmup + 1) over ``warmup`` steps, then a cosine that would reach 0 at step
    ``total``.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def sgd(model: nn.Module, *, momentum: float, weight_decay: float, decay_norms: bool) -> torch.optim.SGD:
    """SGD without Nesterov; the rate is set before each step. Batch norms' scales and shifts decay only if
    ``decay_norms``.

    The official code means to spare the norms, and spares 48 of 55 because it goes by their names.
    """
    weights = [p for p in model.parameters() if p.ndim > 1]
    norms = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": weight_decay if decay_norms else 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum)
