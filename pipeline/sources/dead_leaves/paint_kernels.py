"""Compiled kernels that paint a label map: each leaf its colour, or its colour mixed with a texture."""

from __future__ import annotations

import numpy as np
from numba import types

from pipeline.sources.dead_leaves.kernel import kernel
from pipeline.sources.dead_leaves.occlusion import LEAVES
from pipeline.sources.dead_leaves.simd import prefetch

_LABELS = types.int32[:, ::1]
_WORDS = types.uint64[::1]
_COLOURS = types.int32[:, ::1]
_PLACES = types.int64[:, ::1]
_IMAGE = types.uint8[:, :, ::1]
_ATLAS = types.uint8[::1]
_COLOUR = types.uint8[:, ::1]

_THRICE = 0x0001_0001_0001
"""1 in each of three fields of 16 bits: the channels of a pixel are computed in one number."""


@kernel(types.void(_LABELS, types.uint8[:, ::1], _IMAGE))
def paint(labels, colours, image):  # type: ignore[no-untyped-def]
    """``image[i, j] = colours[labels[i, j]]``."""
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            leaf = labels[i, j]
            image[i, j, 0] = colours[leaf, 0]
            image[i, j, 1] = colours[leaf, 1]
            image[i, j, 2] = colours[leaf, 2]


@kernel(types.int64(types.int64, types.int64))
def _mirror(place, size):  # type: ignore[no-untyped-def]
    place %= 2 * size
    return place if place < size else 2 * size - 1 - place


@kernel(types.int64(types.int64[::1], types.int64, types.int64))
def _mirrored(leaf, i, j):  # type: ignore[no-untyped-def]
    base, height, width, start_y, step_y, start_x, step_x, turned = leaf
    down, along = (j, i) if turned else (i, j)
    return base + _mirror(start_y + step_y * down, height) * width + _mirror(start_x + step_x * along, width)


@kernel(types.void(_COLOUR, types.int64[::1], _COLOUR))
def pick(pixels, indices, colours):  # type: ignore[no-untyped-def]
    """``colours[k] = pixels[indices[k]]``, uint8 [n, 3], in half of numpy's time."""
    for k in range(indices.size):
        at = np.uint64(indices[k])
        for channel in range(3):
            colours[k, channel] = pixels[at, channel]


@kernel(types.void(LEAVES, *[types.int64] * 3, _PLACES))
def enclose(leaves, height, width, supersample, boxes):  # type: ignore[no-untyped-def]
    """The rows of ``Placement.boxes``: each leaf's box inside the window of ``height`` x ``width`` labels."""
    for k in range(leaves.size):
        leaf = leaves[k]
        top, bottom = max(np.floor(leaf.y - leaf.r), 0.0), min(np.ceil(leaf.y + leaf.r), height - 1.0)
        left, right = max(np.floor(leaf.x - leaf.r), 0.0), min(np.ceil(leaf.x + leaf.r), width - 1.0)
        boxes[k, 0], boxes[k, 2] = np.int64(top) // supersample, np.int64(left) // supersample
        boxes[k, 1] = np.int64(bottom) // supersample - boxes[k, 0] + 1
        boxes[k, 3] = np.int64(right) // supersample - boxes[k, 2] + 1


@kernel(types.void(_WORDS, _PLACES, _PLACES, _PLACES))
def locate(words, boxes, shapes, places):  # type: ignore[no-untyped-def]
    """The rows of ``Placement.places``: which piece of which texture each leaf shows.

    ``words`` uint64 [n]: 16 bits choose the texture, 3 the symmetry, 22 the offset down, 22 that along. ``boxes``:
    those of ``Placement``; ``shapes``: those of ``Atlas``.
    """
    for leaf in range(words.size):
        word = words[leaf]
        texture = (np.int64(word >> np.uint64(48)) * shapes.shape[0]) >> 16
        symmetry = np.int64(word >> np.uint64(45)) & 7
        turned = symmetry >> 2
        places[leaf, 0] = shapes[texture, 0]
        places[leaf, 7] = turned
        for axis in range(2):
            first, count = boxes[leaf, 2 * (axis ^ turned)], boxes[leaf, 2 * (axis ^ turned) + 1]
            size = shapes[texture, 1 + axis]
            free = size - count + 1 if count <= size else 2 * size
            offset = ((np.int64(word >> np.uint64(22 * (1 - axis))) & 0x3FFFFF) * free) >> 22
            back = (symmetry >> axis) & 1
            places[leaf, 1 + axis] = size
            places[leaf, 3 + 2 * axis] = offset + first + count - 1 if back else offset - first
            places[leaf, 4 + 2 * axis] = -1 if back else 1


