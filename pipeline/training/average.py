"""The moving average of the trunk's weights, which is what is written where ``train.ema`` asks for it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from pipeline.encoder.network import ResNet

SLOW = 10  # the decay of step t is at most (1 + t) / (10 + t): the initial weights are soon forgotten


class Average:
    """An exponential moving average of a trunk, taken after every step: of its weights and of its batch norms'
    statistics alike, so nothing has to be recalibrated. :attr:`trunk` is a network of its own.
    """

    def __init__(self, trunk: ResNet, decay: float) -> None:
        self.trunk = copy.deepcopy(trunk).requires_grad_(False)
        self._decay, self._mean = decay, _numbers(self.trunk)

    def update(self, trunk: ResNet, step: int) -> None:
        """Move towards ``trunk`` after step ``step`` (from 0)."""
        decay = min(self._decay, (1 + step) / (SLOW + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._mean, _numbers(trunk), 1 - decay)


def _numbers(trunk: ResNet) -> list[Tensor]:
    """Weights and statistics, not the batch norms' counters."""
    return [value for value in trunk.state_dict().values() if value.is_floating_point()]
