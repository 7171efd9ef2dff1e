"""Ranks: one process for each GPU or core of this machine, or one of a launcher's."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException, spawn

from pipeline import Refusal
from pipeline.training.collectives import SHARED, Meeting, share_memory

FEWEST = 16  # images of a step for each rank: ours, for efficiency; the result does not depend on the ranks
PATIENCE = timedelta(days=1)  # for another rank: a probe takes minutes. One that dies is noticed at once
_LINE = 80  # bytes of what a rank does
_records: list[int] = []  # the open file where this rank says what it does


class RankRefused(Refusal, RuntimeError):
    """What a rank of ours refused, in its words."""


class RankDied(Refusal, RuntimeError):
    """A rank was ended from outside; the message names the signal and what the rank did."""


def record(what: str) -> None:
    """Remember what this rank does, for the message if it dies."""
    for file in _records:  # overwritten in place: a file that is truncated each step makes ext4 write to the disk
        os.pwrite(file, what.encode().ljust(_LINE)[:_LINE], 0)


def ranks_for(batch: int | Sequence[int], most: int) -> int:
    """How many ranks of one CPU core share ``batch`` images, or several kinds of images in a step, each its own batch:
    as many as divide each, up to ``most``, and leave each rank at least :data:`FEWEST` of each.
    """
    batches = (batch,) if isinstance(batch, int) else batch
    fits = (n for n in range(2, most + 1) if all(size % n == 0 and size // n >= FEWEST for size in batches))
    return max(fits, default=1)


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
        dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
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
    error is raised here: a :class:`RankRefused` where the user can mend it, a :class:`RankDied` where it was killed.
    No rank outlives this call.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        handed = (ranks, device, folder, Meeting(ranks), function, arguments)
        group = spawn(_rank, handed, nprocs=ranks, join=False)  # type: ignore[no-untyped-call]
        try:
            while not group.join():
                pass
        except ProcessException as error:
            refusals = sorted(Path(folder).glob("refused-*"))
            if refusals:
                raise RankRefused(refusals[0].read_text()) from None
            dead = _ended_from_outside(group.processes, error)
            if dead is None:
                raise
            rank, end = dead
            doing = Path(folder) / f"doing-{rank}"
            what = (doing.read_text().strip() if doing.exists() else "") or "its start"
            raise RankDied(
                f"rank {rank} of {ranks} was {end} in {what}; the others were stopped. "
                "A rerun goes on from the last checkpoint"
            ) from None
        finally:
            for process in group.processes:  # those that are left after Ctrl-C, which may have reached this one alone
                process.kill()
            for left in SHARED.glob(f"{Path(folder).name}-*"):  # of a rank that ended before it could remove it
                left.unlink(missing_ok=True)


def _ended_from_outside(processes: Sequence[Any], error: ProcessException) -> tuple[int, str] | None:
    """Which rank a signal ended, and how; None where a rank failed by itself. The others lose a peer and are stopped by
    SIGTERM, so any other signal comes first.
    """
    codes = {number: process.exitcode or 0 for number, process in enumerate(processes)}
    signals = [number for number, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    if not signals and isinstance(error, ProcessExitedException):
        signals = [error.error_index]
    if not signals:
        return None
    code = codes[signals[0]]
    number = -code if code < 0 else code - 128
    if number not in set(signal.Signals):
        return signals[0], f"ended (exit code {code})"
    return signals[0], f"{'killed' if number == signal.SIGKILL else 'stopped'} ({signal.Signals(number).name})"


def _rank(
    rank: int,
    ranks: int,
    device: str,
    folder: str,
    meeting: Meeting,
    function: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    if device == "cuda":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    _records.append(os.open(Path(folder) / f"doing-{rank}", os.O_WRONLY | os.O_CREAT))
    backend, file = "nccl" if device == "cuda" else "gloo", f"file://{folder}/meeting"
    dist.init_process_group(backend, init_method=file, rank=rank, world_size=ranks, timeout=PATIENCE)
    if device == "cpu":
        share_memory(meeting, f"{Path(folder).name}-")
    try:
        function(*arguments)
    except (Refusal, OSError) as error:  # told before the group goes: the others would say that a peer is lost
        (Path(folder) / f"refused-{rank}").write_text(str(error))
        raise
    except SystemExit as end:  # torch would take code 0 for a rank that is done
        raise RuntimeError(f"rank {rank} of {ranks} asked to exit ({end.code})") from end
    except KeyboardInterrupt:  # torch would take it for a rank that is done, and the others would wait for it
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        dist.destroy_process_group()
