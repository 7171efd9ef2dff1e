"""Extractors of two numbers that worker processes can import."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Toy:
    """The mean and 1; a process that sees an image of the height ``deadly`` is killed, as for want of memory."""

    deadly: int = 0
    smallest_side: int = 1
    bytes_per_pixel: float = 10.0
    name: str = "toy"
    dim: int = 2
    sha256: str = "ab" * 32

    def extract(self, images: Sequence[np.ndarray]) -> np.ndarray:
        if any(len(image) == self.deadly for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return np.array([[image.mean(), 1] for image in images], np.float32)
