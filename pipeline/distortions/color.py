"""Types 4, 5, 7 and 8: colour diffusion, colour shift, and saturation in HSV and in Lab. (Type 6 is palette.py.)"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from pipeline.distortions.blur_kernels import gaussian_taps
from pipeline.distortions.colorspace import lab_to_rgb
from pipeline.distortions.kernels import blur_rows, compiled, exact, exact_part, quantise
from pipeline.distortions.normalise import is_flat, look_up, round_bytes, stretch_clipped
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes, Floats

GRAY = (0.298936, 0.587043, 0.114021)
"""Weights of R, G and B in the luma that finds the edges."""

ROWS = 64
"""Rows that are turned to luma at a time, so that no float copy of the whole image is made."""


def from_lab(
    prepared: Prepared,
    *,
    smooth: Floats | None = None,
    amount: float = 0.0,
    chroma: tuple[Floats, Floats] | None = None,
    factor: float = 1.0,
    bend: tuple[float, float] = (0.0, 1.0),
    share: float = 0.0,
) -> Bytes:
    """The source through Lab and back, clipped and stretched, with what types 4, 8, 16 and 24 change on the way.

    L + amount (L - smooth); a and b, or ``chroma`` in their place, times ``factor``; with ``share`` > 0, L and the
    bytes go through the parabola ``bend`` and the bytes' result is mixed in with that share.
    """
    lab = prepared.lab
    a_star, b_star = chroma or (lab[1], lab[2])
    how = np.array([amount, factor, share, *bend, prepared.first, 1.0 / prepared.span], np.float32)
    out = np.empty((3, *prepared.shape[:2]), np.uint8)
    smoothed = lab[0] if smooth is None else smooth

    def make(low: np.float32, scale: np.float32) -> tuple[float, float]:
        low, high = lab_to_rgb(prepared.planes, lab[0], smoothed, a_star, b_star, how, low, scale, out)
        return float(low), float(high)

    stretch_clipped(make)
    return np.asarray(cv2.merge([out[0], out[1], out[2]]))


def color_diffusion(prepared: Prepared, amount: float) -> Bytes:
    """Type 4: a and b blurred with sigma 1.5 amount + 2 and multiplied by ``amount``; L stays."""
    taps = gaussian_taps(1.5 * amount + 2.0).astype(np.float32)
    chroma = np.empty((2, *prepared.shape[:2]), np.float32)
    for plane, target in zip(prepared.lab[1:], chroma, strict=True):
        blur_rows(plane, taps, 1, target)
    return from_lab(prepared, chroma=(chroma[0], chroma[1]), factor=amount)


def saturation_lab(prepared: Prepared, factor: float) -> Bytes:
    """Type 8: a and b times ``factor``; 1 is the identity."""
    return prepared.pristine.copy() if factor == 1 else from_lab(prepared, factor=factor)


@compiled
def _desaturate(planes: Any, tenths: Any, out: Any) -> None:
    """``out = (10 - tenths) V + tenths c`` (int16) with V the greatest of R, G, B: ten times the result in bytes,
    exact.
    """
    r, g, b = planes[0].reshape(-1), planes[1].reshape(-1), planes[2].reshape(-1)
    flat = out.reshape(-1)
    keep = np.int32(10 - tenths)
    factor = np.int32(tenths)
    size = np.uint64(r.size)
    for i in range(size):
        value = max(r[i], max(g[i], b[i]))
        base = keep * np.int32(value)
        flat[i] = np.int16(base + factor * np.int32(r[i]))
        flat[size + i] = np.int16(base + factor * np.int32(g[i]))
        flat[size + size + i] = np.int16(base + factor * np.int32(b[i]))


def saturation_hsv(prepared: Prepared, factor: float) -> Bytes:
    """Type 7: S times ``factor`` with H and V kept and S not clipped, which is V + factor (c - V) with V = max(R, G,
    B).

    In integers, but for results exactly between two bytes: there the last bit of the original's doubles decides.
    """
    tenths = round(10 * factor)
    out = np.empty((3, *prepared.shape[:2]), np.int16)
    _desaturate(prepared.planes, tenths, out)
    low, high = int(out.min()), int(out.max())
    first, span = (low, high - low) if high > low else (10 * prepared.first, 10 * prepared.span)
    planes = np.empty(out.shape, np.uint8)
    _scale(out.reshape(-1), first, span, planes.reshape(-1))
    if high > low and _can_tie(span, math.gcd(tenths, 10)):
        tie = 510 * np.arange(span + 1) % (2 * span) == span
        pixels = prepared.planes.reshape(3, -1)
        _settle_ties(pixels, prepared.unit, float(factor), out.reshape(-1), first, tie, planes.reshape(-1))
    return np.asarray(cv2.merge([planes[0], planes[1], planes[2]]))


def _can_tie(span: int, step: int) -> bool:
    """Whether 255 d / span has the fraction 1/2 for some multiple d of ``step``, which divides ``span``."""
    steps = span // step
    return steps // math.gcd(steps, 255) % 2 == 0


@exact_part
def _through_hsv(r: float, g: float, b: float, channel: int, factor: float) -> float:
    """One channel of RGB to HSV, S times ``factor``, and back: each step a double, as Octave's."""
    most, least = max(r, max(g, b)), min(r, min(g, b))
    hue, saturation = 0.0, 0.0
    if most > least:
        saturation = (1.0 - least / most) * factor
        if most == r:
            hue = 1.0 / 6.0 * (g - b) / (most - least)
            hue = hue + 1.0 if hue < 0.0 else hue
        elif most == g:
            hue = 1.0 / 3.0 + 1.0 / 6.0 * (b - r) / (most - least)
        else:
            hue = 2.0 / 3.0 + 1.0 / 6.0 * (r - g) / (most - least)
    hue = hue - 2.0 / 3.0 if channel == 0 else (hue - 1.0 / 3.0 if channel == 2 else hue)
    hue = hue + 1.0 if hue < 0.0 else hue
    share = 6.0 * hue if hue < 1.0 / 6.0 else (1.0 if hue < 0.5 else (4.0 - 6.0 * hue if hue < 2.0 / 3.0 else 0.0))
    return most * (1.0 - saturation) + saturation * most * share


