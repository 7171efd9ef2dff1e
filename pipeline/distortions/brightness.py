"""Types 16 to 18: brighten, darken, mean shift. Curves are the interpolating spline through their knots, clipped."""

from __future__ import annotations

import numpy as np

from pipeline.distortions.color import from_lab
from pipeline.distortions.normalise import look_up, table_bytes
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes


def parabola(middle: float) -> tuple[float, float]:
    """Coefficients of x^2 and x of the spline through (0, 0), (0.5, middle), (1, 1)."""
    return 2.0 - 4.0 * middle, 4.0 * middle - 1.0


def brighten(prepared: Prepared, amount: float) -> Bytes:
    """Type 16: two thirds the RGB curve, one third the same curve on L* alone."""
    return from_lab(prepared, bend=parabola(0.5 + amount / 2), share=2.0 / 3.0)


def darken(prepared: Prepared, amount: float) -> Bytes:
    """Type 17: the curve on R, G and B."""
    square, straight = parabola(0.5 - amount / 2)
    values = np.clip((square * prepared.unit + straight) * prepared.unit, 0.0, 1.0)
    return look_up(prepared.image, table_bytes(values, prepared.present))


def mean_shift(prepared: Prepared, offset: float) -> Bytes:
    """Type 18: add and clip; the stretch after it undoes most of the shift, as in the original."""
    values = np.clip(prepared.unit + offset, 0.0, 1.0)
    return look_up(prepared.image, table_bytes(values, prepared.present))
