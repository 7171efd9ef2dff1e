"""A task whose worker died is tried again, with a line on stderr; the final error names the item being made."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from textwrap import shorten
from typing import NoReturn

from pipeline import Refusal
from pipeline.engine.last_seen import LastSeen

RETRIES = 2  # for a task whose worker died; a Python error is never retried


class EngineError(Refusal, RuntimeError):
    """A worker died, or the engine cannot be started; the message names the task or the key."""


class WorkerDied(EngineError):
    """The workers of a task died, as often as the engine allows. ``how``: the cause of the last death."""

    def __init__(self, message: str, how: str) -> None:
        super().__init__(message)
        self.how = how


class WorkerFailures:
    """Counts the workers that died on each task of a run; ``notes`` has their last items."""

    def __init__(self, tasks: Sequence[object], notes: LastSeen, retries: int = RETRIES) -> None:
        self.notes, self._tasks, self._retries, self._counts = notes, tasks, retries, Counter[int]()

    def count(self, index: int, worker: str, how: str) -> Callable[[], NoReturn] | None:
        """Task ``index`` lost its worker: a line on stderr and None while it may be tried again; then a call that
        raises :class:`WorkerDied`.
        """
        self._counts[index] += 1
        count, item, task = self._counts[index], self.notes.of(index), named(self._tasks[index])
        self.notes.clear(index)
        if count > self._retries:
            last, times = f"; the last time {item}" if item else "", "once" if count == 1 else f"{count} times"
            return partial(_raise, WorkerDied(f"{worker} died {times} on one task ({how}): {task}{last}", how))
        where = item or f"on {task}"
        print(f"{worker} died ({how}) {where}; trying again, {count} of {self._retries}", file=sys.stderr, flush=True)
        return None


def _raise(error: Exception) -> NoReturn:
    raise error


def named(task: object) -> str:
    """``str(task)`` in one line of at most 160 characters."""
    return shorten(str(task), 160)