@kernel(types.void(_PLACES, _PLACES, _COLOUR, types.int64, _PLACES))
def leaf_rows(places, boxes, colours, weight, rows):  # type: ignore[no-untyped-def]
    """All that ``blend`` needs of a leaf, int64 [n, 4], half a cache line.

    Columns: atlas index of pixel (0, 0), its step along i, its step along j, and the colour times 256 - ``weight`` plus
    128 to round, 16 bits a channel. The last is inverted, and so negative, if the leaf is larger than its texture.
    """
    for leaf in range(places.shape[0]):
        base, height, width, start_y, step_y, start_x, step_x, turned = places[leaf]
        down, along = step_y * width, step_x
        rows[leaf, 0] = base + start_y * width + start_x
        rows[leaf, 1], rows[leaf, 2] = (along, down) if turned else (down, along)
        tall, wide = boxes[leaf, 1], boxes[leaf, 3]
        mirrored = (wide if turned else tall) > height or (tall if turned else wide) > width
        red, green, blue = np.int64(colours[leaf, 0]), np.int64(colours[leaf, 1]), np.int64(colours[leaf, 2])
        colour = (red | green << 16 | blue << 32) * (256 - weight) + 128 * _THRICE
        rows[leaf, 3] = ~colour if mirrored else colour


@kernel(types.void(_LABELS, types.int64, _PLACES, _PLACES, _ATLAS, types.int64[::1]))
def _locate_row(labels, i, rows, places, atlas, indices):  # type: ignore[no-untyped-def]
    """Atlas index of each pixel of row ``i``, into ``indices``; the memory behind it is prefetched."""
    for j in range(labels.shape[1]):
        leaf = np.uint64(labels[i, j])
        if rows[leaf, 3] < 0:
            at = _mirrored(places[leaf], i, j)
        else:
            at = rows[leaf, 0] + rows[leaf, 1] * i + rows[leaf, 2] * j
        prefetch(atlas, np.uint64(at))  # type: ignore[call-arg]
        indices[j] = at


@kernel(types.void(_LABELS, _PLACES, _PLACES, _ATLAS, types.int64, _IMAGE))
def blend(labels, rows, places, atlas, weight, image):  # type: ignore[no-untyped-def]
    """``image[i, j] = (colour * (256 - weight) + texture * weight + 128) >> 8``, all three channels as one number.

    ``rows`` are those of ``leaf_rows``, ``places`` those of ``Placement``, ``atlas`` all textures. Atlas indices are
    computed one row ahead, so that the memory arrives in time: nearly every leaf's row is a cache line of its own out
    of megabytes, and waiting for them took two thirds of the time.
    """
    height, width = labels.shape
    here, ahead = np.empty(width, np.int64), np.empty(width, np.int64)
    _locate_row(labels, 0, rows, places, atlas, here)
    for i in range(height):
        if i + 1 < height:
            _locate_row(labels, i + 1, rows, places, atlas, ahead)
        for j in range(width):
            colour = rows[np.uint64(labels[i, j]), 3]
            grey = np.int64(atlas[np.uint64(here[j])]) * weight
            mixed = (colour if colour >= 0 else ~colour) + grey * _THRICE
            image[i, j, 0] = np.uint8(mixed >> 8)
            image[i, j, 1] = np.uint8(mixed >> 24)
            image[i, j, 2] = np.uint8(mixed >> 40)
        here, ahead = ahead, here


@kernel(
    types.void(_LABELS, types.int64, _COLOURS, _PLACES, types.uint8[::1], types.int64, _IMAGE),
)
def blend_fine(labels, factor, weighted, places, atlas, weight, image):  # type: ignore[no-untyped-def]
    """As ``blend`` with ``factor`` x ``factor`` labels a pixel, averaged and rounded once.

    Each leaf's texture is read at the pixel, not at the label: edges become smooth and textures stay sharp.
    """
    samples = factor * factor
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            red, green, blue = 0, 0, 0
            for di in range(factor):
                for dj in range(factor):
                    leaf = labels[factor * i + di, factor * j + dj]
                    grey = np.int64(atlas[_mirrored(places[leaf], i, j)]) * weight if weight else np.int64(0)
                    red += weighted[leaf, 0] + grey
                    green += weighted[leaf, 1] + grey
                    blue += weighted[leaf, 2] + grey
            image[i, j, 0] = np.uint8((red + 128 * samples) // (256 * samples))
            image[i, j, 1] = np.uint8((green + 128 * samples) // (256 * samples))
            image[i, j, 2] = np.uint8((blue + 128 * samples) // (256 * samples))


@kernel(types.void(_LABELS, types.int64, types.float64[:, ::1], _IMAGE, _IMAGE))
def light(labels, factor, ramps, image, shaded):  # type: ignore[no-untyped-def]
    """``shaded[i, j] = image[i, j] * light``, rounded to 0..255.

    The light of a label is ``ramps[leaf, 0] + ramps[leaf, 1] * x + ramps[leaf, 2] * y`` at its middle (x, y), in
    labels; that of a pixel is the mean of its ``factor`` x ``factor`` labels.
    """
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            total = 0.0
            for di in range(factor):
                for dj in range(factor):
                    y, x = factor * i + di, factor * j + dj
                    leaf = labels[y, x]
                    total += ramps[leaf, 0] + ramps[leaf, 1] * (x + 0.5) + ramps[leaf, 2] * (y + 0.5)
            total /= factor * factor
            for channel in range(3):
                shaded[i, j, channel] = np.uint8(min(max(image[i, j, channel] * total + 0.5, 0.0), 255.0))
