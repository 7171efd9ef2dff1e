"""Batch norms whose statistics are of the images of all ranks of a CPU, which then train as one process does."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn


class SynchronisedNorm(nn.BatchNorm2d):
    """A batch norm [n, c, ...] over the images of all ranks; outside of training a plain one, which exchanges nothing.

    Forward and backward pass each exchange a few float64 numbers a channel, so all ranks must pass in the same order.
    """

    total: Callable[[Tensor], Tensor]  # the sum of a tensor over the ranks, with its gradient

    def forward(self, x: Tensor) -> Tensor:
        """As :class:`torch.nn.BatchNorm2d`'s, of any number of dimensions from 2 on."""
        if not self.training:
            return super().forward(x)
        wide = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(wide, [0, *range(2, x.ndim)], correction=0)
        count, mean, variance = self.of_all_ranks(x.numel() // x.shape[1], mean.double(), variance.double())
        move_running(self, count, mean.detach(), variance.detach())
        scale = self.weight * (variance + self.eps).rsqrt()
        shape = (-1, *[1] * (x.ndim - 2))
        scale, shift = (each.to(wide.dtype).view(shape) for each in (scale, self.bias - mean * scale))
        return (wide * scale + shift).to(x.dtype)

    def of_all_ranks(self, count: float, mean: Tensor, variance: Tensor) -> tuple[float, Tensor, Tensor]:
        """How many values a channel has in all ranks, and their mean and variance, from this rank's (float64 [c]).

        (Squares about 0 lose fewer digits in float64 than a value does that is stored in float32.)
        """
        sums = self.total(count * torch.stack((torch.ones_like(mean), mean, variance + mean.square())))
        mean, squares = sums[1] / sums[0], sums[2] / sums[0]
        return float(sums[0, 0].detach()), mean, (squares - mean.square()).clamp_min(0)

    def _check_input_dim(self, input: Tensor) -> None:
        """It stands for a BatchNorm1d too."""


def synchronise(network: nn.Module, total: Callable[[Tensor], Tensor]) -> None:
    """Make the batch norms of ``network`` synchronised ones, in place: weights, buffers and their names stay.

    ``total`` gives the sum of a tensor over all ranks; its gradient is the sum of theirs. Then a norm's gradients are
    those of the sum of the ranks' losses, and their mean over the ranks is that of the losses' mean.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.__class__ = SynchronisedNorm
            cast(SynchronisedNorm, module).total = total


def move_running(norm: nn.BatchNorm2d, count: float, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards those of ``count`` values a channel, float64 [c]."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked += 1
    for running, value in ((norm.running_mean, mean), (norm.running_var, variance * count / max(1, count - 1))):
        wide = running.double()
        running.copy_(wide + norm.momentum * (value - wide))
