"""The golden figures as a list of rows, with the photographs and the original's draws."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyarrow.parquet as pq

from pipeline.distortions import TYPES, Prepared

FOLDER = Path(__file__).parent.parent / "golden" / "kadis"


@functools.cache
def rows() -> list[dict[str, Any]]:
    return pq.read_table(FOLDER / "golden_samples.parquet").to_pylist()


@functools.cache
def prepared(name: str) -> Prepared:
    return Prepared(imagecodecs.png_decode((FOLDER / f"{name}.png").read_bytes())[..., :3])


def draws(kind: int, level: int, shape: tuple[int, int, int], note: str | None) -> Any:
    """The draws that the original consumed for this row, None for a deterministic type."""
    if note is None:
        return None
    height, width, _ = shape
    state = np.random.RandomState(1234)
    count = int(TYPES[kind - 1].levels[level - 1])
    if kind == 3:
        return int(re.findall(r"\d+", note)[0])
    if kind == 5:
        return state.random_sample(2)
    if kind in (11, 12):
        return state.standard_normal(height * width * 3).reshape(shape, order="F")
    if kind in (13, 14):
        return state.random_sample(height * width * 3).reshape(shape, order="F")
    if kind == 19:
        fields = [state.standard_normal(height * width).reshape((height, width), order="F") for _ in range(10)]
        return np.stack(fields).reshape(5, 2, height, width)
    return state.random_sample((count, 4 if kind == 20 else 5))
