"""Two runs of one stage at once: the second stops at once, and names the first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import folders
from pipeline.shards.reader import ShardSet
from tests import profile

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]


def test_a_second_stage_stops_and_names_the_pid_of_the_first(tmp_path: Path) -> None:
    profile.write("tiny", tmp_path / "params.yaml")
    command = [sys.executable, "-m", "stages.sources", "photos"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def stage() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)

    with folders.folder_lock(tmp_path / "data" / "sources" / "photos", tmp_path / "data" / ".locks"):
        second = stage()
    assert second.returncode == 2, second.stderr
    expected = f"data/sources/photos: another run is writing here (pid {os.getpid()})"
    assert second.stderr.strip().endswith(expected) and "Traceback" not in second.stderr
    assert not list((tmp_path / "data" / "sources" / "photos").glob("*"))
    assert stage().returncode == 0  # the lock went with its holder
    assert len(ShardSet(tmp_path / "data" / "sources" / "photos")) == 5
