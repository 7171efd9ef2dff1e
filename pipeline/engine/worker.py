"""A worker's side of a task, for processes and for Ray."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from pipeline.engine import last_seen

Task = TypeVar("Task")
Result = TypeVar("Result")


def work(function: Callable[[Task], Result], task: Task, index: int, notes: str) -> Result:
    """``function(task)`` with one thread, because the tasks already fill the cores.

    ``notes`` is the file for :func:`last_seen.note`.
    """
    _pin_threads()
    with last_seen.recording(notes, index):
        return function(task)


@cache
def _pin_threads() -> None:
    import cv2
    from threadpoolctl import threadpool_limits

    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):  # for libraries that this worker loads later
        os.environ[f"{library}_NUM_THREADS"] = "1"
    threadpool_limits(1)  # for those that it has loaded
    cv2.setNumThreads(1)


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this worker when its driver dies: an orphan would write into a folder that is not locked."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 = PR_SET_PDEATHSIG
        if os.getppid() != parent:  # the driver died before the line above
            os._exit(1)
