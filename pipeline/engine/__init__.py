"""Run one function over many tasks: in this process, in a pool of processes, or on Ray.

The results never depend on which. A task is seconds of work (a block of sources, a shard); its result is small (the
work itself goes to disk by the commit protocol).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.engine.crumbs import Trail, trail
from pipeline.engine.deaths import RETRIES, EngineError, named

__all__ = ("ENGINES", "RETRIES", "Engine", "EngineError", "progress")
Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("serial", "processes", "ray")


@dataclass(frozen=True)
class Engine:
    """Where tasks run. ``serial`` ignores ``workers``; ``address`` is a Ray cluster's, None starts a local one.

    In ``crumbs``, a folder, workers say what they are at while a run lasts; without it a death names the task alone.
    """

    name: str = "serial"
    workers: int = 1
    address: str | None = None
    crumbs: Path | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise EngineError(f"engine: {self.name!r} is not one of {', '.join(ENGINES)}")
        if self.workers < 1:
            raise EngineError(f"workers: {self.workers} is not >= 1")

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task], *, describe: str) -> list[Result]:
        """The results of ``function`` (top level, picklable) over ``tasks``, in their order, with a progress bar.

        The first error stops the run and is raised as it is. A task whose worker dies is tried again, ``RETRIES``
        times; then it is an :class:`EngineError` that names the task by its ``str``, and what it said last of itself
        (:func:`crumbs.leave`). Ctrl-C ends the workers at once. A single task runs in this process: a pool would only
        cost its start.
        """
        results: dict[int, Result] = {}
        apart = self.name != "serial" and len(tasks) > 1
        with trail(self.crumbs if apart else None) as left:
            calls = self._apart(function, tasks, left) if apart else _here(function, tasks)
            with contextlib.closing(calls):  # an error's traceback would keep the workers
                for index, call in progress(calls, total=len(tasks), describe=describe):
                    results[index] = _finished(call, tasks[index])
        return [results[index] for index in range(len(tasks))]

    def _apart(self, function: Callable[[Task], Result], tasks: Sequence[Task], left: Trail) -> _Calls:
        if self.name == "processes":
            from pipeline.engine import pool

            return pool.run(function, tasks, self.workers, left)
        from pipeline.engine import cluster

        return cluster.run(function, tasks, self.workers, self.address, left)


_Calls = Generator[tuple[int, Callable[[], Any]], None, None]


def _here(function: Callable[[Task], Result], tasks: Sequence[Task]) -> _Calls:
    for index, task in enumerate(tasks):
        yield index, partial(function, task)


def progress(items: Iterable[Result], *, total: int, describe: str) -> Iterator[Result]:
    """Pass ``items`` through, showing how far it is: a bar on a terminal, else a plain line about every ten seconds."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=describe, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= 10 or (count == total and now - start >= 5):
            last = now
            print(f"{describe}: {count}/{total}, {now - start:.0f} s", file=sys.stderr, flush=True)


def _finished(call: Callable[[], Result], task: object) -> Result:
    """``call()``; a task that asks to exit is an error: ``sys.exit(0)`` would end the stage as if all were done."""
    try:
        return call()
    except SystemExit as error:
        raise EngineError(f"a task asked to exit ({error.code}): {named(task)}") from error
