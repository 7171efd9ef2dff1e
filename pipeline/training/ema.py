"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

WARMUP = 10  # the decay of step t is at most (1 + t) / (10 + t), so that the initial weights are soon forgotten


class EMA(Generic[Network]):
    """The average of ``network`` over its steps: of its weights and of its batch norms' statistics alike, so nothing
    has to be recalibrated. :attr:`network` is a network of its own.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._decay, self._mean = decay, _floats(self.network)

    def update(self, network: Network, step: int) -> None:
        """Move towards ``network`` after step ``step`` (from 0)."""
        decay = min(self._decay, (1 + step) / (WARMUP + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._mean, _floats(network), 1 - decay)


def _floats(network: nn.Module) -> list[Tensor]:
    """Weights and statistics, not the batch norms' counters."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]
