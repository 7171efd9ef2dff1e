"""One undisturbed build, which the fault tests copy or compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shards import stand_in


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and distorted shards of five sources, built in this process. Not to be changed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    stand_in.both(folder)
    return folder
