"""Tasks on Ray: on a local instance that this process starts, or on an existing cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from textwrap import shorten
from typing import Any

from pipeline.engine.worker import work
from pipeline.engine.worker_failures import EngineError, WorkerFailures, named

SOCKET_BYTES = 107  # the most that the path of a Unix socket may have
LONGEST_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
SHORT_FOLDER = "/tmp/ray"
WINDOW = 2  # tasks in flight for each worker: enough to keep it busy, few enough that a failure stops the run soon


def run(
    function: Callable[[Any], Any], tasks: Sequence[Any], workers: int, address: str | None, failures: WorkerFailures
) -> Generator[tuple[int, Callable[[], Any]], None, None]:
    """(index, a call that gives the result or raises the task's error) for each task, as they come."""
    ray = start(workers, address)
    try:
        remote: Any = ray.remote(num_cpus=1, max_retries=0)(work)  # the driver counts and reports deaths
        handle = ray.put(function)
        window = WINDOW * (workers if not address else _cluster_cores(ray, workers))
        waiting = deque(range(len(tasks)))
        running: dict[object, int] = {}
        while waiting or running:
            while waiting and len(running) < window:
                index = waiting.popleft()
                running[remote.remote(handle, tasks[index], index, failures.notes.path)] = index
            with _errors_of_sigterm():
                ready = ray.wait(list(running), num_returns=1)[0]
            for reference in ready:
                index = running.pop(reference)
                answer = _answer(ray, reference, named(tasks[index]))
                if isinstance(answer, str):
                    failure = failures.count(index, "a Ray worker", answer)
                    if failure is None:
                        waiting.appendleft(index)
                    else:
                        yield index, failure
                else:
                    yield index, answer
    finally:
        ray.shutdown()


def start(workers: int, address: str | None) -> Any:
    """Ray's module, connected to the cluster at ``address`` or to a local instance that this starts.

    A local instance listens on the loopback interface alone. Otherwise Ray replaces 127.0.0.1 by the machine's outer
    address and listens on every interface, unless RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER is 0 when Ray is imported. The
    handler of SIGTERM is restored, because Ray's waits for the node to drain.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves the machine
    if not address:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # otherwise Ray stores one in the home folder
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves its workers beside any other process
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's warning about zero GPUs asks for it
    import ray

    before = signal.getsignal(signal.SIGTERM)
    if address:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:  # after 20 s
            hint = "RAY_AUTH_MODE=token and its token must be here too if the cluster asks for one"
            raise EngineError(f"no Ray cluster answers at {address} ({hint})") from error
    else:
        ray.init(
            address="local",  # do not join a cluster that runs here
            num_cpus=workers,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=256 * 2**20,  # results are records, not images
            _node_ip_address="127.0.0.1",
            _temp_dir=_session_folder(),
        )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    return ray


@contextlib.contextmanager
def _errors_of_sigterm() -> Iterator[None]:
    """Let through the exception that the handler of SIGTERM raises.

    Ray waits in C++ and raises a plain KeyboardInterrupt in its place, so that SIGTERM would look like Ctrl-C.
    """
    handler, errors = signal.getsignal(signal.SIGTERM), list[BaseException]()
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            errors.append(error)
            raise

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    except KeyboardInterrupt:
        if errors:
            raise errors[0] from None
        raise
    finally:
        signal.signal(signal.SIGTERM, handler)


def _session_folder() -> str:
    """Ray's own choice (RAY_TMPDIR, TMPDIR, /tmp), or :data:`SHORT_FOLDER` where its sockets' paths would be too long.

    The path of a socket has at most 107 bytes. :class:`EngineError` if there is no such folder.
    """
    from ray._common.utils import get_default_ray_temp_dir

    folder = str(get_default_ray_temp_dir())  # type: ignore[no-untyped-call]
    if len(os.fsencode(folder + LONGEST_SOCKET)) <= SOCKET_BYTES:
        return folder
    if os.access(os.path.dirname(SHORT_FOLDER), os.W_OK):
        return SHORT_FOLDER
    hint = "set RAY_TMPDIR to a shorter path, or run.engine to processes"
    raise EngineError(f"run.engine: the path of ray's folder is too long for sockets: {folder} ({hint})")


def _cluster_cores(ray: Any, workers: int) -> int:
    return int(ray.cluster_resources().get("CPU", workers))


def _answer(ray: Any, reference: object, task: str) -> Callable[[], Any] | str:
    """A call that gives a task's result, or raises its error; text: how its worker died instead.

    A Python error of the task comes out as itself, with the worker's traceback as its cause.
    """
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RayError,
        RayTaskError,
        WorkerCrashedError,
    )

    try:
        return partial(_same, ray.get(reference))
    except RayTaskError as error:
        return partial(_raise, error.cause, error)
    except WorkerCrashedError:
        return "crashed or killed"  # Ray's message names log files that a local instance removes
    except (OutOfMemoryError, NodeDiedError, ObjectLostError) as error:
        return shorten(str(error), 200)
    except RayError as error:
        raise EngineError(f"Ray lost a task: {task} ({' '.join(str(error).split())})") from error


def _same(result: Any) -> Any:
    return result


def _raise(error: BaseException, cause: BaseException) -> Any:
    raise error from cause
