"""Run one function over many tasks: in this process, in a pool of processes, or on Ray.

The results never depend on which. A task is seconds of work (a block of sources, a shard); its result is small (the
work itself goes to disk by the commit protocol).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import Refusal

if TYPE_CHECKING:
    from concurrent.futures import Future

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("serial", "processes", "ray")
WINDOW = 2  # tasks in flight for each worker: enough to hide the driver's turn, and a failure stops the rest soon
RETRIES = 2  # of a task whose worker died; a Python error is never retried


class EngineError(Refusal, RuntimeError):
    """A worker died, or the engine is not known."""


@dataclass(frozen=True)
class Engine:
    """Where tasks run. ``serial`` ignores ``workers``; ``address`` is a Ray cluster's, None starts a local one."""

    name: str = "serial"
    workers: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise EngineError(f"engine: {self.name!r} is not one of {', '.join(ENGINES)}")
        if self.workers < 1:
            raise EngineError(f"workers: {self.workers} is not >= 1")

    def map(self, function: Callable[[Task], Result], tasks: Sequence[Task], *, describe: str) -> list[Result]:
        """The results of ``function`` (top level, picklable) over ``tasks``, in their order, with a progress bar.

        The first error stops the run and is raised as it is. A task whose worker dies is tried again, ``RETRIES``
        times; then it is an :class:`EngineError` that names the task by its ``str``. A single task runs in this
        process: a pool would only cost its start.
        """
        results: dict[int, Result] = {}
        pairs: Iterator[tuple[int, Result]]
        if self.name == "serial" or len(tasks) <= 1:
            pairs = ((index, _finished(partial(function, task), tasks, index)) for index, task in enumerate(tasks))
        elif self.name == "processes":
            pairs = _processes(function, tasks, self.workers)
        else:
            pairs = _ray(function, tasks, self.workers, self.address)
        for index, result in progress(pairs, total=len(tasks), describe=describe):
            results[index] = result
        return [results[index] for index in range(len(tasks))]


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


def _processes(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[tuple[int, Result]]:
    """A pool that loses a worker is lost as a whole: another one does what is left, first what was running."""
    from concurrent.futures.process import BrokenProcessPool

    waiting, deaths = deque(range(len(tasks))), Counter[int]()
    while waiting:
        running: dict[Future[Result], int] = {}
        try:
            yield from _pool(function, tasks, waiting, running, workers)
        except BrokenProcessPool as error:
            lost = sorted(running.values())
            deaths.update(lost)
            if max(deaths.values(), default=0) > RETRIES:
                text = f"a worker process died {RETRIES + 1} times while these were running: {_named(tasks, lost)}"
                raise EngineError(text) from error
            waiting.extendleft(reversed(lost))


def _pool(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    waiting: deque[int],
    running: dict[Future[Result], int],
    workers: int,
) -> Iterator[tuple[int, Result]]:
    """Do what is ``waiting``; ``running`` says what a pool that breaks was at."""
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from multiprocessing import get_context

    # spawn: a fork would copy the locks of torch's and numba's threads in whatever state they are
    with ProcessPoolExecutor(
        min(workers, len(tasks)), get_context("spawn"), initializer=_die_with_parent, initargs=(os.getpid(),)
    ) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < WINDOW * workers:
                    index = waiting.popleft()
                    try:
                        running[pool.submit(_one_thread, function, tasks[index])] = index
                    except BaseException:  # the pool broke meanwhile
                        waiting.appendleft(index)
                        raise
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = _finished(
                        future.result, tasks, running[future]
                    )  # before the pop: a task whose worker died is still among the running
                    yield running.pop(future), result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _ray(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, address: str | None
) -> Iterator[tuple[int, Result]]:
    ray = _start_ray(workers, address)
    try:
        remote: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_one_thread)
        handle = ray.put(function)
        window = WINDOW * (workers if not address else _cluster_cores(ray, workers))
        waiting = iter(enumerate(tasks))
        running: dict[object, int] = {}
        while True:
            while len(running) < window and (entry := next(waiting, None)) is not None:
                running[remote.remote(handle, entry[1])] = entry[0]
            if not running:
                return
            for reference in ray.wait(list(running), num_returns=1)[0]:
                index = running.pop(reference)
                yield index, _ray_result(ray, reference, _named(tasks, [index]))
    finally:
        ray.shutdown()


def _start_ray(workers: int, address: str | None) -> Any:
    """Ray's module, connected to the cluster at ``address`` or to one of its own on this machine.

    One of its own listens on the loopback interface alone. Ray turns the address 127.0.0.1 into the machine's outer one
    and then listens on every interface, unless this variable says that there is no cluster; it is read when Ray is
    imported.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves the machine
    if not address:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # asked for by Ray's own warning about zero GPUs
    import ray

    if address:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:  # after 20 s
            hint = "RAY_AUTH_MODE=token and its token must be here too if the cluster asks for one"
            raise EngineError(f"no Ray cluster answers at {address} ({hint})") from error
    else:
        ray.init(
            address="local",  # never join a cluster that happens to run here
            num_cpus=workers,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=256 * 2**20,  # results are records, not images
            _node_ip_address="127.0.0.1",
        )
    return ray


def _cluster_cores(ray: Any, workers: int) -> int:
    return int(ray.cluster_resources().get("CPU", workers))


def _ray_result(ray: Any, reference: object, task: str) -> Any:
    """A task's result; a Python error of the task comes out as itself, with the worker's traceback as its cause."""
    from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error
    except WorkerCrashedError as error:
        raise EngineError(f"a Ray worker died {RETRIES + 1} times on one task: {task}") from error
    except RayError as error:  # out of memory, a lost node
        raise EngineError(f"Ray lost a task: {task} ({' '.join(str(error).split())})") from error


def _die_with_parent(parent: int) -> None:
    """Ask Linux to kill this worker when its driver dies: an orphan would go on writing into a folder no one locks."""
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 = PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


def _one_thread(function: Callable[[Task], Result], task: Task) -> Result:
    """``function(task)`` in a worker: one thread each, since the tasks already fill the cores."""
    _pin_threads()
    return function(task)


@cache
def _pin_threads() -> None:
    import cv2
    from threadpoolctl import threadpool_limits

    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):  # what this worker loads from here on
        os.environ[f"{library}_NUM_THREADS"] = "1"
    threadpool_limits(1)  # what it has loaded
    cv2.setNumThreads(1)


def _finished(call: Callable[[], Result], tasks: Sequence[Task], index: int) -> Result:
    """``call()``; a task that asks to exit is an error: ``sys.exit(0)`` would end the stage as if all were done."""
    try:
        return call()
    except SystemExit as error:
        raise EngineError(f"a task asked to exit ({error.code}): {_named(tasks, [index])}") from error


def _named(tasks: Sequence[object], indices: Sequence[int]) -> str:
    """Tasks as their class puts them, in one line."""
    return "; ".join(shorten(str(tasks[index]), 160) for index in indices)
