"""Worker processes of this machine, a task at a time each: which of them died, of what and at which task is known.

The standard library's pool is lost as a whole with any worker, does not say which, and is waited for on Ctrl-C.
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

PULSE = 1  # seconds between looks at who lives: a child of a worker's may hold its pipe open after its death
PATIENCE = 30  # seconds for a worker that has nothing left to do to be gone, before it is killed


def run(
    function: Callable[[Any], Any], tasks: Sequence[Any], workers: int, failures: WorkerFailures
) -> Generator[tuple[int, Callable[[], Any]], None, None]:
    """(index, a call that gives the result or raises the task's error) for each task, as they come.

    However this ends (all done, an error, Ctrl-C, closed): its workers have ended then.
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
                failure = failures.count(worker.index, "a worker process", worker.fate())
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
    """Until all have ended, or :data:`PATIENCE` is over. ``join`` would wait for the children of theirs as well."""
    end = time.monotonic() + PATIENCE
    while any(worker.process.is_alive() for worker in pool) and time.monotonic() < end:
        time.sleep(0.01)


class _Worker:
    """A process, the driver's end of its pipe, and the task that it is at."""

    def __init__(self, notes: LastSeen) -> None:
        context = get_context("spawn")  # a fork would copy the locks of torch's and numba's threads as they are
        self.index = -1
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, notes.path, os.getpid()))
        resource_tracker.ensure_running()  # the first start would do it, and unblock the signal after it
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:  # the mask is inherited: Ctrl-C reaches every process of the terminal, and the driver alone answers it
            self.process.start()
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def give(self, function: Callable[[Any], Any], index: int, task: object) -> None:
        """Send a task; that the worker has died meanwhile is seen when its answer is read."""
        self.index = index
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((function, index, task))

    def answer(self) -> Callable[[], Any] | None:
        """A call that gives the task's result or raises its error; None if the worker died instead."""
        try:
            return partial(_result, self.pipe.recv_bytes()) if self.pipe.poll() else None
        except (EOFError, OSError):  # it may have died in the middle of its answer
            return None

    def fate(self) -> str:
        """How the worker ended."""
        _wait([self])
        self.process.kill()  # its pipe is closed and it is still there
        _wait([self])
        code = self.process.exitcode or 0
        with contextlib.suppress(ValueError):  # a signal without a name
            return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"


class WorkerTraceback(Exception):
    """Where in a worker an error was raised, in the words of its traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _result(data: bytes) -> Any:
    right, value, text = ForkingPickler.loads(data)
    if right:
        return value
    raise value from WorkerTraceback(text)


def _serve(pipe: Connection, notes: str, driver: int) -> None:
    """A worker's life: a task in, an answer out, until the driver closes the pipe."""
    die_with_parent(driver)
    os.register_at_fork(after_in_child=pipe.close)  # a child that outlives its worker would keep the driver waiting
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
    """An answer as bytes that the driver can read: there are errors, and results, that cannot be sent as they are."""
    try:
        data = ForkingPickler.dumps((right, value, text))
        if not right:
            ForkingPickler.loads(data)  # an __init__ with other arguments than its error keeps
        return data
    except Exception as problem:
        cause = problem if right else value
        words = "".join(traceback.format_exception_only(cause)).strip()  # its notes too, and whatever its __str__ does
        return ForkingPickler.dumps((False, RuntimeError(words), text))
