"""Optimisers and the learning rate of each step."""

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


def sgd(network: nn.Module, *, momentum: float, weight_decay: float, decay_norms: bool) -> torch.optim.SGD:
    """SGD without Nesterov, in two groups: weights, and batch norms' scales and shifts with all biases, which decay
    only if ``decay_norms``. The loop sets the rate before each step.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {
            "params": [parameter for parameter in parameters if parameter.ndim <= 1],
            "weight_decay": weight_decay if decay_norms else 0.0,
        },
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, fused=True)
