"""The radius law of dead leaves, and the law of the leaves that can touch a window.

Radii have density K r^-s on [r_min, r_max] (the paper: s = 3, sec. 3.1). A disc touches a W x H window iff its centre
lies in the window dilated by r, an area of WH + 2 r (W + H) + pi r^2. The leaves to draw are therefore a mixture of

    inside   weight WH I(s)           centre uniform in the window,                 radius ~ r^-s
    strips   weight 2 (W + H) I(s-1)  centre uniform in a strip of width r,         radius ~ r^-(s-1)
    corners  weight pi I(s-2)         centre uniform in a quarter disc of radius r, radius ~ r^-(s-2)

with I(e) the integral of r^-e over [r_min, r_max]. No draw is rejected and the law has no edge effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST, LARGEST = 2**-8, 16_384
"""Of a radius in pixels: squares of fixed-point distances must fit into 63 bits (of a side too), and the number of
leaves grows as r_min^-2: at 2^-8 an image of 512 x 512 takes minutes, and radii are still 256 steps or more."""

STEEPEST = 64.0
"""Largest exponent, of either sign: powers of the radii must be finite."""


def power_integral(low: float, high: float, exponent: float) -> float:
    """Integral of r^-exponent over [low, high]; at low == high the density itself, which keeps mixtures' ratios."""
    if low == high:
        return float(low**-exponent)
    if exponent == 1.0:
        return float(np.log(high / low))
    return float((low ** (1 - exponent) - high ** (1 - exponent)) / (exponent - 1))


@dataclass(frozen=True)
class HittingLaw:
    """The mixture for one window and one radius law.

    ``height`` and ``width`` in pixels, 1 to 16,384; 2^-8 <= ``r_min`` <= ``r_max`` <= 16,384 in pixels;
    ``exponent`` from -64 to 64 (3 in the paper). ``ValueError`` otherwise.
    """

    height: int
    width: int
    r_min: float
    r_max: float
    exponent: float = 3.0

    def __post_init__(self) -> None:
        """Refuse what the fixed-point arithmetic cannot hold."""
        if not (1 <= self.height <= LARGEST and 1 <= self.width <= LARGEST):
            raise ValueError(f"dead leaves: size {self.height} x {self.width}, allowed 1 to {LARGEST} pixels a side")
        if not SMALLEST <= self.r_min <= self.r_max <= LARGEST:
            allowed = f"allowed {SMALLEST} <= r_min <= r_max <= {LARGEST}"
            raise ValueError(f"dead leaves: r_min {self.r_min}, r_max {self.r_max}, {allowed}")
        if not -STEEPEST <= self.exponent <= STEEPEST:
            raise ValueError(f"dead leaves: exponent {self.exponent}, allowed {-STEEPEST} to {STEEPEST}")

    def weights(self) -> np.ndarray:
        """Float64 [3]: probabilities of inside, strips and corners (98.5 % inside at 512 x 512, r in [1, 512])."""
        integrals = [power_integral(self.r_min, self.r_max, self.exponent - tilt) for tilt in range(3)]
        areas = [self.height * self.width, 2.0 * (self.height + self.width), np.pi]
        mass = np.array(integrals) * np.array(areas)
        return np.asarray(mass / mass.sum())

    def table(self) -> np.ndarray:
        """Float64 [4, 5], what the samplers need, radii in pixels.

        Rows 0 to 2, one per part: the first u in [0, 1) of the part, then its quantile function of v = u - first:
        kind 0: low; kind 1: low exp(slope v); kind 2: (low - slope v)^power. Row 3: 0, height, width, 0, 0.
        """
        weights = self.weights()
        rows = np.zeros((4, 5))
        for part in range(3):
            exponent = self.exponent - part
            if self.r_min == self.r_max:
                terms = (0.0, self.r_min, 0.0, 0.0)
            elif exponent == 1.0:
                terms = (1.0, self.r_min, np.log(self.r_max / self.r_min) / weights[part], 0.0)
            else:
                low, high = self.r_min ** (1 - exponent), self.r_max ** (1 - exponent)
                terms = (2.0, low, (low - high) / weights[part], 1 / (1 - exponent))
            rows[part] = weights[:part].sum(), *terms
        rows[3, 1:3] = self.height, self.width
        return rows