@exact
def _settle_ties(planes: Any, unit: Any, factor: float, values: Any, first: int, tie: Any, out: Any) -> None:
    """Write the bytes of those flat ``values`` again that have ``tie[value - first]``, computed in doubles."""
    size, span = planes.shape[1], tie.size - 1
    low, high = np.inf, -np.inf
    for turn in range(2):
        for i in range(values.size):
            away = np.int64(values[i]) - first
            if not (tie[away] if turn else away == 0 or away == span):
                continue
            channel, x = i // size, i % size
            made = _through_hsv(unit[planes[0, x]], unit[planes[1, x]], unit[planes[2, x]], channel, factor)
            if turn:
                out[i] = np.uint8(np.floor((made - low) / (high - low) * 255.0 + 0.5))
            else:
                low, high = min(low, made), max(high, made)


@compiled
def _scale(values: Any, first: int, span: int, out: Any) -> None:
    """``out = floor(255 (values - first) / span + 0.5)``: the half byte added is 1e-3 of a step, ties stay upwards."""
    scale = np.float32(255.0 / span)
    start = np.int32(first)
    for i in range(values.size):
        out[i] = np.uint8(np.int32(np.float32(np.int32(values[i]) - start) * scale + np.float32(0.5)))


@compiled
def _gradient(gray: Any, out: Any) -> None:
    """Magnitude of the central differences (one-sided at the edges) of a plane."""
    height, width = gray.shape
    for y in range(height):
        above, below = gray[max(y - 1, 0)], gray[min(y + 1, height - 1)]
        line, target = gray[y], out[y]
        factor = np.float32(0.5) if 0 < y < height - 1 else np.float32(1.0)
        for x in range(np.uint64(1), np.uint64(width - 1)):
            dx = np.float32(0.5) * (line[x + np.uint64(1)] - line[x - np.uint64(1)])
            dy = factor * (below[x] - above[x])
            target[x] = np.sqrt(dx * dx + dy * dy)
        for x in (0, width - 1):
            dx = line[min(x + 1, width - 1)] - line[max(x - 1, 0)]
            dy = factor * (below[x] - above[x])
            target[x] = np.sqrt(dx * dx + dy * dy)


