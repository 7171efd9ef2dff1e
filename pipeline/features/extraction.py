"""Extraction: features of the images of a database table, at their native resolution, in batches of one size.

Batches are split over the workers of an engine. Which images share a batch does not depend on the number of workers,
and neither does a feature.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.databases.pixels import PLACE, decode_row, shown_size
from pipeline.encoder import Extractor
from pipeline.engine import Engine, last_seen
from pipeline.features.feature_table import FeatureError, feature_table

TASK_PIXELS = 2**22  # of a worker's task: 16 images of 512 x 512, about 2 s of a core
DEVICE_PIXELS = 2**26  # where one process feeds a GPU: the images of a task are decoded ahead of it
_AHEAD = 2  # batches decoded while one is extracted

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ExtractionTask:
    """Batches of rows of a database table (columns :data:`PLACE`), whose paths start at ``root``.

    ``indices``: the rows' places in the table, batch after batch. With ``decode_threads`` above 0, that many threads
    decode ahead of the extractor.
    """

    extractor: Extractor
    root: Path
    batches: tuple[tuple[Row, ...], ...]
    indices: tuple[int, ...]
    decode_threads: int = 0

    def __str__(self) -> str:
        first = self.batches[0][0]["image_id"]
        return f"features by {self.extractor.name} of {len(self.indices)} images from {first} on"


def extract_features(
    database: pa.Table,
    root: Path,
    extractor: Extractor,
    *,
    encoder: str,
    database_name: str,
    engine: Engine = Engine(),
    batch_images: int = 16,
    batch_pixels: int = 2**23,
    decode_threads: int = 0,
    provenance: Mapping[str, object] | None = None,
) -> pa.Table:
    """The feature table of every image (references too) of ``database``, whose paths start at ``root``.

    A batch has images of one size, at most ``batch_images`` of them and ``batch_pixels`` pixels (one image at least).
    ``decode_threads`` is for a GPU, which one process feeds. Rows with a non-finite number are kept, counted and named
    in the metadata. Errors of :func:`pipeline.databases.pixels.decode_row` name the image whose file changed
    since ingest or can't be decoded.
    """
    tasks = extraction_tasks(database, root, extractor, batch_images, batch_pixels, decode_threads)
    parts = engine.map(extract_task, tasks, describe=f"features {encoder} {database_name}")
    features = np.empty((len(database), extractor.dim), dtype=np.float32)
    for task, part in zip(tasks, parts, strict=True):
        features[list(task.indices)] = part
    not_finite = database["image_id"].filter(pa.array(~np.isfinite(features).all(axis=1))).to_pylist()
    metadata = {
        "weights_sha256": extractor.sha256,
        "dim": extractor.dim,
        "standardise": bool(getattr(extractor, "standardise", False)),
        **getattr(extractor, "table_metadata", {"kind": "features"}),
        "non_finite": not_finite,
        "provenance": dict(provenance or {}),
    }
    return feature_table(database, features, encoder=encoder, database_name=database_name, metadata=metadata)


def extraction_tasks(
    database: pa.Table,
    root: Path,
    extractor: Extractor,
    batch_images: int = 16,
    batch_pixels: int = 2**23,
    decode_threads: int = 0,
) -> list[ExtractionTask]:
    """The tasks of :func:`extract_features`, each of neighbouring batches of :data:`TASK_PIXELS` or a little more."""
    rows = database.select(PLACE).to_pylist()
    tasks, group, pixels = [], list[list[int]](), 0
    batches = _batches(rows, batch_images, batch_pixels)
    for number, batch in enumerate(batches):
        group.append(batch)
        height, width = shown_size(rows[batch[0]])
        pixels += len(batch) * height * width
        if pixels >= (DEVICE_PIXELS if decode_threads else TASK_PIXELS) or number == len(batches) - 1:
            chosen = tuple(tuple(rows[index] for index in indices) for indices in group)
            together = tuple(index for indices in group for index in indices)
            tasks.append(ExtractionTask(extractor, Path(root), chosen, together, decode_threads))
            group, pixels = [], 0
    return tasks


def extract_task(task: ExtractionTask) -> np.ndarray:
    """float32 [images, dim]: the features of the task's images, batch after batch."""
    dim, parts = task.extractor.dim, []
    for pictures in _decoded(task):
        features = task.extractor.extract(pictures)
        if features.shape != (len(pictures), dim) or features.dtype != np.float32:
            got = f"{features.dtype} {features.shape}, expected float32 {(len(pictures), dim)}"
            raise FeatureError(f"{task.extractor.name}: extract gave {got}")
        parts.append(features)
    return np.concatenate(parts)


def _batches(rows: Sequence[Row], batch_images: int, batch_pixels: int) -> list[list[int]]:
    """Positions in ``rows``, images of one size together, in the table's order inside a size."""
    of_size: dict[tuple[int, int], list[int]] = {}
    for index, row in enumerate(rows):
        of_size.setdefault(shown_size(row), []).append(index)
    batches = []
    for (height, width), members in sorted(of_size.items()):
        step = max(1, min(batch_images, batch_pixels // (height * width)))
        batches += [members[start : start + step] for start in range(0, len(members), step)]
    return batches


def _decoded(task: ExtractionTask) -> Iterator[list[np.ndarray]]:
    """The images of each batch; with threads, at most ``_AHEAD`` more batches are in memory."""
    if not task.decode_threads:
        for batch in task.batches:
            last_seen.note(f"at image {batch[0]['image_id']}, one of {len(batch)}")
            yield [decode_row(task.root, row) for row in batch]
        return
    with ThreadPoolExecutor(task.decode_threads) as pool:
        waiting: deque[list[Future[np.ndarray]]] = deque()
        for batch in task.batches:
            waiting.append([pool.submit(decode_row, task.root, row) for row in batch])
            if len(waiting) > _AHEAD:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
