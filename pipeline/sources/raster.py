"""Compiled kernels: drawing leaves from the hitting law and laying them front to back until every pixel is covered.

A leaf uses two 64-bit words: the first gives its part of the mixture and its radius, the second its centre (32 bits a
coordinate). Open pixels are bits, an 8 x 8 tile to a word, so that a small leaf on covered ground costs at most four
ANDs: of the 63,000 leaves of a 512 x 512 image with r in [1, 512] only 10,000 find an open pixel. All geometry is in
whole 1/65,536 pixel: the kernels and the numpy reference agree to the bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_BYTE = np.uint64(0xFF)
_EVERY_BYTE = np.uint64(0x0101010101010101)
# A de Bruijn sequence: multiplying a single bit by it puts a number unique to that bit into the top six bits.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BIT = np.zeros(64, np.int64)
for _k in range(64):
    _BIT[(int(_DE_BRUIJN) << _k & 0xFFFFFFFFFFFFFFFF) >> 58] = _k

DENSE = 12
"""Open pixels of a tile from which all 64 are tested at once, not one after another (8 to 20 are equally quick)."""

COUNTS = types.UniTuple(types.int64, 3)  # type: ignore[no-untyped-call]
_LAW = types.float64[:, ::1]
_WORDS = types.uint64[::1]
_TABLE = types.int64[:, ::1]
_TILES = types.uint64[:, ::1]
_LABELS = types.int32[:, ::1]


@njit(types.float64(types.float64, types.float64[:, ::1], types.int64), cache=True, nogil=True)
def _radius(u, law, part):  # type: ignore[no-untyped-def]
    kind, low, slope, power = law[part, 1], law[part, 2], law[part, 3], law[part, 4]
    v = u - law[part, 0]
    if kind == 0.0:
        return low
    if kind == 1.0:
        return low * np.exp(slope * v)
    return (low - slope * v) ** power


@njit(types.void(_WORDS, _LAW, types.int64, _TABLE, types.int64), cache=True, nogil=True)
def _outside(raw, law, k, drawn, height):  # type: ignore[no-untyped-def]
    """Draw leaf ``k`` whose centre lies outside the window: 1.5 % of the leaves at 512 x 512, r in [1, 512]."""
    width = int(law[3, 2])
    u = np.int64(raw[2 * k] >> np.uint64(11)) * 2.0**-53
    a = np.int64(raw[2 * k + 1] >> np.uint64(32)) * 2.0**-32
    b = np.int64(raw[2 * k + 1] & np.uint64(0xFFFFFFFF)) * 2.0**-32
    if u < law[2, 0]:
        radius = _radius(u, law, 1)
        place, depth = a * (2.0 * (height + width)), b * radius
        if place < width:
            x, y = place, -depth
        elif place < 2.0 * width:
            x, y = place - width, height + depth
        elif place < 2.0 * width + height:
            x, y = -depth, place - 2.0 * width
        else:
            x, y = width + depth, place - 2.0 * width - height
    else:
        radius = _radius(u, law, 2)
        reach = radius * np.sqrt(b)
        x, y = reach * np.cos(2.0 * np.pi * a), reach * np.sin(2.0 * np.pi * a)
        x += width if x >= 0.0 else 0.0
        y += height if y >= 0.0 else 0.0
    drawn[0, k] = np.int64(np.floor(x * 65536.0 + 0.5))
    drawn[1, k] = np.int64(np.floor(y * 65536.0 + 0.5))
    drawn[2, k] = np.int64(np.floor(radius * 65536.0 + 0.5))


@njit(types.void(_WORDS, _LAW, _TABLE), cache=True, nogil=True)
def draw(raw, law, drawn):  # type: ignore[no-untyped-def]
    """Leaves from random words: ``raw`` uint64 [2 n] gives ``drawn`` int64 [3, n], x, y, r in 1/65,536 pixel."""
    height, width = np.int64(law[3, 1]), np.int64(law[3, 2])
    low, slope, inside = law[0, 2], law[0, 3], law[1, 0]
    usual = law[0, 1] == 2.0 and law[0, 4] == -0.5
    for k in range(drawn.shape[1]):
        # Without a branch, so that the root and the quotient of the paper's r^-3 run several leaves at a time.
        u = np.int64(raw[2 * k] >> np.uint64(11)) * 2.0**-53
        drawn[0, k] = (np.int64(raw[2 * k + 1] >> np.uint64(32)) * width) >> 16
        drawn[1, k] = (np.int64(raw[2 * k + 1] & np.uint64(0xFFFFFFFF)) * height) >> 16
        drawn[2, k] = np.int64(np.floor(65536.0 / np.sqrt(max(low - slope * u, 1e-300)) + 0.5))
    for k in range(drawn.shape[1]):
        u = np.int64(raw[2 * k] >> np.uint64(11)) * 2.0**-53
        if u >= inside:
            _outside(raw, law, k, drawn, height)
        elif not usual:
            drawn[2, k] = np.int64(np.floor(_radius(u, law, 0) * 65536.0 + 0.5))


@njit(types.uint64(types.int64, types.int64), cache=True, nogil=True, inline="always")
def _rows(first, last):  # type: ignore[no-untyped-def]
    """Bits of the rows first..last (0 to 7, both included) of a tile."""
    return (_ALL << np.uint64(8 * first)) & (_ALL >> np.uint64(56 - 8 * last))


@njit(types.uint64(types.int64, types.int64), cache=True, nogil=True, inline="always")
def _columns(first, last):  # type: ignore[no-untyped-def]
    """Bits of the columns first..last (0 to 7, both included) of a tile."""
    return ((_BYTE << np.uint64(first)) & (_BYTE >> np.uint64(7 - last))) * _EVERY_BYTE


@njit(types.int64(types.uint64), cache=True, nogil=True)
def _count(bits):  # type: ignore[no-untyped-def]
    """How many bits are set: sums of 2, 4, 8 neighbours side by side, then all bytes by one product."""
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * _EVERY_BYTE) >> np.uint64(56))


@njit(
    types.int64(*[types.int64] * 3, _TILES, *[types.int64] * 2, types.uint64, _LABELS, types.int32),
    cache=True,
    nogil=True,
)
def _take_many(x, y, r, tiles, ty, tx, hits, labels, label):  # type: ignore[no-untyped-def]
    """As ``_take`` for a whole tile with many open pixels: 64 pixels without a branch, in the processor's vectors."""
    mine = np.uint64(0)
    for row in range(8):
        dy = ((8 * ty + row) << 16) + 32768 - y
        rest = r * r - dy * dy
        byte = np.int64(hits >> np.uint64(8 * row)) & 255
        line = np.uint64(8 * ty + row)  # unsigned: numba need not look for negative indices
        taken = 0
        for column in range(8):
            dx = ((8 * tx + column) << 16) + 32768 - x
            within = (byte >> column) & 1 if dx * dx <= rest else 0
            taken |= int(within << column)
            there = np.uint64(8 * tx + column)
            labels[line, there] = label if within else labels[line, there]
        mine |= np.uint64(taken) << np.uint64(8 * row)
    tiles[ty, tx] ^= mine
    return _count(mine)


