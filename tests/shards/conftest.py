"""One undisturbed build, which the tests copy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.shards import stand_in


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and distorted shards of five sources, built in this process. Not to be changed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    stand_in.both(folder)
    return folder


@pytest.fixture
def copy(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of it, as old as can be told from what is written now on any file system."""
    folder = shutil.copytree(undisturbed, tmp_path / "copy")
    for path in folder.rglob("*"):
        os.utime(path, (10**9, 10**9))
    return folder
