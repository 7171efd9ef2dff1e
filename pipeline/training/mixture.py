"""Distorted and authentic images as one: what paper 2 (section III-B) trains on, each authentic image its own class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import fingerprint
from pipeline.training.batches import Data
from pipeline.training.classes import AUTHENTIC


@dataclass(frozen=True)
class Mixture:
    """The given rows of ``distorted`` (None: of nothing), then those of ``authentic``, whose labels are not read: all
    of them are :data:`AUTHENTIC`. A :class:`Data` itself.
    """

    distorted: Data | None
    rows: NDArray[np.int64]
    authentic: Data
    authentic_rows: NDArray[np.int64]

    def __len__(self) -> int:
        return self._first + len(self.authentic_rows)

    @cached_property
    def keys(self) -> list[str]:
        """The name of each image; those of authentic images begin with ``authentic/``."""
        ours = self.distorted.keys if self.distorted else []
        theirs = self.authentic.keys
        return [ours[row] for row in self.rows[: self._first]] + [f"authentic/{theirs[r]}" for r in self.authentic_rows]

    @cached_property
    def labels(self) -> NDArray[np.int16]:
        """0..125, or :data:`AUTHENTIC`."""
        theirs = np.full(len(self.authentic_rows), AUTHENTIC, np.int16)
        return np.concatenate([self.distorted.labels[self.rows], theirs]) if self.distorted else theirs

    @cached_property
    def shapes(self) -> NDArray[np.int32]:
        """[n, 2]: height and width of each image, where both parts know it."""
        theirs = _shapes(self.authentic)[self.authentic_rows]
        return np.concatenate([_shapes(self.distorted)[self.rows], theirs]) if self.distorted else theirs

    @cached_property
    def fingerprint(self) -> str:
        """Changes with either part."""
        parts = (self.distorted, self.authentic)
        return fingerprint({str(place): getattr(part, "fingerprint", None) for place, part in enumerate(parts)})

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 [h, w, 3]."""
        if self.distorted is not None and index < self._first:
            return self.distorted.image(int(self.rows[index]))
        return self.authentic.image(int(self.authentic_rows[index - self._first]))

    @property
    def _first(self) -> int:
        return len(self.rows) if self.distorted else 0


def _shapes(part: Data) -> NDArray[np.int32]:
    shapes: NDArray[np.int32] = part.shapes  # type: ignore[attr-defined]
    return shapes