def _unit_range(values: Floats) -> Floats:
    """The stretch of a float plane, in place; a constant one stays."""
    low, high = values.min(), values.max()
    if high > low:
        values -= low
        values *= np.float32(1.0) / (high - low)
    return values


def _order_statistics(values: Floats) -> tuple[float, float]:
    """The 1 % and 99 % marks of the original: sorted value number round(0.99 n) of e, and 1 minus that of 1 - e."""
    size = values.size
    upper = math.floor(size * 0.99 + 0.5) - 1
    lower = size - 1 - upper
    parted = np.partition(values, (lower, upper), axis=None)
    return float(parted[lower]), float(parted[upper])


def edge_mask(prepared: Prepared) -> Floats:
    """Where colour shift acts, (H, W) float32 in [0, 1]: blurred gradient magnitude of luma,
    twice clipped and stretched.
    """
    gray: Any = np.empty(prepared.shape[:2], np.float32)
    for top in range(0, len(gray), ROWS):
        rows = prepared.image[top : top + ROWS].astype(np.float32)
        gray[top : top + ROWS] = cv2.transform(rows, np.array([GRAY], np.float32)).reshape(len(rows), -1)
    edges, mask = np.empty_like(gray), np.empty_like(gray)
    _gradient(gray, edges)
    blur_rows(edges, gaussian_taps(4.0).astype(np.float32), 1, mask)
    mask = _unit_range(np.clip(_unit_range(mask), 0.1, 1.0, out=mask))
    low, high = _order_statistics(mask)
    return _unit_range(np.clip(mask, low, high, out=mask))


@compiled
def _blend_shifted(green: Any, mask: Any, down: int, right: int, out: Any) -> None:
    """``out = G + mask (G shifted down and right - G)`` in bytes' units, edges replicated."""
    height, width = green.shape
    for y in range(height):
        line, target, weight, moved = green[y], out[y], mask[y], green[max(y - down, 0)]
        for x in range(right):
            target[x] = np.float32(line[x]) + weight[x] * (np.float32(moved[0]) - np.float32(line[x]))
        inner, source = line[right:], moved[: width - right]
        inner_weight, inner_target = weight[right:], target[right:]
        for x in range(width - right):
            base = np.float32(inner[x])
            inner_target[x] = base + inner_weight[x] * (np.float32(source[x]) - base)


def shift_of(amount: float, direction: Floats) -> tuple[int, int]:
    """Rows and columns of a shift of length ``amount`` along ``direction`` (two numbers >= 0), each rounded half up."""
    length = math.hypot(float(direction[0]), float(direction[1]))
    if length == 0.0:
        return 0, 0
    return (
        math.floor(amount * float(direction[0]) / length + 0.5),
        math.floor(amount * float(direction[1]) / length + 0.5),
    )


def color_shift(prepared: Prepared, amount: float, direction: Floats) -> Bytes:
    """Type 5: G moved by ``amount`` pixels along ``direction`` where the image has edges; R and B stay."""
    mask = prepared.keep("edge_mask", lambda: edge_mask(prepared))
    down, right = shift_of(amount, direction)
    red, green, blue = prepared.planes
    moved = np.empty(green.shape, np.float32)
    _blend_shifted(green, mask, down, right, moved)
    low = min(float(moved.min()), float(red.min()), float(blue.min()))
    high = max(float(moved.max()), float(red.max()), float(blue.max()))
    if is_flat(low, high, moved.dtype):
        return prepared.pristine.copy()
    moved_bytes = np.empty(green.shape, np.uint8)
    quantise(moved.reshape(-1), low, 255.0 / (high - low), moved_bytes.reshape(-1))
    table = round_bytes((np.arange(256.0) - low) / (high - low))
    return np.asarray(cv2.merge([look_up(red, table), moved_bytes, look_up(blue, table)]))


def draw_direction(generator: np.random.Generator) -> Floats:
    """Two uniforms: a direction in the first quadrant."""
    return generator.random(2)
