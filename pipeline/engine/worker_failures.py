"""A task whose worker died is tried again, with a line on stderr; in the end the error names the item it was at."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from textwrap import shorten

from pipeline import Refusal
from pipeline.engine.last_seen import LastSeen

RETRIES = 2  # of a task whose worker died; a Python error is never retried


class EngineError(Refusal, RuntimeError):
    """A worker died, or the engine cannot be started; the message names the task or the key."""


class WorkerFailures:
    """Counts the workers that died on each task of a run; ``notes`` has their last items."""

    def __init__(self, tasks: Sequence[object], notes: LastSeen) -> None:
        self._tasks, self._notes, self._counts = tasks, notes, Counter[int]()

    def count(self, index: int, worker: str, how: str) -> None:
        """Task ``index`` lost its worker: a line on stderr while it may be tried again, then :class:`EngineError`."""
        self._counts[index] += 1
        count, item, task = self._counts[index], self._notes.of(index), named(self._tasks[index])
        self._notes.clear(index)
        if count > RETRIES:
            last = f"; the last time {item}" if item else ""
            raise EngineError(f"{worker} died {count} times on one task ({how}): {task}{last}")
        where = item or f"on {task}"
        print(f"{worker} died ({how}) {where}; trying again, {count} of {RETRIES}", file=sys.stderr, flush=True)


def named(task: object) -> str:
    """``str(task)`` in one line of at most 160 characters."""
    return shorten(str(task), 160)
