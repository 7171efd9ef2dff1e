"""A perceptual hash: equal for what looks equal, near for near duplicates."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.images.arrays import check


def perceptual_hash(image: np.ndarray) -> int:
    """A 64-bit DCT hash of the luma: near duplicates differ in few bits.

    The 8 x 8 lowest frequencies of a 32 x 32 thumbnail against their median.
    """
    check(image)
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    low = cv2.dct(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA))[:8, :8].ravel()
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
