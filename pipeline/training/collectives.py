"""What ranks exchange: rows of all ranks with their gradient, and means. One process has nothing to exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def world() -> tuple[int, int]:
    """(rank, ranks) of this process: (0, 1) unless torch.distributed runs."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather_rows(rows: Tensor) -> Tensor:
    """[n, K] on each rank -> [ranks n, K] on all, one rank after the other. Its gradient is the sum of all ranks'
    gradients by our rows. (Our rank's gradient alone, as the official code takes it, would be 1 / ranks of the loss's.)
    """
    if world()[1] == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def gather(values: Tensor) -> Tensor:
    """[n] on each rank -> [ranks n] on all, without a gradient."""
    if world()[1] == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def mean_over_ranks(values: Tensor) -> Tensor:
    """The elementwise mean of all ranks' ``values``."""
    ranks = world()[1]
    if ranks == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / ranks


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by the mean of all ranks', in one exchange."""
    ranks = world()[1]
    if ranks == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= ranks
    parts: Sequence[Tensor] = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def from_first(value: object) -> Any:
    """Rank 0's ``value`` on all ranks."""
    if world()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


class _Gather(torch.autograd.Function):
    """See :func:`gather_rows`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """[n, K] on each rank -> [ranks n, K] on all."""
        return gather(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """[ranks n, K] on each rank -> [n, K]."""
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]
