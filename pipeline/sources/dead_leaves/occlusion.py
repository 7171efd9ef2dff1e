"""Compiled kernels: leaves are laid front to back until every pixel is covered.

A pixel that no leaf has yet is open. Open pixels are bits, a tile of 8 x 8 pixels in a word. An image of 512 x 512
with r in [1, 512] needs 63,000 leaves. Only 9,600 of them find an open pixel, and 92 % are at most 8 x 8 pixels large.
So leaves are looked up in blocks, without branches: one window of 8 x 8 bits, cut from four words, says whether a leaf
can find an open pixel. Those that can are tested exactly, eight pixels at once, in whole 1/65,536 pixel. The kernels
and the numpy reference of the tests agree to the bit.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types

from pipeline.sources.dead_leaves.kernel import kernel
from pipeline.sources.dead_leaves.leaf import FIXED, LEAF
from pipeline.sources.dead_leaves.simd import row_within, store_where

_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_BYTE = np.uint64(0xFF)
_EVERY_BYTE = np.uint64(0x0101010101010101)

MARGIN = 16
"""Rows before and after the labels of an image: windows of 8 x 8 pixels at its borders write into them."""

BLOCK = 256
"""Leaves that are looked up at a time; their 10 kB stay in the first-level cache."""

COUNTS = types.UniTuple(types.int64, 3)  # type: ignore[no-untyped-call]
LEAVES = types.Array(from_dtype(LEAF), 1, "C")
_DRAWN = types.int64[:, ::1]
_TILES = types.uint64[:, ::1]
_FLAT = types.uint64[::1]
_LABELS = types.int32[:, ::1]
_QUEUE = types.int64[::1]
_PLACE = types.UniTuple(types.uint64, 3)  # type: ignore[no-untyped-call]


@kernel(types.int64(types.uint64))
def _count(bits):  # type: ignore[no-untyped-def]
    """Number of set bits: sums of 2, 4 and 8 neighbouring bits, then the sum of all bytes by one product."""
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * _EVERY_BYTE) >> np.uint64(56))


def open_tiles(height: int, width: int) -> np.ndarray:
    """All pixels of a window as open bits: uint64 [ceil(H / 8) + 3 + ceil(H / 64) + 3, ceil(W / 8) + 3].

    The first ceil(H / 8) + 3 rows are tiles of 8 x 8 pixels, bit 8 * row + column of each. The rows below are groups of
    8 x 8 tiles, with a bit for each tile that may have open pixels; ``lay`` fills them. Both levels have an empty row
    and column before the first and two after the last, so that every leaf can be looked up without a border test.
    """
    down, along = -(-height // 8), -(-width // 8)
    tiles = np.zeros((down + 3 + -(-down // 8) + 3, along + 3), np.uint64)
    rows = np.full(down, _ALL)
    rows[-1] >>= np.uint64(8 * (8 * down - height))
    columns = np.full(along, _ALL)
    columns[-1] = (_BYTE >> np.uint64(8 * along - width)) * _EVERY_BYTE
    tiles[1 : down + 1, 1 : along + 1] = rows[:, None] & columns
    return tiles


def open_labels(height: int, width: int) -> np.ndarray:
    """Uninitialised int32 [H + 2 ``MARGIN``, W]: the labels, between the rows that ``lay`` may write into."""
    return np.empty((height + 2 * MARGIN, width), np.int32)


@kernel(types.void(_FLAT, *[types.int64] * 3))
def _survey(tiles, stride, down, above):  # type: ignore[no-untyped-def]
    """Fill the groups: which of the tiles have an open pixel.

    The groups' corner word, where no pixel lies, is always open. Leaves larger than a group look it up.
    """
    tiles[above:] = np.uint64(0)
    tiles[above] = _ALL
    for ty in range(down):
        for tx in range(stride - 3):
            bit = np.uint64(8 * (ty & 7) + (tx & 7))
            some = np.uint64(tiles[np.uint64((ty + 1) * stride + tx + 1)] != 0)
            tiles[np.uint64(above + ((ty >> 3) + 1) * stride + (tx >> 3) + 1)] |= some << bit


@kernel(types.void(_DRAWN, *[types.int64] * 4, types.uint64[:, ::1]))
def _look_up(drawn, first, size, stride, above, places):  # type: ignore[no-untyped-def]
    """The windows of ``size`` leaves from ``first`` on, into ``places`` uint64 [4, n]: arguments of ``_window``, bits.

    The window of a leaf of at most 8 x 8 pixels is of pixels, that of one of at most 8 x 8 tiles is of tiles. There is
    no branch, so the processor's vectors hold eight leaves at a time.
    """
    for k in range(size):
        at = np.uint64(first + k)
        x, y, r = drawn[0, at], drawn[1, at], drawn[2, at]
        top, left = (y - r + 32767) >> 16, (x - r + 32767) >> 16
        bottom, right = (y + r - 32768) >> 16, (x + r - 32768) >> 16
        large = (bottom - top > 7) | (right - left > 7)
        scale = 3 * np.int64(large)
        high, wide = (bottom >> scale) - (top >> scale), (right >> scale) - (left >> scale)
        top, left = top >> scale, left >> scale
        huge, empty = (high > 7) | (wide > 7), (high < 0) | (wide < 0)
        bits = ((_BYTE >> np.uint64(7 - wide & 63)) * _EVERY_BYTE) & (_ALL >> np.uint64(8 * (7 - high) & 63))
        bits = _ALL if huge else bits
        tile = ((top >> 3) + 1) * stride + (left >> 3) + 1 + above * np.int64(large)
        places[0, k] = np.uint64(above if huge else tile)
        places[1, k] = np.uint64(0 if huge else 8 * (top & 7))
        places[2, k] = np.uint64(0 if huge else left & 7)
        places[3, k] = np.uint64(0) if empty else bits


@kernel(types.uint64(_FLAT, *[types.uint64] * 4), inline="always")
def _window(tiles, stride, tile, down, along):  # type: ignore[no-untyped-def]
    """The open bits of the 8 x 8 pixels ``down`` / 8 rows and ``along`` columns from the first of ``tile``."""
    kept, back = (_BYTE >> along) * _EVERY_BYTE, np.uint64(8) - along
    upper = ((tiles[tile] >> along) & kept) | ((tiles[tile + _ONE] << back) & ~kept)
    tile += stride
    lower = ((tiles[tile] >> along) & kept) | ((tiles[tile + _ONE] << back) & ~kept)
    return (upper >> down) | ((lower << (np.uint64(56) - down)) << np.uint64(8))


@kernel(types.void(_FLAT, *[types.uint64] * 5))
def _close(tiles, stride, tile, down, along, taken):  # type: ignore[no-untyped-def]
    """Take the bits ``taken``, which are open, out of the tiles below a window."""
    kept, back = (_BYTE >> along) * _EVERY_BYTE, np.uint64(8) - along
    upper, lower = taken << down, (taken >> (np.uint64(56) - down)) >> np.uint64(8)
    tiles[tile] ^= (upper & kept) << along
    tiles[tile + _ONE] ^= (upper & ~kept) >> back
    tile += stride
    tiles[tile] ^= (lower & kept) << along
    tiles[tile + _ONE] ^= (lower & ~kept) >> back


@kernel(types.int64(_FLAT, types.uint64, types.uint64[:, ::1], types.int64, _QUEUE))
def _candidates(tiles, stride, places, leaves, queue):  # type: ignore[no-untyped-def]
    """Numbers of the leaves that may find an open pixel, into ``queue``; returns how many. Without branches."""
    queued = np.uint64(0)
    for k in range(leaves):
        queue[queued] = k
        open_pixels = _window(tiles, stride, places[0, k], places[1, k], places[2, k]) & places[3, k]
        queued += np.uint64(open_pixels != 0)
    return np.int64(queued)


@kernel(types.uint64(*[types.int64] * 3))
def _within(dx, dy, square):  # type: ignore[no-untyped-def]
    """Bits of the pixels of a window that lie in a disc: (j + .5 - x)^2 + (i + .5 - y)^2 <= r^2.

    ``dx``, ``dy``: from the disc's centre to the first pixel's, in 1/65,536 pixel; ``square``: r^2.
    """
    bits = np.uint64(0)
    for row in range(8):
        down = dy + (row << 16)
        bits |= np.uint64(row_within(dx, square - down * down)) << np.uint64(8 * row)  # type: ignore[call-arg]
    return bits


@kernel(types.void(types.int32[::1], *[types.int64] * 2, types.uint64, types.int32))
def _label(labels, first, width, bits, label):  # type: ignore[no-untyped-def]
    """Write ``label`` to the pixels ``bits`` of the window that begins at ``labels[first]``."""
    for row in range(8):
        store_where(labels, np.uint64(first + row * width), np.uint8(bits >> np.uint64(8 * row)), label)  # type: ignore[call-arg]


@kernel(types.int64(*[types.int64] * 3, _FLAT, types.int64, _LABELS, types.int32))
def _lay_large(x, y, r, tiles, stride, labels, label):  # type: ignore[no-untyped-def]
    """Give the open pixels of a disc of more than 8 x 8 pixels to ``label``, tile by tile; returns how many."""
    height, width = labels.shape[0] - 2 * MARGIN, labels.shape[1]
    top, bottom = max(0, (y - r + 32767) >> 16), min(height - 1, (y + r - 32768) >> 16)
    left, right = max(0, (x - r + 32767) >> 16), min(width - 1, (x + r - 32768) >> 16)
    across, taken = 7 << 16, 0
    for ty in range(top >> 3, (bottom >> 3) + 1):
        dy = (ty << 19) + 32768 - y
        far_y = max(-dy, dy + across)
        for tx in range(left >> 3, (right >> 3) + 1):
            tile = np.uint64((ty + 1) * stride + tx + 1)
            bits = tiles[tile]
            if bits == 0:
                continue
            dx = (tx << 19) + 32768 - x
            far_x = max(-dx, dx + across)
            if far_x * far_x + far_y * far_y > r * r:  # else the whole tile lies inside
                bits &= _within(dx, dy, r * r)
            if bits:
                _label(labels.reshape(-1), (8 * ty + MARGIN) * width + 8 * tx, width, bits, label)
                tiles[tile] ^= bits
                taken += _count(bits)
    return taken


@kernel(types.int64(*[types.int64] * 3, _FLAT, types.int64, _PLACE, _LABELS, types.int32))
def _lay_small(x, y, r, tiles, stride, place, labels, label):  # type: ignore[no-untyped-def]
    """As ``_lay_large`` for a disc of at most 8 x 8 pixels: one window. ``place``: see ``_look_up``."""
    width = labels.shape[1]
    top, left = (y - r + 32767) >> 16, (x - r + 32767) >> 16
    inside = _within((left << 16) + 32768 - x, (top << 16) + 32768 - y, r * r)
    tile, down, along = place
    bits = _window(tiles, np.uint64(stride), tile, down, along) & inside
    if bits == 0:
        return 0
    _label(labels.reshape(-1), (top + MARGIN) * width + left, width, bits, label)
    _close(tiles, np.uint64(stride), tile, down, along, bits)
    return _count(bits)


@kernel(types.void(LEAVES, *[types.int64] * 5))
def record(leaves, number, x, y, r, rank):  # type: ignore[no-untyped-def]
    """Write a visible leaf into row ``number`` of the table, in pixels."""
    leaves[number].x, leaves[number].y, leaves[number].r = x / FIXED, y / FIXED, r / FIXED
    leaves[number].rank = rank


@kernel(COUNTS(_DRAWN, _TILES, _LABELS, LEAVES, *[types.int64] * 3))
def lay(drawn, tiles, labels, leaves, remaining, count, rank):  # type: ignore[no-untyped-def]
    """Lay the leaves ``drawn`` (int64 [3, n]) front to back, until no pixel is open.

    ``tiles`` holds the open pixels (``open_tiles`` at the start), ``labels`` (of ``open_labels``) receives the number
    of the leaf of each pixel, ``leaves`` (``LEAF`` [n]) the visible ones, in order. ``count`` leaves are visible
    already, of the ``rank`` drawn before. Returns (pixels still open, visible leaves in all, leaves used). Leaves are
    looked up in blocks: pixels are only ever closed, so a leaf without an open pixel at its block's start gets none.
    """
    flat, stride, down = tiles.reshape(-1), tiles.shape[1], (labels.shape[0] - 2 * MARGIN + 7) >> 3
    above = (down + 3) * stride
    queue, places = np.empty(BLOCK, np.int64), np.empty((4, BLOCK), np.uint64)
    seen = 0
    _survey(flat, stride, down, above)
    for first in range(0, drawn.shape[1], BLOCK):
        size = min(BLOCK, drawn.shape[1] - first)
        _look_up(drawn, first, size, stride, above, places)
        for number in range(_candidates(flat, np.uint64(stride), places, size, queue)):
            k = queue[number]
            x, y, r = drawn[0, first + k], drawn[1, first + k], drawn[2, first + k]
            label, place = np.int32(count + seen), (places[0, k], places[1, k], places[2, k])
            if place[0] < np.uint64(above):
                taken = _lay_small(x, y, r, flat, stride, place, labels, label)
            else:
                taken = _lay_large(x, y, r, flat, stride, labels, label)
            if taken:
                record(leaves, seen, x, y, r, rank + first + k)
                seen += 1
                remaining -= taken
                if remaining == 0:
                    return remaining, count + seen, first + k + 1
    return remaining, count + seen, drawn.shape[1]
