"""Where tasks run. The results never depend on it.

A task is seconds of work (a block of sources, a shard). Its result is small: the work itself goes to disk by the commit
protocol.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.engine import last_seen
from pipeline.engine.last_seen import LastSeen
from pipeline.engine.progress_bar import progress
from pipeline.engine.worker_failures import RETRIES, EngineError, WorkerFailures, named

Task = TypeVar("Task")
Result = TypeVar("Result")
Calls = Generator[tuple[int, Callable[[], Result]], None, None]

ENGINES = ("serial", "processes", "ray")


@dataclass(frozen=True)
class Engine:
    """``name`` is one of :data:`ENGINES`; ``serial`` ignores ``workers``.

    ``address`` is a Ray cluster's; None starts a local one. ``last_seen`` is a folder in which workers record their
    current item during a run, so that a killed worker can be reported; without it only the task is known. ``retries``:
    how often a task whose worker died is tried again.
    """

    name: str = "serial"
    workers: int = 1
    address: str | None = None
    last_seen: Path | None = None
    retries: int = RETRIES

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise EngineError(f"engine: {self.name!r} is not one of {', '.join(ENGINES)}")
        if self.workers < 1:
            raise EngineError(f"workers: {self.workers} is not >= 1")

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task], *, describe: str) -> list[Result]:
        """The results of ``function`` (top level, picklable) over ``tasks``, in their order, with a progress bar.

        The first error stops the run and is raised as it is. A task whose worker dies is tried again ``retries`` times.
        After that :class:`WorkerDied` names the task by its ``str``, and the last item that its worker recorded
        (:func:`pipeline.engine.last_seen.note`). Ctrl-C ends the workers at once. A single task runs in this process,
        because starting a pool takes longer than it saves.
        """
        results: dict[int, Result] = {}
        with contextlib.closing(self.completed(function, tasks)) as calls:  # an error's traceback would keep workers
            for index, call in progress(calls, total=len(tasks), describe=describe):
                results[index] = call()
        return [results[index] for index in range(len(tasks))]

    def completed(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], *, isolated: bool = False
    ) -> Calls[Result]:
        """(index, a call that returns the task's result or raises its error) for each task, as they end.

        For callers that go on after an error; otherwise as :meth:`map`. ``isolated``: a single task runs in a worker
        too. Closing the generator ends the workers.
        """
        in_workers = self.name != "serial" and len(tasks) > (0 if isolated else 1)
        with last_seen.opened(self.last_seen if in_workers else None) as notes:
            calls = self._in_workers(function, tasks, notes) if in_workers else _in_this_process(function, tasks)
            with contextlib.closing(calls):
                for index, call in calls:
                    yield index, partial(_result, call, tasks[index])

    def _in_workers(self, function: Callable[[Task], Any], tasks: Sequence[Task], notes: LastSeen) -> Calls[Any]:
        failures = WorkerFailures(tasks, notes, self.retries)
        if self.name == "processes":
            from pipeline.engine import pool

            return pool.run(function, tasks, self.workers, failures)
        from pipeline.engine import cluster

        return cluster.run(function, tasks, self.workers, self.address, failures)


def _in_this_process(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Calls[Result]:
    for index, task in enumerate(tasks):
        yield index, partial(function, task)


def _result(call: Callable[[], Result], task: object) -> Result:
    """``call()``. A task that calls ``sys.exit`` is an error: exit code 0 would end the stage as if all were done."""
    try:
        return call()
    except SystemExit as error:
        raise EngineError(f"a task asked to exit ({error.code}): {named(task)}") from error
