"""Compiled loops that several distortions share: correlation with a few taps, separable blur, rounding to bytes.

How they are written, and why (512 x 512 x 3, one core):

- Inner loops read ``array[offset + x]`` with unsigned offsets. A signed index keeps numba's negative-index test, and
the vectoriser then gives up or gathers (21 taps: 3.6 ms instead of 0.5).
- Eight taps a sweep with one accumulator row: one sweep needs at most eight alias checks, which is where LLVM stops.
- Only ``contract`` of the fast-math flags: fused multiply-add, no reordering. Bits do not depend on vector width.
- No parallel loops: one image is one thread's work, so bits do not depend on the number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from pipeline.distortions.types import Bytes, Floats

Function = TypeVar("Function", bound=Callable[..., Any])


_make: Any = functools.partial(njit, nogil=True, fastmath={"contract"}, error_model="numpy", no_cfunc_wrapper=True)


def compiled(function: Function) -> Function:
    """``function`` compiled by numba when it is first called, without the GIL, kept in numba's cache on disk.

    The cache identifies a loop by its own file: a compiled loop only calls ``part`` functions of the same file.
    """
    return cast(Function, _make(cache=True)(function))


def exact(function: Function) -> Function:
    """As ``compiled`` without fused multiply-add: doubles come out as the original's, to the last bit."""
    return cast(Function, _make(cache=True, fastmath=False)(function))


def part(function: Function) -> Function:
    """``function`` as a part of the ``compiled`` loops of its file: not to be called from Python, not cached."""
    return cast(Function, _make(no_cpython_wrapper=True)(function))


def exact_part(function: Function) -> Function:
    """As ``part``, for the ``exact`` loops of its file."""
    return cast(Function, _make(no_cpython_wrapper=True, fastmath=False)(function))


def inlined(function: Function) -> Function:
    """As ``part``, written into its caller before it is compiled: for one that the back end would leave a call."""
    return cast(Function, _make(inline="always")(function))


TAPS = 8
"""Taps of one sweep; tap lists are padded with zero weights to a multiple of it."""

BAND = 32
"""Output rows that are made from one float32 band: 40 rows of 512 pixels are 250 kB, which stays in the L2."""


@part
def sweep(target: Any, at: Any, width: Any, source: Any, offsets: Any, weights: Any, first: int) -> None:
    """Eight shifted and weighted stretches of a flat ``source`` into ``target[at : at + width]``;
    added unless first is 0.
    """
    o0, o1, o2, o3 = offsets[first], offsets[first + 1], offsets[first + 2], offsets[first + 3]
    o4, o5, o6, o7 = offsets[first + 4], offsets[first + 5], offsets[first + 6], offsets[first + 7]
    w0, w1, w2, w3 = weights[first], weights[first + 1], weights[first + 2], weights[first + 3]
    w4, w5, w6, w7 = weights[first + 4], weights[first + 5], weights[first + 6], weights[first + 7]
    if first == 0:
        for x in range(width):
            low = w0 * source[o0 + x] + w1 * source[o1 + x] + w2 * source[o2 + x] + w3 * source[o3 + x]
            high = w4 * source[o4 + x] + w5 * source[o5 + x] + w6 * source[o6 + x] + w7 * source[o7 + x]
            target[at + x] = low + high
    else:
        for x in range(width):
            low = w0 * source[o0 + x] + w1 * source[o1 + x] + w2 * source[o2 + x] + w3 * source[o3 + x]
            high = w4 * source[o4 + x] + w5 * source[o5 + x] + w6 * source[o6 + x] + w7 * source[o7 + x]
            target[at + x] += low + high


@part
def replicate_ends(line: Any, start: int, width: int, pad: int, step: int) -> None:
    """Repeat the first and last pixel (``step`` samples) of ``line[start :
    start + width]`` over ``pad`` samples each way.
    """
    for x in range(0, pad, step):
        for c in range(step):
            line[start - pad + x + c] = line[start + c]
            line[start + width + x + c] = line[start + width - step + c]


@compiled
def blur_rows(source: Any, weights: Any, step: int, out: Any) -> None:
    """Separable symmetric blur of ``source`` (H, N) into ``out`` (H, N), edges replicated.

    ``weights`` are the taps at -r..r and zeros up to a multiple of eight, in the type of ``out``; ``step`` is the
    distance of horizontal neighbours in a row (3 for interleaved RGB, 1 for a plane).
    """
    height, width = source.shape
    taps, last = weights.size, weights.size - 1
    while last > 0 and weights[last] == 0:
        last -= 1
    radius = last // 2
    pad = radius * step
    line = np.zeros(width + 2 * pad, out.dtype)
    flat_in, flat_out = source.reshape(-1), out.reshape(-1)
    vertical, horizontal = np.zeros(taps, np.uint64), np.zeros(taps, np.uint64)
    for k in range(taps):
        horizontal[k] = np.uint64(min(k, last) * step)
    for y in range(height):
        for k in range(taps):
            vertical[k] = np.uint64(min(max(y + min(k, last) - radius, 0), height - 1) * width)
        for first in range(0, taps, TAPS):
            sweep(line, np.uint64(pad), np.uint64(width), flat_in, vertical, weights, first)
        replicate_ends(line, pad, width, pad, step)
        for first in range(0, taps, TAPS):
            sweep(flat_out, np.uint64(y * width), np.uint64(width), line, horizontal, weights, first)


