"""Functions that the engine's tests run in workers: top level, so that every engine can pickle them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from pipeline.engine import Engine, last_seen


def square(number: int) -> int:
    """``number`` squared, the later tasks first."""
    time.sleep(0.02 if number % 5 == 0 else 0)
    return number * number


def square_and_niceness(number: int) -> tuple[int, int]:
    """The square, and the priority of the worker's process."""
    return number * number, os.nice(0)


class Unlucky(ValueError):
    """An error of the tests' own, so that nothing else can be mistaken for it."""


def fail_on_three(number: int) -> int:
    """``number``, but for 3: an error with a note."""
    if number == 3:
        error = Unlucky("three")
        error.add_note("while testing")
        raise error
    return number


def record_and_fail(task: tuple[int, str]) -> int:
    """Leave a file for each attempt, and fail on task 0, for which the others wait."""
    number, folder = task
    Path(folder, f"{number}-{time.monotonic_ns()}").touch()
    if number == 0:
        raise Unlucky("at once")
    while not any(Path(folder).glob("0-*")):  # its worker may start late
        time.sleep(0.05)
    time.sleep(0.2)
    return number


def die_once(task: tuple[int, str]) -> int:
    """Task 2 kills its worker, the first time."""
    number, flag = task
    if number == 2 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * 10


def die_always(number: int) -> int:
    """Task 1 kills its worker each time."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leave(number: int) -> int:
    """Task 1 asks to exit as after a success."""
    if number == 1:
        sys.exit(0)
    return number


def deadly_bank(*_: object) -> None:
    """As a codec that crashes: the process is gone."""
    os.kill(os.getpid(), signal.SIGKILL)


def threads(_: int) -> dict[str, int]:
    """How many threads each library of this process takes, by its name."""
    import cv2
    import numba
    from threadpoolctl import threadpool_info

    pools = {str(pool["filepath"]): int(pool["num_threads"]) for pool in threadpool_info()}
    return {**pools, "cv2": cv2.getNumThreads(), "numba": numba.get_num_threads()}


def tick(path: str) -> None:
    """Append a byte to a file every 20 ms, for a minute."""
    for _ in range(3000):
        with open(path, "ab") as file:
            file.write(b".")
        time.sleep(0.02)


def say_and_die(task: tuple[int, str]) -> int:
    """Task 1 kills its worker each time, and says so the first time alone."""
    number, flag = task
    if number == 1:
        if not Path(flag).exists():
            Path(flag).touch()
            last_seen.note("while dying for the first time")
        os.kill(os.getpid(), signal.SIGKILL)
    return number


class Stubborn(ValueError):
    """An error that cannot be put together again from what it keeps."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")
        self.add_note("while being stubborn")


class Speechless(ValueError):
    """An error whose text is an error."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def leave_a_child(number: int) -> int:
    """The pid of a child that outlives its worker."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    return child


def blocks_ctrl_c(number: int) -> bool:
    """Whether SIGINT does not reach this process."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def leave_an_odd_note(number: int) -> int:
    """Say that it is at a file whose name is not UTF-8."""
    last_seen.note("while reading \udcff.png")
    return number


def cannot_be_sent(number: int) -> object:
    """Task 1 raises what can be packed and not unpacked, task 2 what cannot be packed, task 3 returns such a thing,
    task 4 raises what cannot even be told.
    """
    if number == 4:
        raise Speechless(threading.Lock())
    if number == 1:
        raise Stubborn("this", "that")
    if number == 2:
        raise Unlucky("with a lock", threading.Lock())
    return threading.Lock() if number == 3 else number


def exit_hard(number: int) -> int:
    """Task 1 ends its process without a word, as a C library may."""
    if number == 1:
        os._exit(3)
    return number


def die_and_leave_a_child(task: tuple[int, str]) -> int:
    """Task 1 kills its worker the first time, and a process that it has forked lives on with the worker's pipe."""
    number, flag = task
    if number == 1 and not Path(flag).exists():
        child = os.fork()
        if not child:
            time.sleep(3600)
        Path(flag).write_text(str(child))
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def stand_still(folder: str) -> None:
    """Leave a file named after this process, and do nothing for an hour."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(3600)


def main(engine: str, folder: str, locks: str = "") -> None:
    """Four tasks that tick on two workers: to be killed."""
    Engine(engine, 2, last_seen=Path(locks) if locks else None).map(
        tick, [f"{folder}/{number}" for number in range(4)], describe="tick"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
