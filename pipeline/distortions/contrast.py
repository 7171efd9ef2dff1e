"""Types 24 and 25: sharpening and contrast."""

from __future__ import annotations

import numpy as np

from pipeline.distortions.color import from_lab
from pipeline.distortions.normalise import look_up, table_bytes
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes, Floats


def high_sharpen(prepared: Prepared, amount: float) -> Bytes:
    """Type 24: unsharp masking of L* with a Gaussian of sigma 3 (13 taps)."""
    return from_lab(prepared, smooth=prepared.smooth_light, amount=amount)


def contrast_curve(x: Floats, amount: float) -> Floats:
    """The not-a-knot cubic spline through (0,0), (.3, .25-v/4), (.5,.5), (.7, .75+v/4), (1,1), clipped;
    v = ``amount``.
    """
    from scipy.interpolate import CubicSpline

    knots = [0.0, 0.25 - amount / 4, 0.5, 0.75 + amount / 4, 1.0]
    return np.asarray(np.clip(CubicSpline([0.0, 0.3, 0.5, 0.7, 1.0], knots)(x), 0.0, 1.0))


def contrast_change(prepared: Prepared, amount: float) -> Bytes:
    """Type 25: the curve on R, G and B."""
    return look_up(prepared.image, table_bytes(contrast_curve(prepared.unit, amount), prepared.present))
