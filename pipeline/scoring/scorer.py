"""From files to scores: decoded ahead by a few threads, scored in batches of one size, in the order they were given.

Whatever is wrong with a file is that file's row, and the others go on.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import images
from pipeline.artifacts import column
from pipeline.features import Extractor
from pipeline.scoring.regressor import Regressor, RegressorError

WINDOW_IMAGES, WINDOW_PIXELS = 32, 2**23  # decoded and not yet scored: 24 MB of pixels, or one larger image
_THREADS = 2
_MOST_BYTES = 8  # of a file for each pixel of the cap: 16 bits of four channels, not compressed


SCORES = pa.schema(
    [
        column("path", pa.string(), "the file as it was named, or below the folder that was"),
        column("score", pa.float64(), "in the database's own units, not clipped to its range", nullable=True),
        column("error", pa.string(), "why there is no score; null where there is one", nullable=True),
        column("width", pa.int32(), "pixels; null where the image could not be decoded", nullable=True),
        column("height", pa.int32(), "pixels; null where the image could not be decoded", nullable=True),
        column("encoder", pa.string(), "what made the features"),
        column("database", pa.string(), "whose opinions the regressor was fitted on"),
        column("higher_is_better", pa.bool_(), "direction of score"),
    ]
)


@dataclass(frozen=True)
class Scored:
    """One file: ``score``, or the ``error`` that it has instead; its size where it could be decoded."""

    path: Path
    score: float | None = None
    error: str = ""
    width: int | None = None
    height: int | None = None


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
        self._extractor, self._fit = extractor, regressor.modes[mode]
        self._shape = None if reference is None else reference.shape
        self._short_side = regressor.card.get("short_side")  # SPAQ's protocol looks at images of a shorter side of 512
        self._reference = None if reference is None else extractor.extract([self._seen(reference)])

    def scores(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float64 [n] of uint8 H x W x 3 images of one size; not finite where the features are not."""
        if self._shape is not None and pictures[0].shape != self._shape:
            sizes = [f"{shape[1]} x {shape[0]}" for shape in (pictures[0].shape, self._shape)]
            raise images.ImageError(f"{sizes[0]}, and the reference is {sizes[1]}")
        features = self._extractor.extract([self._seen(picture) for picture in pictures])
        return self._fit.predict(features if self._reference is None else np.abs(self._reference - features))

    def _seen(self, picture: np.ndarray) -> np.ndarray:
        return picture if self._short_side is None else images.to_short_side(picture, int(self._short_side))


def score_files(
    scorer: Scorer, files: Sequence[Path], *, max_pixels: int = images.MAX_PIXELS, threads: int = _THREADS
) -> Iterator[Scored]:
    """One :class:`Scored` a file, in the order of ``files``. Errors become rows and never end the run."""
    with ThreadPoolExecutor(threads) as pool:
        window: list[tuple[Path, np.ndarray | str]] = []
        held = 0
        for path, decoded in _decoded(pool, files, max_pixels, 2 * threads):
            window.append((path, decoded))
            held += 0 if isinstance(decoded, str) else decoded.shape[0] * decoded.shape[1]
            if len(window) >= WINDOW_IMAGES or held >= WINDOW_PIXELS:
                yield from _scored(scorer, window)
                window, held = [], 0
        yield from _scored(scorer, window)


def scores_table(scored: Iterable[Scored], regressor: Regressor) -> pa.Table:
    """The rows as a table of :data:`SCORES`, with the regressor's card in the metadata of its schema."""
    about = {"encoder": str(regressor.card["encoder"]), "database": str(regressor.card["database"])}
    about |= {"higher_is_better": bool(regressor.card["higher_is_better"])}  # type: ignore[dict-item]
    rows = [
        {
            "path": readable(row.path),
            "score": row.score,
            "error": row.error or None,
            "width": row.width,
            "height": row.height,
            **about,
        }
        for row in scored
    ]
    told = {name: str(regressor.card[name]) for name in ("weights_sha256", "sha256", "range")}
    return pa.Table.from_pylist(rows, schema=SCORES).replace_schema_metadata(told)


def readable(path: Path) -> str:
    """``path`` as text that can be printed and stored: bytes of a name that are no UTF-8 become a mark."""
    return os.fsencode(path).decode("utf-8", "replace")


def _decoded(
    pool: ThreadPoolExecutor, files: Sequence[Path], max_pixels: int, ahead: int
) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Each file with its image, or with what is wrong with it; at most ``ahead`` wait decoded."""
    waiting: deque[tuple[Path, Future[np.ndarray | str]]] = deque()
    for path in files:
        waiting.append((path, pool.submit(_read, path, max_pixels)))
        if len(waiting) > ahead:
            first, pending = waiting.popleft()
            yield first, pending.result()
    while waiting:
        first, pending = waiting.popleft()
        yield first, pending.result()


def _read(path: Path, max_pixels: int) -> np.ndarray | str:
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # opening a named pipe would wait for ever
            return "a folder, not an image" if stat.S_ISDIR(state.st_mode) else "not a regular file"
        if state.st_size > _MOST_BYTES * max_pixels:
            return f"{state.st_size:,} bytes, more than an image of {max_pixels:,} pixels can have"
        return images.read(path, max_pixels=max_pixels)
    except Exception as error:  # a codec's own errors, no memory: this file's failure
        return _reason(error, path)


def _scored(scorer: Scorer, window: Sequence[tuple[Path, np.ndarray | str]]) -> Iterator[Scored]:
    """The rows of ``window``, images of one size scored together."""
    rows: dict[int, Scored] = {i: Scored(path, error=it) for i, (path, it) in enumerate(window) if isinstance(it, str)}
    same: dict[Any, list[int]] = {}
    for index, (_, decoded) in enumerate(window):
        if not isinstance(decoded, str):
            same.setdefault(decoded.shape, []).append(index)
    for indices in same.values():
        rows |= _batch(scorer, window, indices)
    yield from (rows[index] for index in range(len(window)))


def _batch(scorer: Scorer, window: Sequence[tuple[Path, Any]], indices: list[int]) -> dict[int, Scored]:
    try:
        values = scorer.scores([window[index][1] for index in indices])
    except Exception as error:
        if len(indices) > 1:  # no memory for all of them, or one that the extractor can't take: each alone
            return {i: row for index in indices for i, row in _batch(scorer, window, [index]).items()}
        path, image = window[indices[0]]
        return {indices[0]: _sized(path, image, None, _reason(error, path))}
    return {
        index: _sized(*window[index], float(value) if np.isfinite(value) else None, "its features are not all finite")
        for index, value in zip(indices, values, strict=True)
    }


def _sized(path: Path, image: np.ndarray, score: float | None, error: str) -> Scored:
    return Scored(path, score, error if score is None else "", image.shape[1], image.shape[0])


def _reason(error: Exception, path: Path) -> str:
    """What went wrong, in one line without the path, which stands beside it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split()).removeprefix(f"{path}: ") or type(error).__name__
    known = isinstance(error, images.ImageError) or text == type(error).__name__
    return text if known else f"{type(error).__name__}: {text}"
