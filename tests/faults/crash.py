"""A build with a trap in it: when block 1 comes to a named point, the worker or the driver is killed, once.

``python -m tests.faults.crash FOLDER ENGINE ADDRESS POINT VICTIM`` distorts ``FOLDER/sources``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.engine import Engine
from pipeline.shards import writer
from pipeline.shards.distorted_shards import DistortTask, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from tests.shards import stand_in

IN_A_TASK = ("before the write", "in the middle", "after the table's rename", "before the rename", "after the rename")
IN_THE_MANIFEST = "in the middle of the manifest"
MANIFEST_RENAME = "before the manifest's rename"


@dataclass(frozen=True)
class Trap:
    """A task, and what is to happen in it."""

    task: DistortTask
    point: str
    flag: Path  # written when the trap fires, with the pid of the worker: it fires once
    victim: int | None  # the driver's pid, or None for the worker itself


def build(trap: Trap) -> list[artifacts.ShardMeta]:
    """``build_distorted`` with the trap set, if it is block 1's turn and the trap has not fired."""
    if trap.task.block.index == 1 and not trap.flag.exists():
        set_trap(trap.point, lambda: fire(trap.flag, trap.victim))
    return build_distorted(trap.task)


def fire(flag: Path, victim: int | None) -> None:
    """Kill, and if it was another process: go no further."""
    flag.write_text(str(os.getpid()))
    os.kill(victim or os.getpid(), signal.SIGKILL)
    time.sleep(600)


def set_trap(point: str, act: Callable[[], None]) -> None:
    """Make this process call ``act`` when it comes to ``point``."""
    replace, add, write_bytes, count = os.replace, writer._add, Path.write_bytes, [0]

    def replacing(source: Any, target: Any) -> None:
        name = Path(target).name
        if (point == "before the rename" and name.endswith(".tar")) or (
            point == MANIFEST_RENAME and name == artifacts.MANIFEST
        ):
            act()
        replace(source, target)
        if (point == "after the rename" and name.endswith(".tar")) or (
            point == "after the table's rename" and name.endswith(".parquet")
        ):
            act()

    def adding(*arguments: Any) -> int:
        count[0] += 1
        if (point, count[0]) in (("before the write", 1), ("in the middle", 100)):
            arguments[0]._file.flush()
            act()
        return add(*arguments)

    def writing(path: Path, data: bytes) -> int:
        if point == IN_THE_MANIFEST and path.name.startswith("manifest.json"):
            write_bytes(path, data[: len(data) // 2])
            act()
        return write_bytes(path, data)

    os.replace, writer._add, Path.write_bytes = replacing, adding, writing  # type: ignore[assignment, method-assign]


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Up to five minutes, so that a loaded machine decides nothing."""
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end, f"{what} did not come to pass"
        time.sleep(0.05)


@dataclass(frozen=True)
class Recorded:
    """A task, the folder where each worker leaves the address of its node, and the node that is going to be lost."""

    task: DistortTask
    workers: Path
    doomed: str


def build_and_record(work: Recorded) -> list[artifacts.ShardMeta]:
    """``build_distorted`` on a node of a Ray cluster. The doomed one stands still in the middle of writing a shard, and
    the others begin when it does: however slow the machine is, a task is lost with it.
    """
    import ray

    mine, theirs = work.workers / ray.util.get_node_ip_address(), work.workers / work.doomed

    def stand_still() -> None:
        mine.touch()
        time.sleep(3600)

    if mine == theirs:
        set_trap("in the middle", stand_still)
    else:
        mine.touch()
        wait_until(theirs.exists, "a task of the doomed node's")
    return build_distorted(work.task)


def recorded(folder: Path, engine: Engine, doomed: str) -> None:
    """The distort stage with a record of the nodes."""
    tasks = stand_in.distort_tasks(folder / "sources", folder / "distorted")
    work = [Recorded(task, folder / "workers", doomed) for task in tasks]
    done = engine.map(build_and_record, work, describe="distort")
    commit_distorted(tasks[0].job, done, ShardSet(folder / "sources"))
    print("done")


def main(folder: Path, engine: Engine, point: str, victim: str) -> None:
    """The distort stage with the trap."""
    flag = folder / "fired"
    pid = os.getpid() if victim == "driver" and engine.name != "serial" else None
    tasks = stand_in.distort_tasks(folder / "sources", folder / "distorted")
    done = engine.map(build, [Trap(task, point, flag, pid) for task in tasks], describe="distort")
    if point in (IN_THE_MANIFEST, MANIFEST_RENAME):
        set_trap(point, lambda: fire(flag, None))
    commit_distorted(tasks[0].job, done, ShardSet(folder / "sources"))


if __name__ == "__main__":
    from tests.faults import crash  # not __main__: workers have to find the functions by their module's name

    where, name, address, *rest = sys.argv[1:]
    crash.main(Path(where), Engine(name, 2, address or None), *rest)
