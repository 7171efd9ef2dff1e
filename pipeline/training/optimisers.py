"""Optimisers and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

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
    weights, norms = _weights_and_norms(network)
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": weight_decay if decay_norms else 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, fused=True)


class LARS(torch.optim.Optimizer):
    """SGD with a rate of its own for each layer (You, Gitman, Ginsburg 2017, algorithm 1). With g the gradient,

        lambda = trust |w| / (|g| + decay |w|),   v <- momentum v + rate lambda (g + decay w),   w <- w - v.

    So a step alone moves a layer by about rate x trust of its norm. lambda is 1 where |w| or |g| is 0, and in groups
    with ``adapt`` False.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, momentum: float, trust: float) -> None:
        defaults = {"lr": 0.0, "weight_decay": 0.0, "momentum": momentum, "trust": trust, "adapt": True}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step by the gradients that are there."""
        for group in self.param_groups:
            decay = group["weight_decay"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                update = weight.grad.add(weight, alpha=decay)
                if group["adapt"]:
                    length, steepness = weight.norm(), weight.grad.norm()
                    ratio = group["trust"] * length / (steepness + decay * length)
                    update *= torch.where((length > 0) & (steepness > 0), ratio, 1.0)
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                weight -= state["momentum"].mul_(group["momentum"]).add_(update, alpha=group["lr"])


def lars(modules: Sequence[nn.Module], *, momentum: float, trust: float, weight_decay: float) -> LARS:
    """LARS in two groups for each of ``modules``: its weights, and its batch norms' scales and shifts with all biases,
    which are neither adapted nor decay (as SimCLR has it).
    """
    groups: list[dict[str, Any]] = []
    for module in modules:
        weights, norms = _weights_and_norms(module)
        groups += [{"params": weights, "weight_decay": weight_decay}, {"params": norms, "adapt": False}]
    return LARS(groups, momentum=momentum, trust=trust)


def _weights_and_norms(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
