"""A lock against two writers of one folder, and a check for free space on its disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.artifacts import ArtifactError

LONGEST = 200  # characters of a lock's name (the end of the path, which differs); file systems take 255


@contextlib.contextmanager
def folder_lock(folder: Path, locks: Path) -> Iterator[None]:
    """Hold the one lock of ``folder`` (a file in ``locks``, outside every out) until the block ends.

    A second writer gets an :class:`ArtifactError` with the pid of the holder. The system releases the lock when its
    process ends, killed or not.
    """
    locks.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(folder.resolve()).strip("/"))
    path = locks / f"{name[-LONGEST:]}.lock"
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ArtifactError(f"{folder}: another run is writing here (pid {holder})") from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise :class:`ArtifactError` unless the disk of ``folder`` has room for ``needed`` bytes and 1 % more.

    The files that the folder holds already count as free, because a rerun keeps or replaces them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize + sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if free < needed * 1.01:
        raise ArtifactError(f"{folder}: {what} needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
