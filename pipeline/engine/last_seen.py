"""Each worker records its current item in a file, so that the driver can report where a killed worker was.

One file a run, one page a task, one ``pwrite`` a note and no flush: the kernel keeps what a killed process has written.
The driver holds a lock on its file, so a later run can tell which files are left over and remove them.
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
SUFFIX = ".last_seen"
_page: tuple[int, int] | None = None  # file descriptor and byte offset of this worker's task


def note(text: str) -> None:
    """Record the item that this worker starts on. Outside a worker of a run with a ``last_seen`` folder: no effect.

    A note takes 3 us, its text included, beside some 8 ms for a sample.
    """
    if _page is not None:
        with contextlib.suppress(OSError):  # a full disk shows up at the task's own writes
            os.pwrite(_page[0], text.encode(errors="backslashreplace")[: PAGE - 1] + b"\0", _page[1])


@contextlib.contextmanager
def recording(path: str, index: int) -> Iterator[None]:
    """Write the notes of task ``index`` to ``path``, a run's file (:attr:`LastSeen.path`).

    With ``path`` "", and with one that does not exist here (on a machine that does not share it), nothing is written.
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
class LastSeen:
    """The driver's side: the file that the workers of a run write to, "" if there is none."""

    path: str = ""

    def of(self, index: int) -> str:
        """The latest note of task ``index``; "" without one."""
        if not self.path:
            return ""
        with open(self.path, "rb") as file:
            file.seek(index * PAGE)
            return file.read(PAGE).partition(b"\0")[0].decode(errors="ignore")

    def clear(self, index: int) -> None:
        """Remove the note of task ``index``: the next attempt may die before it writes one."""
        if self.path:
            with open(self.path, "r+b") as file:
                file.seek(index * PAGE)
                file.write(b"\0")


@contextlib.contextmanager
def opened(folder: Path | None) -> Iterator[LastSeen]:
    """A file of notes in ``folder`` for the length of a run; None gives no file.

    Files of killed drivers are removed first.
    """
    if folder is None:
        yield LastSeen()
        return
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError), open(left_over, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its driver is alive
            left_over.unlink()
    with contextlib.ExitStack() as stack:
        path = folder.resolve()
        while not path.is_file():  # at first, and where another run removed it before it was locked
            path = folder.resolve() / f"{uuid.uuid4().hex}{SUFFIX}"
            held = stack.enter_context(open(path, "xb"))
            stack.callback(path.unlink, missing_ok=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield LastSeen(str(path))