@njit(
    types.int64(*[types.int64] * 3, _TILES, *[types.int64] * 2, types.uint64, _LABELS, types.int32),
    cache=True,
    nogil=True,
)
def _take(x, y, r, tiles, ty, tx, hits, labels, label):  # type: ignore[no-untyped-def]
    """Give those of the open pixels ``hits`` of a tile that lie in the disc to ``label``; returns how many.

    Pixel (i, j) lies in it iff (i + .5 - y)^2 + (j + .5 - x)^2 <= r^2.
    """
    mine = np.uint64(0)
    taken = 0
    square = r * r
    while hits:
        bit = hits & (~hits + _ONE)
        hits ^= bit
        place = _BIT[(bit * _DE_BRUIJN) >> np.uint64(58)]
        i, j = 8 * ty + (place >> 3), 8 * tx + (place & 7)
        dy, dx = (i << 16) + 32768 - y, (j << 16) + 32768 - x
        within = dy * dy + dx * dx <= square
        mine |= bit if within else np.uint64(0)
        line, there = np.uint64(i), np.uint64(j)  # unsigned: numba need not look for negative indices
        labels[line, there] = label if within else labels[line, there]
        taken += 1 if within else 0
    tiles[ty, tx] ^= mine
    return taken


@njit(types.int64(*[types.int64] * 3, _TILES, _LABELS, types.int32), cache=True, nogil=True)
def _disc(x, y, r, tiles, labels, label):  # type: ignore[no-untyped-def]
    """Lay one disc under what is there: visit the tiles of its bounding box that have open pixels."""
    height, width = labels.shape
    top, bottom = max(0, (y - r + 32767) >> 16), min(height - 1, (y + r - 32768) >> 16)
    left, right = max(0, (x - r + 32767) >> 16), min(width - 1, (x + r - 32768) >> 16)
    if left > right or top > bottom:
        return 0
    up, down, west, east = top >> 3, bottom >> 3, left >> 3, right >> 3
    if down - up < 2 and east - west < 2:
        # Four words at most, tested without a branch: nearly all leaves end here.
        upper, lower = _rows(top & 7, min(7, bottom - 8 * up)), _rows(max(0, top - 8 * down), bottom & 7)
        first, last = _columns(left & 7, min(7, right - 8 * west)), _columns(max(0, left - 8 * east), right & 7)
        above = (tiles[up, west] & first) | (tiles[up, east] & last)
        below = (tiles[down, west] & first) | (tiles[down, east] & last)
        if ((above & upper) | (below & lower)) == 0:
            return 0
    taken = 0
    for ty in range(up, down + 1):
        rows = _rows(max(0, top - 8 * ty), min(7, bottom - 8 * ty))
        for tx in range(west, east + 1):
            hits = tiles[ty, tx] & rows & _columns(max(0, left - 8 * tx), min(7, right - 8 * tx))
            if hits and _count(hits) >= DENSE and ty < height >> 3 and tx < width >> 3:
                taken += _take_many(x, y, r, tiles, ty, tx, hits, labels, label)
            elif hits:
                taken += _take(x, y, r, tiles, ty, tx, hits, labels, label)
    return taken


