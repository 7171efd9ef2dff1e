"""Whatever is killed, wherever it stands: a rerun ends with the bytes of an undisturbed run, with nothing left over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.engine import Engine, EngineError
from pipeline.shards.distorted_shards import build_distorted
from tests import engine_tasks
from tests.faults.crash import IN_A_TASK, IN_THE_MANIFEST, MANIFEST_RENAME, wait_until
from tests.shards import stand_in
from tests.shards.stand_in import content

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
ENGINES = ("serial", "processes", "ray")
CASES = [
    *((engine, point, victim) for engine in ENGINES[1:] for point in IN_A_TASK for victim in ("worker", "driver")),
    *(("serial", point, "driver") for point in IN_A_TASK),
    *((engine, point, "driver") for engine in ENGINES for point in (IN_THE_MANIFEST, MANIFEST_RENAME)),
]


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize(("engine", "point", "victim"), CASES)
def test_a_kill_leaves_nothing_wrong(
    engine: str, point: str, victim: str, undisturbed: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("ray_cluster") if engine == "ray" else ""
    shutil.copytree(undisturbed / "sources", tmp_path / "sources")
    command = [sys.executable, "-m", "tests.faults.crash", str(tmp_path), engine, address, point, victim]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (tmp_path / "fired").exists(), run.stderr
    if victim == "driver":
        assert run.returncode == -signal.SIGKILL, run.stderr
        wait_until(lambda: gone(int((tmp_path / "fired").read_text())), "the worker's end")
    else:
        assert run.returncode == 0, run.stderr  # its task was tried again
        assert content(tmp_path / "distorted") == content(undisturbed / "distorted")
    stand_in.distort_stage(tmp_path / "sources", tmp_path / "distorted")
    assert content(tmp_path / "distorted") == content(undisturbed / "distorted")


def test_a_block_that_always_kills_its_worker_is_named(undisturbed: Path, tmp_path: Path) -> None:
    tasks = stand_in.distort_tasks(undisturbed / "sources", tmp_path / "distorted", made_by=engine_tasks.deadly_bank)
    with pytest.raises(
        EngineError, match=r"died 3 times on one task \(killed by SIGKILL\): set noise, sources \d to \d, seed 11$"
    ):
        Engine("processes", 2).map(build_distorted, tasks, describe="distort")


def test_a_dead_worker_process_is_an_engine_error_that_names_its_task() -> None:
    with pytest.raises(EngineError, match=r"^a worker process died 3 times on one task \(killed by SIGKILL\): 1$"):
        Engine("processes", 2).map(engine_tasks.die_always, list(range(6)), describe="die")


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_dead_worker_is_retried(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue("ray_cluster") if engine == "ray" else None
    tasks = [(number, str(tmp_path / "flag")) for number in range(6)]
    assert Engine(engine, 2, address).map(engine_tasks.die_once, tasks, describe="die") == [0, 10, 20, 30, 40, 50]
    assert (tmp_path / "flag").exists()


def test_a_ray_worker_that_always_dies_is_an_engine_error(ray_cluster: str) -> None:
    with pytest.raises(EngineError, match=r"^a Ray worker died 3 times on one task \(.+\): 1$"):
        Engine("ray", 2, ray_cluster).map(engine_tasks.die_always, list(range(4)), describe="die")


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_killed_driver_leaves_no_worker_that_goes_on_writing(engine: str, tmp_path: Path) -> None:
    def written() -> int:
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    command = [sys.executable, "-m", "tests.engine_tasks", engine, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as driver:
        try:
            wait_until(lambda: written() > 5, "the first write")
        finally:
            driver.kill()
    assert driver.returncode == -signal.SIGKILL
    sizes = [written()]

    def still() -> bool:
        time.sleep(0.5)  # 25 writes of a worker that lives
        sizes.append(written())
        return len(sizes) > 3 and sizes[-1] == sizes[-3]

    wait_until(still, "the end of writing")
    if engine == "processes":  # Linux kills the workers with their driver; Ray takes about two seconds
        assert sizes[-1] - sizes[0] <= 4
    assert sizes[-1] < 2 * 3000
