"""What each task is at, left by its worker in a file as it goes: after a death the driver reads there what it died of.

One file a run, one page a task, one ``pwrite`` a crumb and no flush: the kernel keeps what a killed process has
written. The driver holds a lock on its file, so a later run knows which files nobody reads any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = 4096  # bytes: two machines that share a file system never write to one page
_page: tuple[int, int] | None = None  # descriptor and place of this worker's task


def leave(text: str) -> None:
    """Say what this worker's task is at from here on; outside a worker that is followed it does nothing.

    3 us with the making of the text, beside some 8 ms for a sample. A death is told with the latest one.
    """
    if _page is not None:
        with contextlib.suppress(OSError):  # a full disk is the task's to find, at its own writes
            os.pwrite(_page[0], text.encode(errors="backslashreplace")[: PAGE - 1] + b"\0", _page[1])


@contextlib.contextmanager
def followed(path: str, index: int) -> Iterator[None]:
    """Be a worker at task ``index``, whose crumbs go to ``path``: the trail's, "" for none.

    A path that is not there (on a machine that does not share it) is none.
    """
    global _page
    try:
        file = os.open(path, os.O_WRONLY) if path else -1
    except OSError:
        file = -1
    try:
        _page = None if file < 0 else (file, index * PAGE)
        yield
    finally:
        _page = None
        if file >= 0:
            os.close(file)


@dataclass(frozen=True)
class Trail:
    """The driver's end: where the workers leave their crumbs, "" if nowhere."""

    path: str = ""

    def last(self, index: int) -> str:
        """What task ``index`` was at when its worker last said so; "" if it did not say."""
        if not self.path:
            return ""
        with open(self.path, "rb") as file:
            file.seek(index * PAGE)
            return file.read(PAGE).partition(b"\0")[0].decode(errors="ignore")

    def clear(self, index: int) -> None:
        """Forget it: the next attempt may die before it says anything."""
        if self.path:
            with open(self.path, "r+b") as file:
                file.seek(index * PAGE)
                file.write(b"\0")


@contextlib.contextmanager
def trail(folder: Path | None) -> Iterator[Trail]:
    """A trail in ``folder`` for the length of a run, or none. What killed drivers left there is removed first."""
    if folder is None:
        yield Trail()
        return
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.crumbs"):
        with contextlib.suppress(OSError), open(left, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by a driver that lives: BlockingIOError
            left.unlink()
    with contextlib.ExitStack() as stack:
        path = folder.resolve()
        while not path.is_file():  # at first, and if another run swept it up before it was locked
            path = folder.resolve() / f"{uuid.uuid4().hex}.crumbs"
            held = stack.enter_context(open(path, "xb"))
            stack.callback(path.unlink, missing_ok=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield Trail(str(path))
