"""Worker processes on this machine, each with one task at a time, so that a dead worker and its task can be named.

The standard library's pool breaks as a whole when a worker dies, does not say which one, and delays Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import partial
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from pipeline.engine.last_seen import LastSeen
from pipeline.engine.worker import die_with_parent, work
from pipeline.engine.worker_failures import WorkerFailures

PULSE = 1  # seconds between checks for dead workers, whose pipes their own children may hold open
PATIENCE = 30  # seconds that a worker without a task has to exit, before it is killed


def run(
    function: Callable[[Any], Any], tasks: Sequence[Any], workers: int, failures: WorkerFailures
) -> Generator[tuple[int, Callable[[], Any]], None, None]:
    """(index, a call that gives the result or raises the task's error) for each task, as they come.

    When this ends (all done, an error, Ctrl-C, closed), all workers have ended.
    """
    waiting, notes = deque(range(len(tasks))), failures.notes
    pool: list[_Worker] = []
    try:
        for _ in range(min(workers, len(tasks))):  # they start side by side
            pool.append(_Worker(notes))
        idle, busy = deque(pool), dict[Connection, _Worker]()
        while waiting or busy:
            while waiting and idle:
                worker, index = idle.popleft(), waiting.popleft()
                worker.give(function, index, tasks[index])
                busy[worker.pipe] = worker
            ready = connection.wait(list(busy), PULSE)
            for worker in [busy[pipe] for pipe in busy if pipe in ready or not busy[pipe].process.is_alive()]:
                del busy[worker.pipe]
                if (answer := worker.answer()) is not None:
                    idle.append(worker)
                    yield worker.index, answer
                    continue
                failure = failures.count(worker.index, "a worker process", worker.cause_of_death())
                pool.remove(worker)
                pool.append(_Worker(notes))
                idle.append(pool[-1])
                if failure is not None:
                    yield worker.index, failure
                else:
                    waiting.appendleft(worker.index)
        for worker in pool:
            worker.pipe.close()
        _wait(pool)
    finally:
        for worker in pool:
            worker.process.kill()  # what it was writing has a temporary name
        _wait(pool)


def _wait(pool: Sequence[_Worker]) -> None:
    """Wait until all have ended, at most :data:`PATIENCE` seconds. ``join`` would wait for their children too."""
    end = time.monotonic() + PATIENCE
    while any(worker.process.is_alive() for worker in pool) and time.monotonic() < end:
        time.sleep(0.01)


class _Worker:
    """A worker process, the driver's end of its pipe, and the index of its task."""

    def __init__(self, notes: LastSeen) -> None:
        context = get_context("spawn")  # a fork would copy held locks of torch's and numba's threads
        self.index = -1
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, notes.path, os.getpid()))
        resource_tracker.ensure_running()  # otherwise the first start does it, and unblocks the signal
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:  # workers inherit the mask: Ctrl-C reaches all processes, and only the driver handles it
            self.process.start()
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def give(self, function: Callable[[Any], Any], index: int, task: object) -> None:
        """Send a task. If the worker has died, reading its answer shows that."""
        self.index = index
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((function, index, task))

    def answer(self) -> Callable[[], Any] | None:
        """A call that gives the task's result or raises its error; None if the worker died instead."""
        try:
            return partial(_result, self.pipe.recv_bytes()) if self.pipe.poll() else None
        except (EOFError, OSError):  # it died while it sent its answer
            return None

    def cause_of_death(self) -> str:
        """The exit code or the signal with which the worker ended."""
        _wait([self])
        self.process.kill()  # it closed its pipe and did not exit
        _wait([self])
        code = self.process.exitcode or 0
        with contextlib.suppress(ValueError):  # a signal without a name
            return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"


class WorkerTraceback(Exception):
    """The traceback of an error that a worker raised, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _result(data: bytes) -> Any:
    right, value, text = ForkingPickler.loads(data)
    if right:
        return value
    raise value from WorkerTraceback(text)


def _serve(pipe: Connection, notes: str, driver: int) -> None:
    """The loop of a worker: receive a task, send an answer, until the driver closes the pipe."""
    die_with_parent(driver)
    os.register_at_fork(after_in_child=pipe.close)  # or a child that outlives this worker would keep the pipe open
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        while True:
            data, text = pipe.recv_bytes(), ""
            try:
                function, index, task = ForkingPickler.loads(data)
                right, value = True, work(function, task, index, notes)
            except BaseException as error:
                right, value, text = False, error, traceback.format_exc()
            pipe.send_bytes(_packed(right, value, text))


def _packed(right: bool, value: Any, text: str) -> Any:
    """An answer as bytes. Errors and results that cannot be pickled are sent as a RuntimeError with their text."""
    try:
        data = ForkingPickler.dumps((right, value, text))
        if not right:
            ForkingPickler.loads(data)  # fails if its __init__ takes other arguments than the error keeps
        return data
    except Exception as problem:
        cause = problem if right else value
        message = "".join(traceback.format_exception_only(cause)).strip()  # with its notes
        return ForkingPickler.dumps((False, RuntimeError(message), text))
