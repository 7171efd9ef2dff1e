"""A stage that comes to stand still in the middle of writing block 1's shard, to be stopped by a signal.

``python -m tests.faults.stop FOLDER ENGINE ADDRESS`` distorts ``FOLDER/sources``; ``params.yaml`` lies where it runs.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import stages
from pipeline import artifacts, folders
from pipeline.engine import Engine
from pipeline.params import Params
from pipeline.shards.distorted_shards import DistortTask, build_distorted, commit_distorted
from pipeline.shards.reader import ShardSet
from tests.faults.crash import set_trap
from tests.shards import stand_in

FOR_EVER = 3600  # seconds: longer than any test waits


@dataclass(frozen=True)
class Held:
    """A task, and the file that says, when it stands still, in which process."""

    task: DistortTask
    flag: Path


def build(held: Held) -> list[artifacts.ShardMeta]:
    """``build_distorted``, but block 1 never ends."""

    def stand_still() -> None:
        held.flag.write_text(str(os.getpid()))
        time.sleep(FOR_EVER)

    if held.task.block.index == 1:
        set_trap("in the middle", stand_still)
    return build_distorted(held.task)


def run(_: Params, where: str, name: str, address: str) -> None:
    """The distort stage, with its lock and its notes in ``FOLDER/locks``."""
    folder, locks = Path(where), Path(where) / "locks"
    tasks = stand_in.distort_tasks(folder / "sources", folder / "distorted")
    with folders.folder_lock(folder / "distorted", locks):
        engine = Engine(name, 2, address or None, locks)
        done = engine.map(build, [Held(task, folder / "held") for task in tasks], describe="distort")
        commit_distorted(tasks[0].job, done, ShardSet(folder / "sources"))


if __name__ == "__main__":
    from tests.faults import stop  # not __main__: workers have to find the functions by their module's name

    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a shell runs in the background
    stages.entry(stop.run, "folder", "engine", "address")
