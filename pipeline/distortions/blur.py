"""Types 1 to 3: Gaussian, lens and motion blur.

They are linear, so the second stretch cancels the first, and the raw bytes are filtered.
"""

from __future__ import annotations

import numpy as np

from pipeline.distortions.blur_kernels import disc, folded_taps, gaussian_taps, line, tap_list
from pipeline.distortions.kernels import blur_rows, correlate, correlate_folded
from pipeline.distortions.normalise import stretch_values
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes


def gaussian_blur(prepared: Prepared, sigma: float) -> Bytes:
    """Type 1: 2 ceil(2 sigma) + 1 taps, replicated edges. float64: bit for bit KADID-10k's own images."""
    taps = gaussian_taps(sigma)
    if np.count_nonzero(taps) == 1:
        return prepared.pristine.copy()
    out = np.empty(prepared.rows.shape, np.float64)
    blur_rows(prepared.rows, taps, 3, out)
    return stretch_values(out, prepared.first, prepared.span, prepared.shape)


def lens_blur(prepared: Prepared, radius: float) -> Bytes:
    """Type 2: a disc of ``radius`` pixels, rim pixels weighted by their area inside it."""
    rows, columns, weights = folded_taps(disc(int(radius)))
    out = np.empty(prepared.rows.shape, np.float32)
    correlate_folded(prepared.rows, rows, columns, weights, int(radius), 3, out)
    return stretch_values(out, prepared.first, prepared.span, prepared.shape)


def motion_blur(prepared: Prepared, length: float, angle: int) -> Bytes:
    """Type 3: a line of ``length`` pixels at ``angle`` (whole degrees, 0..180, counter-clockwise)."""
    kernel = line(length, int(angle))
    if np.count_nonzero(kernel) == 1:
        return prepared.pristine.copy()
    rows, columns, weights = tap_list(kernel)
    out = np.empty(prepared.rows.shape, np.float32)
    correlate(prepared.rows, rows, columns, weights, 3, out)
    return stretch_values(out, prepared.first, prepared.span, prepared.shape)


def draw_angle(generator: np.random.Generator) -> int:
    """Whole degrees, each of 0..180 equally likely (0 and 180 are the same line)."""
    return int(generator.integers(0, 180, endpoint=True))
