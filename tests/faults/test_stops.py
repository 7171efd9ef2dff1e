"""Ctrl-C and SIGTERM end a stage at once, whatever its workers are at; the next run goes on as if nothing had been."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.folders import folder_lock
from tests import profile
from tests.faults.crash import wait_until
from tests.faults.test_crashes import gone
from tests.shards import stand_in
from tests.shards.stand_in import content

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
CASES = [
    ("serial", signal.SIGINT, "driver"),
    ("serial", signal.SIGTERM, "driver"),
    ("processes", signal.SIGINT, "driver"),
    ("processes", signal.SIGINT, "group"),  # as a terminal sends it
    ("processes", signal.SIGTERM, "driver"),
    ("processes", signal.SIGTERM, "group"),
    ("ray", signal.SIGINT, "group"),
    ("ray", signal.SIGTERM, "driver"),
]


@pytest.mark.parametrize(("engine", "number", "whom"), CASES)
def test_a_stage_that_is_told_to_stop_ends_its_workers_and_says_one_line(
    engine: str, number: signal.Signals, whom: str, undisturbed: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed / "sources", tmp_path / "sources")
    profile.write("tiny", tmp_path / "params.yaml")
    command = [sys.executable, "-m", "tests.faults.stop", str(tmp_path), engine, ""]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as stage:
        try:
            wait_until(lambda: stage.poll() is not None or held(tmp_path) > 0, "the stand-still")
            assert stage.poll() is None, stage.communicate()[1]
            assert list((tmp_path / "distorted").glob("*.tmp"))
            (os.killpg if whom == "group" else os.kill)(stage.pid, number)
            _, errors = stage.communicate(timeout=600)  # the task itself would take an hour
        finally:
            stage.kill()
    assert stage.returncode == 128 + number, errors
    expected = f"stop: stopped by {number.name}; what is whole is kept, a rerun goes on from there"
    assert errors.splitlines()[-1] == expected and "Traceback" not in errors
    wait_until(lambda: gone(held(tmp_path)), "the worker's end")
    assert [path.suffix for path in (tmp_path / "locks").iterdir()] == [".lock"]
    with folder_lock(tmp_path / "distorted", tmp_path / "locks"):
        stand_in.distort_stage(tmp_path / "sources", tmp_path / "distorted")
    assert content(tmp_path / "distorted") == content(undisturbed / "distorted")


RANKS = """
import signal, sys
from pipeline.training.launch import launch
from tests.engine_tasks import stand_still
from tests import profile
signal.signal(signal.SIGINT, signal.default_int_handler)
launch(stand_still, 2, "cpu", sys.argv[1])
"""


def test_ranks_end_with_a_training_that_is_told_to_stop(tmp_path: Path) -> None:
    """Also where the signal reaches the stage alone, and none of its ranks."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", RANKS, str(tmp_path)], cwd=ROOT, env=environment) as stage:
        try:
            wait_until(lambda: stage.poll() is not None or len(list(tmp_path.iterdir())) == 2, "two ranks")
            assert stage.poll() is None
            stage.send_signal(signal.SIGINT)
            stage.wait(timeout=600)  # the ranks themselves would take an hour
        finally:
            stage.kill()
    assert stage.returncode == -signal.SIGINT
    ranks = [int(path.name) for path in tmp_path.iterdir()]
    wait_until(lambda: all(gone(rank) for rank in ranks), "the ranks' end")


def held(folder: Path) -> int:
    """The process that stands still; 0 while none does."""
    try:
        return int((folder / "held").read_text() or 0)
    except FileNotFoundError:
        return 0
