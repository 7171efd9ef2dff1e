"""Ranks: one process for each GPU or core of this machine, or one of a launcher's."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, spawn

from pipeline import Refusal


class RankRefused(Refusal, RuntimeError):
    """What a rank of ours refused, in its words."""


@contextlib.contextmanager
def joined(device: str, local_rank: int | None) -> Iterator[int]:
    """Be one rank of the group that a launcher such as torchrun has started, and yield its number; 0 and no group where
    ``local_rank``, this process's number on its machine, is None.

    torch reads the meeting place, the rank and the number of ranks from the launcher's variables; a :class:`Refusal`
    where one is missing.
    """
    if local_rank is None:
        yield 0
        return
    if device == "cuda":
        torch.cuda.set_device(local_rank)
    try:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    except ValueError as error:  # a variable that is missing or no number
        text = " ".join(str(error).split())
        raise Refusal(f"LOCAL_RANK is {local_rank}, as under torchrun, and no group can be joined ({text})") from None
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def launch(function: Callable[..., None], ranks: int, device: str, *arguments: Any) -> None:
    """Run ``function(*arguments)`` (top level, picklable) in ``ranks`` processes of one torch.distributed group on
    this machine.

    NCCL on GPUs, gloo on the CPU; they meet in a file, so no port is taken. A rank that fails stops the others, and its
    error is raised here: a :class:`RankRefused` where the user can mend it. No rank outlives this call.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        handed = (ranks, device, folder, function, arguments)
        group = spawn(_rank, handed, nprocs=ranks, join=False)  # type: ignore[no-untyped-call]
        try:
            while not group.join():
                pass
        except ProcessException:
            refusals = sorted(Path(folder).glob("refused-*"))
            if not refusals:
                raise
            raise RankRefused(refusals[0].read_text()) from None
        finally:
            for process in group.processes:  # those that are left after Ctrl-C, which may have reached this one alone
                process.kill()


def _rank(
    rank: int, ranks: int, device: str, folder: str, function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    if device == "cuda":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    try:
        function(*arguments)
    except Refusal as error:  # told before the group goes, of which the other ranks would say that a peer is lost
        (Path(folder) / f"refused-{rank}").write_text(str(error))
        raise
    finally:
        dist.destroy_process_group()