@njit(_TILES(types.int64, types.int64), cache=True, nogil=True)
def open_tiles(height, width):  # type: ignore[no-untyped-def]
    """Every pixel of a window as an open bit: uint64 [ceil(H / 8), ceil(W / 8)], bit 8 * row + column of each tile."""
    tiles = np.empty(((height + 7) // 8, (width + 7) // 8), np.uint64)
    for ty in range(tiles.shape[0]):
        for tx in range(tiles.shape[1]):
            tiles[ty, tx] = _rows(0, min(7, height - 1 - 8 * ty)) & _columns(0, min(7, width - 1 - 8 * tx))
    return tiles


@njit(COUNTS(_TABLE, _TILES, _LABELS, _TABLE, *[types.int64] * 2), cache=True, nogil=True)
def lay(drawn, tiles, labels, leaves, remaining, count):  # type: ignore[no-untyped-def]
    """Lay the leaves ``drawn`` (int64 [3, n]) front to back, until no pixel is open.

    ``tiles`` holds the open pixels (``open_tiles`` at the start), ``labels`` int32 [H, W] receives the number of the
    leaf of each pixel, ``leaves`` int64 [n, 4] receives x, y, r and the rank within ``drawn`` of the visible ones, in
    order. ``count`` leaves are visible already. Returns (pixels still open, visible leaves in all, leaves used).
    """
    seen = 0
    used = 0
    for k in range(drawn.shape[1]):
        if remaining == 0:
            break
        used += 1
        taken = _disc(drawn[0, k], drawn[1, k], drawn[2, k], tiles, labels, np.int32(count + seen))
        if taken:
            leaves[seen, 0], leaves[seen, 1], leaves[seen, 2] = drawn[0, k], drawn[1, k], drawn[2, k]
            leaves[seen, 3] = k
            seen += 1
            remaining -= taken
    return remaining, count + seen, used
