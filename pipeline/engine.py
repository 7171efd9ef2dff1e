"""Run one function over many tasks: in this process, in a pool of processes, or on Ray.

The results never depend on which. A task is seconds of work (a block of sources, a shard); its result is small (the
work itself goes to disk by the commit protocol).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline import Refusal

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("serial", "processes", "ray")
WINDOW = 2  # tasks in flight for each worker: enough to hide the driver's turn, and a failure stops the rest soon
RETRIES = 2  # of a task whose worker died on Ray; a Python error is never retried


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

        The first error stops the run and is raised as it is; a worker that dies is :class:`EngineError`. A single task
        runs in this process: a pool would only cost its start.
        """
        results: dict[int, Result] = {}
        pairs: Iterator[tuple[int, Result]]
        if self.name == "serial" or len(tasks) <= 1:
            pairs = ((index, function(task)) for index, task in enumerate(tasks))
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


def _processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[int, Result]]:
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # spawn: a fork would copy the locks of torch's and numba's threads in whatever state they are
    with ProcessPoolExecutor(
        min(workers, len(tasks)), get_context("spawn"), initializer=_die_with_parent, initargs=(os.getpid(),)
    ) as pool:
        waiting = iter(enumerate(tasks))
        running: dict[Future[Result], int] = {}
        try:
            while True:
                while len(running) < WINDOW * workers and (entry := next(waiting, None)) is not None:
                    running[pool.submit(_one_thread, function, entry[1])] = entry[0]
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()  # before the pop: the message below names every task that was running
                    yield running.pop(future), result
        except BrokenProcessPool as error:
            raise EngineError(f"a worker process died while tasks {sorted(running.values())} were running") from error
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
                yield running.pop(reference), _ray_result(ray, reference)
    finally:
        ray.shutdown()


def _start_ray(workers: int, address: str | None) -> Any:
    """Ray's module, connected to the cluster at ``address`` or to one of its own on this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves the machine
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


def _ray_result(ray: Any, reference: object) -> Any:
    """A task's result; a Python error of the task comes out as itself, with the worker's traceback as its cause."""
    from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error
    except WorkerCrashedError as error:
        raise EngineError(f"a Ray worker died {RETRIES + 1} times on one task: {error}") from error
    except RayError as error:  # out of memory, a lost node
        raise EngineError(f"Ray lost a task: {error}") from error


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
    import cv2

    cv2.setNumThreads(1)
    return function(task)
