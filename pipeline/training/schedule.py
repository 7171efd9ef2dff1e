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


def sgd(
    model: nn.Module, *, momentum: float, weight_decay: float, decay_norms: bool, official: bool = False
) -> torch.optim.SGD:
    """SGD without Nesterov; the rate is set before each step. Batch norms' scales and shifts decay only if
    ``decay_norms``.

    ``official``: the official code means to spare the norms, goes by their names, and so spares those inside the blocks
    (48 of 55 of a ResNet-50 with its projector); the stem's, the shortcuts' and the projector's decay.
    """
    named = list(model.named_parameters())
    norms = {name for name, parameter in named if parameter.ndim <= 1}
    if official:
        norms, decay_norms = {name for name in norms if name.startswith("trunk.layer") and ".bn" in name}, False
    groups = [
        {"params": [parameter for name, parameter in named if name not in norms], "weight_decay": weight_decay},
        {
            "params": [parameter for name, parameter in named if name in norms],
            "weight_decay": weight_decay if decay_norms else 0.0,
        },
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum)
