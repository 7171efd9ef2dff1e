"""The extraction loop: images of a database table, at their native resolution, in batches of one size.

The bytes of every image are compared with the sha256 that ingest recorded, and pixels come through
:func:`pipeline.images.decode` only. Images are decoded by a few threads ahead of the extractor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import engine, images
from pipeline.databases.pixels import PLACE, decode_row
from pipeline.encoder import Extractor
from pipeline.features.feature_table import FeatureError, feature_table

_AHEAD = 2  # batches decoded while one is extracted


def extract_features(
    database: pa.Table,
    root: Path,
    extractor: Extractor,
    *,
    encoder: str,
    database_name: str,
    batch_images: int = 16,
    batch_pixels: int = 2**23,
    decode_threads: int = 2,
    provenance: Mapping[str, object] | None = None,
) -> pa.Table:
    """The feature table of every image (references too) of ``database``, whose paths start at ``root``.

    A batch has images of one size, at most ``batch_images`` of them and ``batch_pixels`` pixels (one image at least).
    Rows with a non-finite number are kept, counted and named in the metadata. Raises :class:`FeatureError` naming the
    image whose file changed since ingest, and :class:`pipeline.images.ImageError` for one that can't be decoded.
    """
    out = np.empty((len(database), extractor.dim), dtype=np.float32)
    batches = _batches(database, batch_images, batch_pixels)
    rows = database.select(PLACE).to_pylist()
    with ThreadPoolExecutor(decode_threads) as pool:
        ready = _decoded(pool, Path(root), rows, batches)
        for batch, pictures in engine.progress(
            ready, total=len(batches), describe=f"features {encoder} {database_name}"
        ):
            found = extractor.extract(pictures)
            if found.shape != (len(batch), extractor.dim) or found.dtype != np.float32:
                wanted = (len(batch), extractor.dim)
                raise FeatureError(f"{encoder}: extract gave {found.dtype} {found.shape}, expected float32 {wanted}")
            out[batch] = found
    bad = [rows[i]["image_id"] for i in np.flatnonzero(~np.isfinite(out).all(axis=1))]
    metadata = {
        "weights_sha256": extractor.sha256,
        "dim": extractor.dim,
        "standardise": bool(getattr(extractor, "standardise", False)),
        **getattr(extractor, "about", {"kind": "features"}),
        "non_finite": bad,
        "provenance": dict(provenance or {}),
    }
    return feature_table(database, out, encoder=encoder, database_name=database_name, metadata=metadata)


def _batches(database: pa.Table, batch_images: int, batch_pixels: int) -> list[np.ndarray]:
    """Row positions, images of one size together, in the table's order inside a size."""
    rows_of: dict[tuple[int, int], list[int]] = {}
    for i, row in enumerate(database.select(["height", "width", "short_side"]).to_pylist()):
        size, side = (row["height"], row["width"]), row["short_side"]
        rows_of.setdefault(size if side is None else images.short_side_size(*size, side), []).append(i)
    batches = []
    for (h, w), found in sorted(rows_of.items()):
        rows = np.array(found)
        step = max(1, min(batch_images, batch_pixels // (h * w)))
        batches += [rows[start : start + step] for start in range(0, len(rows), step)]
    return batches


def _decoded(
    pool: ThreadPoolExecutor, root: Path, rows: Sequence[Mapping[str, object]], batches: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Batches in order with their images; at most ``_AHEAD`` more are in memory."""
    waiting: deque[tuple[np.ndarray, list[Future[np.ndarray]]]] = deque()
    for batch in batches:
        waiting.append((batch, [pool.submit(decode_row, root, rows[i]) for i in batch]))
        if len(waiting) > _AHEAD:
            first, pending = waiting.popleft()
            yield first, [future.result() for future in pending]
    while waiting:
        first, pending = waiting.popleft()
        yield first, [future.result() for future in pending]
