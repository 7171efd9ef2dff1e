"""From files to scores: split over worker processes of one thread each, a row a file.

Whatever is wrong with a file is that file's row, and the others go on: also if its worker is killed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import Refusal, images
from pipeline.artifacts import column
from pipeline.encoder import Extractor
from pipeline.engine import Engine, WorkerDied, last_seen
from pipeline.scoring.memory import memory_for, require_memory
from pipeline.scoring.regressor import Linear, Regressor, RegressorError

FILES_PER_TASK = 8  # about a second of a core; up to so many are scored without starting workers
FILES_PER_DEVICE_TASK = 64  # where one process feeds a GPU: their files are read ahead by threads
BATCH_PIXELS = 2**18  # images of one size that are scored together: 4 of 256 x 256 (more are no faster on a CPU)
LONGEST_ASPECT = 5  # longer to shorter side; beyond, people were not asked
_BYTES_PER_PIXEL = 256.0  # of an extractor that does not say: floor and BRISQUE work in float64 planes

SCORES = pa.schema(
    [
        column("path", pa.string(), "the file as it was named, or below the folder that was"),
        column("score", pa.float64(), "in the database's own units, not clipped to its range", nullable=True),
        column("error", pa.string(), "why there is no score; null where there is one", nullable=True),
        column("note", pa.string(), "what makes the score doubtful; null where nothing does", nullable=True),
        column("width", pa.int32(), "pixels; null where the image could not be decoded", nullable=True),
        column("height", pa.int32(), "pixels; null where the image could not be decoded", nullable=True),
        column("encoder", pa.string(), "what made the features"),
        column("database", pa.string(), "whose opinions the regressor was fitted on"),
        column("higher_is_better", pa.bool_(), "direction of score"),
    ]
)


@dataclass(frozen=True)
class Scored:
    """One file: ``score``, or the ``error`` that it has instead; a ``note`` on a doubtful score; its size in pixels.

    ``facts``: what was undone to make the image upright sRGB.
    """

    path: Path
    score: float | None = None
    error: str = ""
    note: str = ""
    width: int | None = None
    height: int | None = None
    facts: images.Facts = images.Facts()


class Scorer:
    """An extractor and the regressor that was made for its weights (:class:`RegressorError` for others).

    With ``reference`` (uint8 H x W x 3) an image is scored by how far its features are from the reference's; the
    regressor then needs the mode fr, and images of another size are refused.
    """

    def __init__(self, extractor: Extractor, regressor: Regressor, *, reference: np.ndarray | None = None) -> None:
        regressor.require_weights(extractor.sha256, extractor.dim)
        mode = "nr" if reference is None else "fr"
        if mode not in regressor.modes:
            raise RegressorError(f"regressor {regressor.name}: has no mode {mode} (its database has no references)")
        self._extractor = extractor
        self._fit: Linear = regressor.modes[mode]
        self._reference_size = None if reference is None else (reference.shape[0], reference.shape[1])
        self._short_side = regressor.card.get("short_side")  # SPAQ's protocol looks at images of a shorter side of 512
        self._reference = None if reference is None else extractor.extract([self._resized(reference)])

    def memory_need(self, height: int, width: int) -> int:
        """Bytes that decoding and scoring an image of this size take at most."""
        pixels = height * width
        if self._short_side is not None:
            shown = images.short_side_size(height, width, int(self._short_side))
            pixels = max(pixels, shown[0] * shown[1])
        return int(pixels * getattr(self._extractor, "bytes_per_pixel", _BYTES_PER_PIXEL))

    def require_size(self, height: int, width: int) -> None:
        """:class:`pipeline.images.ImageError` for an image of a size that can't be scored."""
        smallest = getattr(self._extractor, "smallest_side", 1)
        if min(height, width) < smallest:
            name = self._extractor.name
            raise images.ImageError(f"{width} x {height}: below the {smallest} pixels a side that {name} was made for")
        if self._reference_size is not None and (height, width) != self._reference_size:
            sizes = [f"{size[1]} x {size[0]}" for size in ((height, width), self._reference_size)]
            raise images.ImageError(f"{sizes[0]}, and the reference is {sizes[1]}")

    def scores(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float64 [n] of uint8 H x W x 3 images of one size; not finite where the features are not."""
        features = self._extractor.extract([self._resized(picture) for picture in pictures])
        return self._fit.predict(features if self._reference is None else np.abs(self._reference - features))

    def _resized(self, picture: np.ndarray) -> np.ndarray:
        return picture if self._short_side is None else images.to_short_side(picture, int(self._short_side))


@dataclass(frozen=True)
class ScoreTask:
    """Files for one worker. ``lock`` is shared by all workers (:func:`pipeline.scoring.memory.memory_for`)."""

    scorer: Scorer
    files: tuple[Path, ...]
    max_pixels: int
    lock: Path
    workers: int = 1
    read_threads: int = 0

    def __str__(self) -> str:
        return f"scores of {len(self.files)} files from {readable(self.files[0])} on"


def score_files(
    scorer: Scorer,
    files: Sequence[Path],
    *,
    engine: Engine = Engine(),
    max_pixels: int = images.MAX_PIXELS,
    read_threads: int = 0,
) -> Generator[tuple[int, Scored], None, None]:
    """(index in ``files``, row) for every file, as they come. Errors become rows and never end the run.

    ``read_threads`` is for a GPU, which one process feeds: so many threads read files ahead of it.
    """
    step = FILES_PER_DEVICE_TASK if read_threads else FILES_PER_TASK
    engine = replace(engine, retries=0)  # what killed a worker is tried once more alone, and then is a row
    with tempfile.NamedTemporaryFile(prefix="synthetic-iqa-") as lock:
        shared = ScoreTask(scorer, (), max_pixels, Path(lock.name), engine.workers, read_threads)
        alone: list[int] = []
        chunks = [range(start, min(start + step, len(files))) for start in range(0, len(files), step)]
        tasks = [replace(shared, files=tuple(files[index] for index in chunk)) for chunk in chunks]
        for number, call in engine.completed(score_task, tasks):
            try:
                yield from zip(chunks[number], call(), strict=True)
            except WorkerDied:
                alone += chunks[number]
        tasks = [replace(shared, files=(files[index],)) for index in alone]
        for number, call in engine.completed(score_task, tasks, isolated=True):
            try:
                yield alone[number], call()[0]
            except WorkerDied as error:
                reason = f"its worker process was ended ({error.how}): too little memory, or a fault of a codec"
                yield alone[number], Scored(files[alone[number]], error=reason)


def score_task(task: ScoreTask) -> list[Scored]:
    """The rows of a task's files, in their order."""
    rows: list[Scored] = []
    batch: list[_File] = []
    with contextlib.ExitStack() as stack:
        read = map
        if task.read_threads:
            read = stack.enter_context(ThreadPoolExecutor(task.read_threads)).map  # type: ignore[assignment]
        for file in read(lambda path: _read(path, task), task.files):
            full = sum(waiting.pixels for waiting in batch) + file.pixels > BATCH_PIXELS
            if batch and (full or file.error or file.size != batch[0].size):
                rows += _score_batch(task, batch)
                batch = []
            if file.error:
                rows.append(Scored(file.path, error=file.error))
            else:
                batch.append(file)
    return rows + (_score_batch(task, batch) if batch else [])


def scores_table(scored: Iterable[Scored], regressor: Regressor) -> pa.Table:
    """The rows as a table of :data:`SCORES`, with the regressor's card in the metadata of its schema."""
    same_for_all = {
        "encoder": str(regressor.card["encoder"]),
        "database": str(regressor.card["database"]),
        "higher_is_better": bool(regressor.card["higher_is_better"]),
    }
    rows = [
        {
            "path": readable(row.path),
            "score": row.score,
            "error": row.error or None,
            "note": row.note or None,
            "width": row.width,
            "height": row.height,
            **same_for_all,
        }
        for row in scored
    ]
    metadata = {name: str(regressor.card[name]) for name in ("weights_sha256", "sha256", "range")}
    return pa.Table.from_pylist(rows, schema=SCORES).replace_schema_metadata(metadata)


def readable(path: Path) -> str:
    """``path`` as text that can be printed and stored: bytes of a name that are no UTF-8 become a mark."""
    return os.fsencode(path).decode("utf-8", "replace")


@dataclass(frozen=True)
class _File:
    """A file's bytes and the size that its header declares; or its ``error``."""

    path: Path
    data: bytes = b""
    size: tuple[int, int] = (0, 0)
    error: str = ""

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


def _read(path: Path, task: ScoreTask) -> _File:
    try:
        require_memory(path.stat().st_size)
        data = images.read_bytes(path, max_pixels=task.max_pixels)
        size = images.declared_size(data, name=str(path), max_pixels=task.max_pixels)
        task.scorer.require_size(*size)
        return _File(path, data, size)
    except Exception as error:  # this file's failure
        return _File(path, error=_reason(error, path))


def _score_batch(task: ScoreTask, batch: Sequence[_File]) -> list[Scored]:
    """The rows of files of one size. What can't be done together is done one by one."""
    height, width = batch[0].size
    last_seen.note(f"at {readable(batch[0].path)}")
    need = len(batch) * task.scorer.memory_need(height, width)
    decoded: list[tuple[np.ndarray, images.Facts]] = []
    try:
        with memory_for(need, task.lock, task.workers):
            decoded = [
                images.decode_with_facts(file.data, name=str(file.path), max_pixels=task.max_pixels) for file in batch
            ]
            values = task.scorer.scores([picture for picture, _ in decoded])
    except Exception as error:
        if len(batch) > 1:
            return [row for file in batch for row in _score_batch(task, [file])]
        size = (width, height) if decoded else (None, None)
        return [Scored(batch[0].path, None, _reason(error, batch[0].path), "", *size)]
    return [_row(file, *image, float(value)) for file, image, value in zip(batch, decoded, values, strict=True)]


def _row(file: _File, picture: np.ndarray, facts: images.Facts, value: float) -> Scored:
    height, width = picture.shape[:2]
    if not np.isfinite(value):
        return Scored(file.path, None, "its features are not all finite", "", width, height)
    return Scored(file.path, value, "", _note(picture), width, height, facts)


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
