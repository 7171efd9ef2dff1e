"""What becomes of a task whose worker died: tried again, told, and in the end an error that names the very place."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from textwrap import shorten

from pipeline import Refusal
from pipeline.engine.crumbs import Trail

RETRIES = 2  # of a task whose worker died; a Python error is never retried


class EngineError(Refusal, RuntimeError):
    """A worker died, or the engine is not known."""


class Deaths:
    """Counts the deaths on each task of a run; ``trail`` knows what the dead were at."""

    def __init__(self, tasks: Sequence[object], trail: Trail) -> None:
        self._tasks, self._trail, self._counts = tasks, trail, Counter[int]()

    def another(self, index: int, worker: str, how: str) -> None:
        """Task ``index`` lost its worker: a line on stderr while it may be tried again, then :class:`EngineError`."""
        self._counts[index] += 1
        count, place, task = self._counts[index], self._trail.last(index), named(self._tasks[index])
        self._trail.clear(index)
        if count > RETRIES:
            at = f"; the last time {place}" if place else ""
            raise EngineError(f"{worker} died {count} times on one task ({how}): {task}{at}")
        where = place or f"on {task}"
        print(f"{worker} died ({how}) {where}; trying again, {count} of {RETRIES}", file=sys.stderr, flush=True)


def named(task: object) -> str:
    """A task as its class puts it, in one line."""
    return shorten(str(task), 160)