@part
def _load_band(source: Any, top: int, rows: int, pad: int, step: int, band: Any) -> None:
    """Rows top .. top + rows - 1 of bytes (H, N) as float32 into ``band``, ``pad`` samples wider at each end,
    replicated.
    """
    height, width = source.shape
    flat = source.reshape(-1)
    for k in range(rows):
        start = k * (width + 2 * pad) + pad
        s, t = np.uint64(min(max(top + k, 0), height - 1) * width), np.uint64(start)
        for x in range(np.uint64(width)):
            band[t + x] = flat[s + x]
        replicate_ends(band, start, width, pad, step)


@compiled
def correlate(source: Any, rows: Any, columns: Any, weights: Any, step: int, out: Any) -> None:
    """Correlate bytes (H, N) with a list of taps, edges replicated, into float32 ``out`` (H, N).

    Tap k has weight ``weights[k]`` at ``rows[k]`` rows and ``columns[k]`` pixels from the centre; the lists are padded
    with zero weights to a multiple of eight. Works in bands, so the memory beyond ``out`` does not grow with the
    height.
    """
    height, width = source.shape
    taps = weights.size
    radius = max(np.max(np.abs(rows)), np.max(np.abs(columns)))
    pad = radius * step
    stride = width + 2 * pad
    band = np.zeros((BAND + 2 * radius) * stride, np.float32)
    offsets = np.zeros(taps, np.uint64)
    flat = out.reshape(-1)
    for top in range(0, height, BAND):
        count = min(BAND, height - top)
        _load_band(source, top - radius, count + 2 * radius, pad, step, band)
        for y in range(count):
            for k in range(taps):
                offsets[k] = np.uint64((y + radius + rows[k]) * stride + pad + columns[k] * step)
            for first in range(0, taps, TAPS):
                sweep(flat, np.uint64((top + y) * width), np.uint64(width), band, offsets, weights, first)


@part
def _add(a: Any, at: Any, b: Any, bt: Any, size: Any, out: Any, to: Any) -> None:
    """``out[to :] = a[at :] + b[bt :]`` over ``size`` values, out in int16. A function,
    or the loop does not vectorise.
    """
    for x in range(size):
        out[to + x] = np.int16(np.int32(a[at + x]) + np.int32(b[bt + x]))


@part
def _fold(band: Any, y: int, radius: int, stride: int, pairs: Any, totals: Any) -> None:
    """Row d of ``pairs``: the rows y - d and y + d added (0: row y alone); row d of ``totals``: the pairs 0..d added.

    int16 holds 17 rows of bytes (4,335) and halves the traffic with the L2.
    """
    size, centre = np.uint64(stride), np.uint64((y + radius) * stride)
    for x in range(size):
        pairs[x] = band[centre + x]
        totals[x] = band[centre + x]
    for d in range(1, radius + 1):
        above, below, to = (
            np.uint64((y + radius - d) * stride),
            np.uint64((y + radius + d) * stride),
            np.uint64(d * stride),
        )
        _add(band, above, band, below, size, pairs, to)
        _add(totals, to - size, pairs, to, size, totals, to)


@compiled
def correlate_folded(source: Any, rows: Any, columns: Any, weights: Any, radius: int, step: int, out: Any) -> None:
    """``correlate`` for kernels of at most 17 rows that are their own mirror image in the row axis.

    The taps act on 2 (radius + 1) folded rows: number d is the sum of the rows d above and d below, number radius + 1
    + d the sum of all up to there. So a disc's inner columns are one tap each: radius 8 takes 48 taps in place of 197.
    """
    height, width = source.shape
    taps = weights.size
    pad = radius * step
    stride = width + 2 * pad
    band = np.zeros((BAND + 2 * radius) * stride, np.uint8)
    folded = np.zeros(2 * (radius + 1) * stride, np.int16)
    offsets = np.zeros(taps, np.uint64)
    for k in range(taps):
        offsets[k] = np.uint64(rows[k] * stride + pad + columns[k] * step)
    flat = out.reshape(-1)
    for top in range(0, height, BAND):
        count = min(BAND, height - top)
        _load_band(source, top - radius, count + 2 * radius, pad, step, band)
        for y in range(count):
            _fold(band, y, radius, stride, folded, folded[(radius + 1) * stride :])
            for first in range(0, taps, TAPS):
                sweep(flat, np.uint64((top + y) * width), np.uint64(width), folded, offsets, weights, first)


@compiled
def quantise(values: Any, low: float, scale: float, out: Bytes) -> None:
    """``out = floor((values - low) * scale + 0.5)`` over flat arrays; not-a-number becomes 0.

    In the type of ``values``.
    """
    shift = values.dtype.type(low)
    factor = values.dtype.type(scale)
    half = values.dtype.type(0.5)
    zero = values.dtype.type(0.0)
    for i in range(values.size):
        value = (values[i] - shift) * factor + half
        out[i] = np.uint8(np.int32(value if value > zero else zero))


def padded_taps(weights: Floats, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """The tap lists with zeros appended up to a multiple of eight, as the kernels want them."""
    extra = -len(weights) % TAPS
    return tuple(np.concatenate([values, np.zeros(extra, values.dtype)]) for values in (weights, *others))


@compiled
def histogram(values: Bytes) -> Any:
    """How often each of 256 values occurs in flat bytes: int64[256]. Four tables,
    so that equal neighbours do not wait.
    """
    tables = np.zeros((4, 256), np.int64)
    whole = values.size - values.size % 4
    for i in range(0, whole, 4):
        tables[0, values[i]] += 1
        tables[1, values[i + 1]] += 1
        tables[2, values[i + 2]] += 1
        tables[3, values[i + 3]] += 1
    for i in range(whole, values.size):
        tables[0, values[i]] += 1
    return tables[0] + tables[1] + tables[2] + tables[3]
