"""What ranks exchange: rows of all ranks with their gradient, means, gradients. One process has nothing to exchange."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SHARED = Path("/dev/shm")  # memory that processes of one machine share by mapping a file


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


def average_statistics(network: nn.Module) -> None:
    """Replace the batch norms' running statistics by the mean of all ranks', which each keeps of its own images."""
    if world()[1] == 1:
        return
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if buffers:
        mean = mean_over_ranks(torch.cat([buffer.flatten() for buffer in buffers]))
        torch._foreach_copy_(buffers, [part.view_as(b) for part, b in zip(_split(mean, buffers), buffers, strict=True)])


def from_first(value: object) -> Any:
    """Rank 0's ``value`` on all ranks."""
    if world()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


class GradientMean:
    """Replaces the gradients of ``parameters`` by the mean of all ranks', after each backward pass.

    Ranks that share a machine's memory (CPU, ``same_machine``) add up there: each writes its gradients, waits for all,
    sums one part of them in the order of the ranks, and waits again. ``benchmarks.trainer`` times it beside gloo's sum.
    Others use one all_reduce. Either way the sum is the same whenever the ranks are as many.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, same_machine: bool) -> None:
        self._parameters = list(parameters)
        self._rank, self._ranks = world()
        self._size = sum(parameter.numel() for parameter in parameters)
        self._shared = self._map() if same_machine and self._ranks > 1 else None
        if self._shared is not None:
            *parts, mean = self._shared
            self._mine = self._views(parts[self._rank])
            self._means = self._views(mean)

    def __call__(self) -> None:
        """Exchange; all ranks call this."""
        if self._ranks == 1:
            return
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if self._shared is not None and len(gradients) == len(self._parameters):
            self._in_shared_memory(gradients)
            return
        mean = mean_over_ranks(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, _split(mean, gradients), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _in_shared_memory(self, gradients: list[Tensor]) -> None:
        assert self._shared is not None
        torch._foreach_copy_(self._mine, gradients)
        dist.barrier()
        first, last = (self._size * (self._rank + part) // self._ranks for part in (0, 1))
        *parts, mean = (flat[first:last] for flat in self._shared)
        torch.add(parts[0], parts[1], out=mean)
        for part in parts[2:]:
            mean += part
        mean /= self._ranks
        dist.barrier()
        for parameter, gradient in zip(self._parameters, self._means, strict=True):
            parameter.grad = gradient  # read by the optimiser before this rank comes to the next step's first barrier

    def _map(self) -> list[Tensor] | None:
        """A flat tensor of each rank and one for the mean, all shared; None where there is no room for them."""
        dtype = self._parameters[0].dtype
        count = (self._ranks + 1) * self._size
        name = None
        if self._rank == 0 and all(p.dtype == dtype and p.device.type == "cpu" for p in self._parameters):
            name = _reserved(count * dtype.itemsize)
        name = from_first(name)
        if name is None:
            return None
        flat = torch.from_file(name, shared=True, size=count, dtype=dtype)
        dist.barrier()
        if self._rank == 0:
            os.unlink(name)  # it stays until the last rank ends, and nothing is left of ranks that are killed
        return list(flat.split(self._size))  # type: ignore[no-untyped-call]

    def _views(self, flat: Tensor) -> list[Tensor]:
        """``flat`` as the gradients of the parameters, in their memory order."""
        starts = torch.tensor([0, *(parameter.numel() for parameter in self._parameters)]).cumsum(0).tolist()
        pairs = zip(self._parameters, starts, strict=False)
        return [
            flat[start:].as_strided(parameter.shape, parameter.stride(), flat.storage_offset() + start)
            for parameter, start in pairs
        ]


def _reserved(size: int) -> str | None:
    """A new file of ``size`` bytes in shared memory, filled so that no later write can fail; None without room."""
    import tempfile

    try:
        handle, name = tempfile.mkstemp(prefix="gradients-", dir=SHARED)
    except OSError:
        return None
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError:
        os.unlink(name)
        return None
    finally:
        os.close(handle)
    return name


def _split(flat: Tensor, like: Sequence[Tensor]) -> Sequence[Tensor]:
    parts: Sequence[Tensor] = torch.split(flat, [tensor.numel() for tensor in like])
    return parts


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
