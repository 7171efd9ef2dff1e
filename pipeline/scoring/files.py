"""From files to numbers (a score, a feature): split over worker processes of one thread each, a row a file.

Whatever is wrong with a file is that file's row, and the others go on: also if its worker is killed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from pipeline import Refusal, images
from pipeline.artifacts import column
from pipeline.engine import Engine, WorkerDied, last_seen
from pipeline.scoring.memory import memory_for, require_memory

FILES_PER_TASK = 8  # about a second of a core; up to so many are measured without starting workers
FILES_PER_DEVICE_TASK = 64  # where one process feeds a GPU: their files are read ahead by threads
BATCH_PIXELS = 2**18  # images of one size that are measured together: 4 of 256 x 256 (more are no faster on a CPU)
MAX_PIXELS = 2**27  # 134 million: decoding takes 2 GB of an 8-bit image, and its feature less (it is cut into tiles)
LONGEST_ASPECT = 5  # longer to shorter side; beyond, people were not asked

PATH = column("path", pa.string(), "the file as it was named, or below the folder that was")
REMARKS = (
    column("error", pa.string(), "why there is no value; null where there is one", nullable=True),
    column("note", pa.string(), "what makes the value doubtful; null where nothing does", nullable=True),
    column("width", pa.int32(), "pixels; null where the image could not be decoded", nullable=True),
    column("height", pa.int32(), "pixels; null where the image could not be decoded", nullable=True),
)


class Measure(Protocol):
    """What is computed of an image."""

    def require_size(self, height: int, width: int) -> None:
        """:class:`pipeline.images.ImageError` for an image of a size that can't be measured."""

    def memory_need(self, height: int, width: int) -> int:
        """Bytes that an image of this size takes at most while it is measured, its own among them."""

    def values(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """[n] or [n, dim] of uint8 H x W x 3 images of one size."""


@dataclass(frozen=True)
class FileRow:
    """One file: its ``value``, or the ``error`` that it has instead; a ``note`` on a doubtful value; its size.

    ``facts``: what was undone to make the image upright sRGB.
    """

    path: Path
    value: Any = None
    error: str = ""
    note: str = ""
    width: int | None = None
    height: int | None = None
    facts: images.Facts = images.Facts()

    def columns(self) -> dict[str, object]:
        """The row's values in the columns :data:`PATH` and :data:`REMARKS`."""
        remarks = {"error": self.error or None, "note": self.note or None, "width": self.width, "height": self.height}
        return {"path": readable(self.path), **remarks}


@dataclass(frozen=True)
class FilesTask:
    """Files for one worker, ``batch`` images at once at most. ``lock`` is shared by all workers
    (:func:`pipeline.scoring.memory.memory_for`).
    """

    measure: Measure
    files: tuple[Path, ...]
    max_pixels: int
    lock: Path
    workers: int = 1
    read_threads: int = 0
    batch: int | None = None

    def __str__(self) -> str:
        return f"{len(self.files)} files from {readable(self.files[0])} on"


def measure_files(
    measure: Measure,
    files: Sequence[Path],
    *,
    engine: Engine = Engine(),
    max_pixels: int = MAX_PIXELS,
    read_threads: int = 0,
    batch: int | None = None,
) -> Generator[tuple[int, FileRow], None, None]:
    """(index in ``files``, row) for every file, as they come. Errors become rows and never end the run.

    ``read_threads`` is for a GPU, which one process feeds: so many threads read files ahead of it.
    ``batch``: how many images of one size are measured together at most; None: as many as have :data:`BATCH_PIXELS`.
    """
    step = FILES_PER_DEVICE_TASK if read_threads else FILES_PER_TASK
    engine = replace(engine, retries=0)  # what killed a worker is tried once more alone, and then is a row
    with tempfile.NamedTemporaryFile(prefix="synthetic-iqa-") as lock:
        shared = FilesTask(measure, (), max_pixels, Path(lock.name), engine.workers, read_threads, batch)
        alone: list[int] = []
        chunks = [range(start, min(start + step, len(files))) for start in range(0, len(files), step)]
        tasks = [replace(shared, files=tuple(files[index] for index in chunk)) for chunk in chunks]
        for number, call in engine.completed(files_task, tasks):
            try:
                yield from zip(chunks[number], call(), strict=True)
            except WorkerDied:
                alone += chunks[number]
        tasks = [replace(shared, files=(files[index],)) for index in alone]
        for number, call in engine.completed(files_task, tasks, isolated=True):
            try:
                yield alone[number], call()[0]
            except WorkerDied as error:
                reason = f"its worker process was ended ({error.how}): too little memory, or a fault of a codec"
                yield alone[number], FileRow(files[alone[number]], error=reason)


def files_task(task: FilesTask) -> list[FileRow]:
    """The rows of a task's files, in their order."""
    rows: list[FileRow] = []
    batch: list[_File] = []
    with contextlib.ExitStack() as stack:
        read = map
        if task.read_threads:
            read = stack.enter_context(ThreadPoolExecutor(task.read_threads)).map  # type: ignore[assignment]
        for file in read(lambda path: _read(path, task), task.files):
            most = task.batch or max(1, BATCH_PIXELS // max(1, file.pixels))
            full = len(batch) >= most
            if batch and (full or file.error or file.size != batch[0].size):
                rows += _batch_rows(task, batch)
                batch = []
            if file.error:
                rows.append(FileRow(file.path, error=file.error))
            else:
                batch.append(file)
    return rows + (_batch_rows(task, batch) if batch else [])


def readable(path: Path) -> str:
    """``path`` as text that can be printed and stored: bytes of a name that are no UTF-8 become a mark."""
    return os.fsencode(path).decode("utf-8", "replace")


@dataclass(frozen=True)
class _File:
    """A file's bytes, the size that its header declares and the bytes that decoding takes; or its ``error``."""

    path: Path
    data: bytes = b""
    size: tuple[int, int] = (0, 0)
    decoding: int = 0
    error: str = ""

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


def _read(path: Path, task: FilesTask) -> _File:
    try:
        require_memory(path.stat().st_size)
        data = images.read_bytes(path, max_pixels=task.max_pixels)
        size = images.declared_size(data, name=str(path), max_pixels=task.max_pixels)
        task.measure.require_size(*size)
        return _File(path, data, size, size[0] * size[1] * images.decoding_bytes(data))
    except Exception as error:  # this file's failure
        return _File(path, error=_reason(error, path))


def _batch_rows(task: FilesTask, batch: Sequence[_File]) -> list[FileRow]:
    """The rows of files of one size. What can't be done together is done one by one."""
    height, width = batch[0].size
    last_seen.note(f"at {readable(batch[0].path)}")
    need = max(len(batch) * task.measure.memory_need(height, width), sum(file.decoding for file in batch))
    decoded: list[tuple[np.ndarray, images.Facts]] = []
    try:
        with memory_for(need, task.lock, task.workers):
            decoded = [
                images.decode_with_facts(file.data, name=str(file.path), max_pixels=task.max_pixels) for file in batch
            ]
            values = task.measure.values([picture for picture, _ in decoded])
    except Exception as error:
        if len(batch) > 1:
            return [row for file in batch for row in _batch_rows(task, [file])]
        size = (width, height) if decoded else (None, None)
        return [FileRow(batch[0].path, None, _reason(error, batch[0].path), "", *size)]
    return [_row(file, *image, value) for file, image, value in zip(batch, decoded, values, strict=True)]


def _row(file: _File, picture: np.ndarray, facts: images.Facts, value: Any) -> FileRow:
    height, width = picture.shape[:2]
    if not np.isfinite(value).all():
        return FileRow(file.path, None, "its features are not all finite", "", width, height)
    return FileRow(file.path, value, "", _note(picture), width, height, facts)


def _note(picture: np.ndarray) -> str:
    """A remark about an image that is unlike those that people rated; empty for others."""
    long, short = max(picture.shape[:2]), min(picture.shape[:2])
    if long > LONGEST_ASPECT * short:
        return f"an unusual aspect, {long / short:.0f} to 1"
    if (picture == picture[0, 0]).all():
        return "all pixels have one colour"
    return ""


def _reason(error: Exception, path: Path) -> str:
    """What went wrong, in one line without the path, which stands beside it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split()).removeprefix(f"{path}: ") or type(error).__name__
    known = isinstance(error, Refusal) or text == type(error).__name__
    return text if known else f"{type(error).__name__}: {text}"
