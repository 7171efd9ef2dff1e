"""What the regressors read: blocks of feature rows of the scored images, from memory or straight from the Parquet file.

A block is a row group of the table (1,024 images) whether the features are held or not, so sums are made in the same
order and a table that fits in memory gives the bits of one that does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.features import FeatureError, FeatureTable


@dataclass(frozen=True)
class ScoredFeatures:
    """Features of the scored images, in blocks; position i is the i-th scored image.

    ``rows`` are positions in the table, ascending. With ``reference`` (for each scored image the position of its
    reference in ``references``) a row is |f_reference - f_image|, the full-reference feature. ``fill`` replaces
    non-finite numbers.
    """

    table: FeatureTable
    rows: np.ndarray
    reference: np.ndarray | None = None
    references: np.ndarray | None = None
    fill: np.ndarray | None = None
    held: tuple[np.ndarray, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        """Numbers an image."""
        return self.table.dim

    def bounds(self) -> list[tuple[int, int]]:
        """Ranges of positions of the blocks (some may be empty)."""
        edges = [np.searchsorted(self.rows, (start, stop)) for start, stop in self.table.bounds]
        return [(int(start), int(stop)) for start, stop in edges]

    def load(self, index: int) -> np.ndarray:
        """float32 [rows, dim] of block ``index``. :class:`FeatureError` for non-finite numbers that have no fill."""
        if self.held is not None:
            return self.held[index]
        start, stop = self.bounds()[index]
        block = self.table.block(index)
        local = self.rows[start:stop] - self.table.bounds[index][0]
        block = self._finite(block if len(local) == len(block) else block[local])
        if self.reference is None or self.references is None:
            return block
        difference: np.ndarray = np.abs(self.references[self.reference[start:stop]] - block)
        return difference

    def take(self, positions: np.ndarray) -> np.ndarray:
        """float64 [len(positions), dim], ``positions`` ascending."""
        out = np.empty((len(positions), self.dim))
        for index, (start, stop) in enumerate(self.bounds()):
            low, high = np.searchsorted(positions, (start, stop))
            if high > low:
                out[low:high] = self.load(index)[positions[low:high] - start]
        return out

    def hold(self) -> ScoredFeatures:
        """The same with its blocks in memory."""
        return replace(self, held=tuple(self.load(index) for index in range(len(self.table.bounds))))

    def _finite(self, block: np.ndarray) -> np.ndarray:
        wrong = ~np.isfinite(block)
        if not wrong.any():
            return block
        if self.fill is None:
            raise FeatureError(f"{self.table.path}: features with non-finite numbers that its metadata does not name")
        return np.where(wrong, self.fill, block).astype(np.float32)


def scored_rows(table: FeatureTable) -> np.ndarray:
    """Positions of the images that have an opinion and are no references, int64, ascending."""
    scored = pc.and_(pc.invert(table.columns["is_reference"]), table.columns["mos"].is_valid())
    return np.flatnonzero(scored.combine_chunks().to_numpy(zero_copy_only=False))


def open_features(table: FeatureTable, *, memory: int) -> dict[str, ScoredFeatures]:
    """``{"nr": features}``, and ``"fr"`` where the scored images have references; held if both fit into ``memory``
    bytes.

    Raises :class:`FeatureError` if some scored images have a reference among the rows and others not.
    """
    rows = scored_rows(table)
    if not len(rows):
        raise FeatureError(f"{table.path}: no scored image")
    nr = ScoredFeatures(table, rows)
    if table.metadata.get("non_finite"):
        nr = replace(nr, fill=_finite_means(table))
    features = {"nr": nr}
    references = table.columns["reference_id"]
    if references.null_count < len(references):
        features["fr"] = _differences(nr, references.take(pa.array(rows)).to_pylist())
    fits = len(rows) * table.dim * 4 * len(features) <= memory
    return {mode: each.hold() if fits else each for mode, each in features.items()}


def _differences(nr: ScoredFeatures, reference_of: list[str | None]) -> ScoredFeatures:
    table = nr.table
    names = table.columns["image_id"].to_pylist()
    is_reference = table.columns["is_reference"].to_numpy()
    position = {name: i for i, name in enumerate(names) if is_reference[i]}
    lacking = sorted({str(name) for name in reference_of if name not in position})
    if lacking:
        raise FeatureError(
            f"{table.path}: no features of the references {', '.join(lacking[:10])} ({len(lacking)} in all)"
        )
    positions = [position[str(name)] for name in reference_of]
    wanted = np.unique(positions)
    references = ScoredFeatures(table, wanted, fill=nr.fill).take(np.arange(len(wanted))).astype(np.float32)
    return replace(nr, reference=np.searchsorted(wanted, positions), references=references)


def _finite_means(table: FeatureTable) -> np.ndarray:
    """Column means over the finite numbers of the table (no opinion enters): what a non-finite number is set to."""
    total, count = np.zeros(table.dim), np.zeros(table.dim)
    for index in range(len(table.bounds)):
        block = table.block(index)
        finite = np.isfinite(block)
        total += np.where(finite, block, 0).sum(axis=0, dtype=np.float64)
        count += finite.sum(axis=0)
    return (total / np.maximum(count, 1)).astype(np.float32)
