"""Profiles for tests: as a file, or read."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline import profiles
from pipeline.params import Params, load


def write(name: str, path: Path) -> Path:
    """The whole params.yaml of a profile, at ``path``."""
    path.write_text(profiles.profile_text(name))
    return path


def read(name: str) -> Params:
    """The parameters of a profile."""
    with TemporaryDirectory() as folder:
        return load(write(name, Path(folder) / "params.yaml"))
