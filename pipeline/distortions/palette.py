"""Type 6, stand-in: a minimum-variance palette and Floyd-Steinberg error diffusion.

The original calls rgb2ind, which is closed: minimum-variance palette, dithering with a five-bit inverse colour map.
Here the colour cube (32^3 cells) is cut greedily: always the box of greatest squared error, at the plane that leaves
the least (Wu, "Efficient statistical computations for optimal color quantization", Graphics Gems II, 1991). The order
of the cuts does not depend on the number of colours, so one sequence of 63 cuts holds the palettes of all levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.distortions.kernels import compiled, inlined, part
from pipeline.distortions.normalise import round_bytes
from pipeline.distortions.prepared import Prepared
from pipeline.distortions.types import Bytes, Floats

SIDE = 33
"""Cells per axis of the cumulative cube: 32 and a zero border."""


@compiled
def color_moments(planes: Any) -> Any:
    """Cumulative (count, R, G, B, R^2 + G^2 + B^2) over the 5-bit cube: float64 [33, 33, 33, 5], exact integers."""
    r, g, b = planes[0].reshape(-1), planes[1].reshape(-1), planes[2].reshape(-1)
    cube = np.zeros((SIDE, SIDE, SIDE, 5), np.float64)
    for i in range(r.size):
        red, green, blue = np.float64(r[i]), np.float64(g[i]), np.float64(b[i])
        cell = cube[(r[i] >> 3) + 1, (g[i] >> 3) + 1, (b[i] >> 3) + 1]
        cell[0] += 1.0
        cell[1] += red
        cell[2] += green
        cell[3] += blue
        cell[4] += red * red + green * green + blue * blue
    for x in range(1, SIDE):
        for y in range(1, SIDE):
            for z in range(1, SIDE):
                for m in range(5):
                    cube[x, y, z, m] += (
                        cube[x - 1, y, z, m]
                        + cube[x, y - 1, z, m]
                        + cube[x, y, z - 1, m]
                        - cube[x - 1, y - 1, z, m]
                        - cube[x - 1, y, z - 1, m]
                        - cube[x, y - 1, z - 1, m]
                        + cube[x - 1, y - 1, z - 1, m]
                    )
    return cube


@part
def _inside(cube: Any, box: Any, m: int) -> Any:
    """Moment ``m`` of the cells low < i <= high of ``box`` (low r, g, b, high r, g, b)."""
    a, b, c, d, e, f = box[0], box[1], box[2], box[3], box[4], box[5]
    return (
        cube[d, e, f, m]
        - cube[a, e, f, m]
        - cube[d, b, f, m]
        - cube[d, e, c, m]
        + cube[a, b, f, m]
        + cube[a, e, c, m]
        + cube[d, b, c, m]
        - cube[a, b, c, m]
    )


@part
def _explained(cube: Any, box: Any) -> Any:
    """|sum|^2 / count of a box; -1 for an empty one."""
    count = _inside(cube, box, 0)
    if count <= 0:
        return -1.0
    r, g, b = _inside(cube, box, 1), _inside(cube, box, 2), _inside(cube, box, 3)
    return (r * r + g * g + b * b) / count


@part
def _best_cut(cube: Any, box: Any) -> Any:
    """(axis, plane) of the cut that explains most; axis -1 if the box cannot be cut."""
    best, axis, plane = -1.0, -1, 0
    part = box.copy()
    for a in range(3):
        for cut in range(box[a] + 1, box[a + 3]):
            part[:] = box
            part[a + 3] = cut
            below = _explained(cube, part)
            part[:] = box
            part[a] = cut
            above = _explained(cube, part)
            if below >= 0 and above >= 0 and below + above > best:
                best, axis, plane = below + above, a, cut
    return axis, plane


@compiled
def cut_boxes(cube: Any, sizes: Any) -> Any:
    """Mean colours (float64 [len(sizes), 64, 3]) and numbers of colours (int64) of the palettes of ``sizes``,
    ascending.
    """
    boxes = np.zeros((64, 6), np.int64)
    boxes[0, 3:] = SIDE - 1
    error = np.zeros(64, np.float64)
    error[0] = _inside(cube, boxes[0], 4) - _explained(cube, boxes[0])
    palettes = np.zeros((sizes.size, 64, 3), np.float64)
    counts = np.zeros(sizes.size, np.int64)
    used, done = 1, 0
    while done < sizes.size:
        widest: Any = np.argmax(error[:used])
        stuck = error[widest] <= 0
        if used == sizes[done] or stuck:
            for k in range(used):
                for m in range(3):
                    palettes[done, k, m] = _inside(cube, boxes[k], m + 1) / _inside(cube, boxes[k], 0)
            counts[done] = used
            done += 1
            continue
        axis, plane = _best_cut(cube, boxes[widest])
        if axis < 0:
            error[widest] = 0.0
            continue
        boxes[used] = boxes[widest]
        boxes[widest, axis + 3] = plane
        boxes[used, axis] = plane
        for k in (widest, used):
            error[k] = _inside(cube, boxes[k], 4) - _explained(cube, boxes[k])
        used += 1
    return palettes, counts


@compiled
def inverse_map(palette: Any, count: int) -> Any:
    """Nearest of ``count`` colours (float32 [n, 3]) for each cell of the 5-bit cube, by its centre: uint8[32768]."""
    table = np.zeros(32768, np.uint8)
    best, number = np.zeros(32, np.float32), np.zeros(32, np.int32)
    for row in range(1024):
        red, green = np.float32((row >> 5) * 8 + 4), np.float32((row & 31) * 8 + 4)
        best[:] = np.float32(1e9)
        for k in range(count):
            dr, dg, blue, index = palette[k, 0] - red, palette[k, 1] - green, palette[k, 2], np.int32(k)
            plane = dr * dr + dg * dg
            for cell in range(32):
                db = blue - (np.float32(cell) * np.float32(8.0) + np.float32(4.0))
                distance = plane + db * db
                nearer = distance < best[cell]
                best[cell] = distance if nearer else best[cell]
                number[cell] = index if nearer else number[cell]
        for cell in range(32):
            table[row * 32 + cell] = number[cell]
    return table


@part
def _part(error: Any, sixteenths: Any) -> Any:
    """``error * sixteenths / 16`` to the nearest integer, halves away from zero."""
    product = error * sixteenths
    return (product + np.int32(8) + (product >> np.int32(31))) >> np.int32(4)


@inlined
def _place(image: Any, i: Any, at: Any, palette: Any, table: Any, here: Any, after: Any, e: Any, used: Any) -> Any:
    """Colour number of the pixel that starts at ``image[i]`` (flat), and its error in R, G, B for the next row.

    ``e`` is the error of the row above, ``at`` the pixel's place in the columns of errors: ``here`` is this column's,
    ``after`` the next one's, which takes its part.
    """
    zero, top = np.int32(0), np.int32(255)
    one, three, five, seven = np.int32(1), np.int32(3), np.int32(5), np.int32(7)
    u1, u2, u3 = np.uint64(1), np.uint64(2), np.uint64(3)
    r = np.int32(image[i]) + here[at] + _part(e[0], seven)
    g = np.int32(image[i + u1]) + here[at + u1] + _part(e[1], seven)
    b = np.int32(image[i + u2]) + here[at + u2] + _part(e[2], seven)
    r, g, b = min(max(r, zero), top), min(max(g, zero), top), min(max(b, zero), top)
    k = table[np.uint32((r >> 3) << 10 | (g >> 3) << 5 | (b >> 3))]
    used[k] = True
    p = np.uint64(k) * u3
    er, eg, eb = r - palette[p], g - palette[p + u1], b - palette[p + u2]
    after[at - u3] += _part(er, three)
    after[at - u2] += _part(eg, three)
    after[at - u1] += _part(eb, three)
    after[at] += _part(er, five)
    after[at + u1] += _part(eg, five)
    after[at + u2] += _part(eb, five)
    after[at + u3] += _part(er, one)
    after[at + u3 + u1] += _part(eg, one)
    after[at + u3 + u2] += _part(eb, one)
    return k, er, eg, eb


@compiled
def diffuse(image: Any, palette: Any, table: Any, out: Any, used: Any) -> None:
    """Floyd-Steinberg over ``image`` (H, W, 3) down the columns: colour numbers into ``out`` (H, W), ``used`` marks
    those seen.

    ``palette`` is int32[3 n]; each part of an error is rounded by itself, values are clipped to 0..255 before the
    look-up. Two columns go down together, the right one two rows behind, so that two chains of dependent steps overlap.
    """
    height, width, _ = image.shape
    first, second, third = (
        np.zeros(3 * (height + 2), np.int32),
        np.zeros(3 * (height + 2), np.int32),
        np.zeros(3 * (height + 2), np.int32),
    )
    flat = image.reshape(-1)
    nothing = (np.int32(0), np.int32(0), np.int32(0))
    for x in range(0, width, 2):
        e, f, both = nothing, nothing, x + 1 < width
        for y in range(height + 2):
            i, at = np.uint64(3 * (y * width + x)), np.uint64(3 * (y + 1))
            if y < height:
                k, r, g, b = _place(flat, i, at, palette, table, first, second, e, used)
                out[y, x] = k
                e = (r, g, b)
            if y >= 2 and both:
                j, to = i - np.uint64(6 * width - 3), at - np.uint64(6)
                k, r, g, b = _place(flat, j, to, palette, table, second, third, f, used)
                out[y - 2, x + 1] = k
                f = (r, g, b)
        first[:] = third
        second[:] = 0
        third[:] = 0


@compiled
def paint(numbers: Any, colors: Any, out: Any) -> None:
    """``out`` (n, 3) = ``colors[numbers]``."""
    for i in range(numbers.size):
        k = numbers[i]
        out[i, 0], out[i, 1], out[i, 2] = colors[k, 0], colors[k, 1], colors[k, 2]


def palettes_of(prepared: Prepared, sizes: tuple[float, ...]) -> dict[int, Floats]:
    """The palette (whole numbers, float64 [n, 3], bytes of the stretched source) of each size;
    fewer where fewer exist.
    """
    ascending = np.array(sorted(int(size) for size in sizes))
    planes = np.ascontiguousarray(np.moveaxis(prepared.pristine, 2, 0))
    palettes, counts = cut_boxes(color_moments(planes), ascending)
    return {int(size): np.floor(palettes[k, : counts[k]]) for k, size in enumerate(ascending)}


def color_quantization(prepared: Prepared, size: float, sizes: tuple[float, ...]) -> Bytes:
    """Type 6, stand-in: the stretched source in ``size`` colours; ``sizes`` are those of all levels."""
    palette = prepared.keep("palettes", lambda: palettes_of(prepared, sizes))[int(size)]
    table = inverse_map(palette.astype(np.float32), len(palette))
    height, width, _ = prepared.shape
    numbers = np.empty((height, width), np.uint8)
    used = np.zeros(len(palette), np.bool_)
    diffuse(prepared.pristine, palette.astype(np.int32).reshape(-1), table, numbers, used)
    unit = palette / 255.0
    low, high = unit[used].min(), unit[used].max()
    colors = round_bytes((unit - low) / (high - low) if high > low else unit)
    out = np.empty(prepared.shape, np.uint8)
    paint(numbers.reshape(-1), colors, out.reshape(-1, 3))
    return out
