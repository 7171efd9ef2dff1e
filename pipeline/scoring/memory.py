"""Memory for one image at a time and process, so that a large picture is an error and does not get a process killed."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from pipeline import Refusal
from pipeline.devices import free_memory


class TooLittleMemory(Refusal, MemoryError):
    """Work that needs more memory than is free."""


@contextlib.contextmanager
def memory_for(need: int, lock: Path, workers: int) -> Iterator[None]:
    """Run the block with ``need`` bytes free, in one of ``workers`` processes that share the file ``lock``.

    Work that needs at most a worker's share of what is free runs beside others; larger work waits until it is alone.
    :class:`TooLittleMemory` where it needs more than is free even so, a container's limits included.
    """
    with open(lock, "rb") as file:
        fits_beside_others = need <= free_memory() // workers
        fcntl.flock(file, fcntl.LOCK_SH if fits_beside_others else fcntl.LOCK_EX)
        require_memory(need)
        yield


def require_memory(need: int) -> None:
    """:class:`TooLittleMemory` unless ``need`` bytes are free."""
    free = free_memory()
    if need > free:
        raise TooLittleMemory(f"needs about {need / 2**20:,.0f} MiB of memory, and {free / 2**20:,.0f} are free")
