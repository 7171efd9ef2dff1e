"""Distorted and authentic images as one set: what paper 2 (section III-B) trains on, each authentic image a class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import fingerprint
from pipeline.shards.decoded import Images, LabelledImages
from pipeline.shards.epochs import Epochs
from pipeline.training.labels import AUTHENTIC


@dataclass(frozen=True)
class Mixture:
    """The images of ``distorted`` (None: there are none), then those of ``authentic``, all labelled
    :data:`AUTHENTIC`.
    """

    distorted: LabelledImages | None
    authentic: Images

    def __len__(self) -> int:
        return self._first + len(self.authentic)

    @cached_property
    def keys(self) -> list[str]:
        """The name of each image; those of authentic images begin with ``authentic/``."""
        distorted = self.distorted.keys if self.distorted else []
        return [*distorted, *(f"authentic/{key}" for key in self.authentic.keys)]

    @cached_property
    def labels(self) -> NDArray[np.int16]:
        """0..125, or :data:`AUTHENTIC`."""
        authentic = np.full(len(self.authentic), AUTHENTIC, np.int16)
        return np.concatenate([self.distorted.labels, authentic]) if self.distorted else authentic

    @cached_property
    def shapes(self) -> NDArray[np.int32]:
        """[n, 2]: height and width of each image."""
        authentic = self.authentic.shapes
        return np.concatenate([self.distorted.shapes, authentic]) if self.distorted else authentic

    @cached_property
    def fingerprint(self) -> str:
        """Changes with either part."""
        parts = (self.distorted, self.authentic)
        return fingerprint({str(number): getattr(part, "fingerprint", None) for number, part in enumerate(parts)})

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 [h, w, 3]."""
        if self.distorted is not None and index < self._first:
            return self.distorted.image(index)
        return self.authentic.image(index - self._first)

    @property
    def _first(self) -> int:
        return len(self.distorted) if self.distorted else 0


@dataclass(frozen=True)
class Halves:
    """Steps of as many distorted as authentic images, in turn (paper 2, section III-B), so that every rank's part is
    mixed. ``labels`` int64 are those of the mixture; the two orders count within their own images. An epoch is one of
    the distorted images; the authentic ones have epochs of their own length.
    """

    labels: NDArray[np.int64]
    distorted: Epochs
    authentic: Epochs

    @property
    def in_epoch(self) -> int:
        """Steps in an epoch."""
        return self.distorted.in_epoch

    def steps(self, first: int, last: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(step, samples of the mixture, int64) for the steps ``first`` .. ``last - 1``."""
        authentic = self.labels == AUTHENTIC
        rows = [np.flatnonzero(~authentic), np.flatnonzero(authentic)]
        steps = (order.steps(first, last) for order in (self.distorted, self.authentic))
        for (step, distorted), (_, authentics) in zip(*steps, strict=True):
            yield step, np.stack([rows[0][distorted], rows[1][authentics]], 1).reshape(-1)
