"""What ranks exchange: rows and sums with their gradient, means, gradients. One process has nothing to exchange."""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

SHARED = Path("/dev/shm")  # memory that processes of one machine share by mapping a file
SPINS = 100  # looks, of less than a microsecond each, before a rank that waits for another sleeps


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
    return values if world()[1] == 1 else torch.cat(_of_all_ranks(values))


def mean_over_ranks(values: Tensor) -> Tensor:
    """The elementwise mean of all ranks' ``values``, without a gradient."""
    ranks = world()[1]
    return values if ranks == 1 else _sum(values) / ranks


def sum_over_ranks(values: Tensor) -> Tensor:
    """The elementwise sum of all ranks' ``values``. Its gradient is the sum of all ranks' gradients."""
    if world()[1] == 1:
        return values
    total: Tensor = _Total.apply(values)  # type: ignore[no-untyped-call]
    return total


def from_first(value: object) -> Any:
    """Rank 0's ``value`` on all ranks."""
    if world()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


class Meeting:
    """Where the ranks of one machine wait for one another (a dissemination barrier): in round k each wakes the rank
    2^k after it and waits for the one 2^k before. Two ranks take one round, four two.

    The standard library's Barrier takes a lock and several semaphores to do so.
    """

    def __init__(self, ranks: int) -> None:
        context = get_context("spawn")
        self._rounds = [[context.Semaphore(0) for _ in range(ranks)] for _ in range((ranks - 1).bit_length())]

    def wait(self, rank: int) -> None:
        """Until all ranks are here."""
        for number, woken in enumerate(self._rounds):
            woken[(rank + 2**number) % len(woken)].release()
            _acquire(woken[rank])


def _acquire(semaphore: Semaphore) -> None:
    for _ in range(SPINS):
        if semaphore.acquire(block=False):
            return
    semaphore.acquire()


class Board:
    """Memory that the ranks of one machine share: each writes its part, all meet, each reads what it needs.

    A meeting wakes one thread a rank, where gloo wakes several, and on a busy machine each waits for its turn.
    ``prefix`` begins the names of the files, while they have one.
    """

    def __init__(self, meeting: Meeting, prefix: str) -> None:
        self._meeting, self._prefix, (self._rank, self._ranks) = meeting, prefix, world()
        self._sides: list[list[Tensor]] = []
        self._exchanges = self._room = 0

    def meet(self) -> None:
        """Wait for all ranks. What one wrote before it, all see after it."""
        self._meeting.wait(self._rank)

    def exchange(self, values: Tensor) -> list[Tensor] | None:
        """The ``values`` of every rank, all of one shape, to be read before the next exchange; None without room."""
        size = values.numel() * values.element_size()
        if size > self._room:
            self._room = -(-2 * size // 64) * 64  # numbers of every length begin at a multiple of theirs
            memory = self.memory(2 * self._ranks * self._room, torch.uint8)
            parts = [] if memory is None else list(memory.split(self._room))  # type: ignore[no-untyped-call]
            self._sides = [parts[: self._ranks], parts[self._ranks :]] if parts else []
        if not self._sides:
            return None
        # Two sides in turn: a side is written again only when all have met in between, and so have read it.
        side = [part[:size].view(values.dtype).view(values.shape) for part in self._sides[self._exchanges % 2]]
        self._exchanges += 1
        side[self._rank].copy_(values)
        self.meet()
        return side

    def memory(self, count: int, dtype: torch.dtype) -> Tensor | None:
        """``count`` numbers that all ranks share, until the last of them ends; None where there is no room."""
        name = from_first(_reserved(count * dtype.itemsize, self._prefix) if self._rank == 0 else None)
        if name is None:
            return None
        flat = torch.from_file(name, shared=True, size=count, dtype=dtype)
        self.meet()
        if self._rank == 0:
            os.unlink(name)  # nothing is left of ranks that are killed
        return flat


_boards: list[Board] = []  # this rank's, where it has one


def share_memory(meeting: Meeting, prefix: str) -> None:
    """Exchange through memory from now on: all ranks are on this machine, and ``meeting`` is theirs."""
    _boards.append(Board(meeting, prefix))


def board() -> Board | None:
    """This rank's board, if :func:`share_memory` gave it one."""
    return _boards[0] if _boards else None


class GradientMean:
    """Replaces the gradients of ``parameters`` by the mean of all ranks', after each backward pass.

    With a ``board``, ranks add up in its memory: each writes its gradients, all meet, each sums one part of them in the
    order of the ranks, and all meet again. ``benchmarks.trainer`` times it beside gloo's sum. Others use one
    all_reduce. Either way the sum is the same whenever the ranks are as many.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], board: Board | None) -> None:
        self._parameters, self._board = list(parameters), board
        self._rank, self._ranks = world()
        self._size = sum(parameter.numel() for parameter in parameters)
        kinds = {(parameter.dtype, parameter.device.type) for parameter in parameters}
        dtype = self._parameters[0].dtype
        memory = None
        if board is not None and kinds == {(dtype, "cpu")}:
            memory = board.memory((self._ranks + 1) * self._size, dtype)
        self._shared = None if memory is None else list(memory.split(self._size))  # type: ignore[no-untyped-call]
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
        mean = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(mean)
        mean /= self._ranks
        for gradient, part in zip(gradients, _split(mean, gradients), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _in_shared_memory(self, gradients: list[Tensor]) -> None:
        assert self._shared is not None and self._board is not None
        torch._foreach_copy_(self._mine, gradients)
        self._board.meet()
        first, last = (self._size * (self._rank + part) // self._ranks for part in (0, 1))
        *parts, mean = (flat[first:last] for flat in self._shared)
        torch.add(parts[0], parts[1], out=mean)
        for part in parts[2:]:
            mean += part
        mean /= self._ranks
        self._board.meet()
        for parameter, gradient in zip(self._parameters, self._means, strict=True):
            parameter.grad = gradient  # read by the optimiser before this rank comes to the next step's first meeting

    def _views(self, flat: Tensor) -> list[Tensor]:
        """``flat`` as the gradients of the parameters, in their memory order."""
        starts = torch.tensor([0, *(parameter.numel() for parameter in self._parameters)]).cumsum(0).tolist()
        pairs = zip(self._parameters, starts, strict=False)
        return [
            flat[start:].as_strided(parameter.shape, parameter.stride(), flat.storage_offset() + start)
            for parameter, start in pairs
        ]


def _reserved(size: int, prefix: str) -> str | None:
    """A new file of ``size`` bytes in shared memory, filled so that no later write can fail; None without room."""
    import tempfile

    try:
        handle, name = tempfile.mkstemp(prefix=prefix, dir=SHARED)
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


def _exchanged(values: Tensor) -> list[Tensor] | None:
    """Every rank's ``values`` on the board; None where there is none, or no room."""
    ours = board()
    return ours.exchange(values) if ours else None


def _of_all_ranks(values: Tensor) -> list[Tensor]:
    """Every rank's ``values``; with a board to be read before the next exchange."""
    shared = _exchanged(values)
    if shared is None:
        shared = [torch.empty_like(values) for _ in range(dist.get_world_size())]
        dist.all_gather(shared, values.contiguous())
    return shared


def _sum(values: Tensor) -> Tensor:
    """The elementwise sum of all ranks' ``values``, in the order of the ranks where they share memory."""
    shared = _exchanged(values)
    if shared is not None:
        return torch.stack(shared).sum(0)
    summed = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(summed)
    return summed


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
        return _sum(gradients[0]).chunk(dist.get_world_size())[dist.get_rank()]


class _Total(torch.autograd.Function):
    """See :func:`sum_over_ranks`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Of any shape."""
        return _sum(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The same of the gradients."""
        return _sum(gradients[0])
