"""Batch norm, ReLU, shortcut and max pooling of a training step on a CPU, each pass over memory once.

Maps are flat arrays in channels-last order: float32, or uint16 with the bits of bfloat16, which numba does not have.
Statistics, scales and sums are float32 arrays of about 1,024 elements, one number a channel and repeated, so that one
loop runs over many pixels. Everything is read and written 16 elements at a time (the upper half of this file: LLVM
instructions that numba does not expose). Written with scalars, the loops over bfloat16 are not vectorised and took 3 to
29 times as long. Where a processor has narrower vectors, LLVM splits these. No index is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_BYTES, _SHORTS, _WORDS = (ir.VectorType(ir.IntType(bits), LANES) for bits in (8, 16, 32))
_ZERO = ir.Constant(_FLOATS, [0.0] * LANES)


class Lanes(types.Type):
    """16 float32."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, _FLOATS)  # type: ignore[no-untyped-call]


lanes = Lanes()


def _untyped(function: Callable[..., Any]) -> Any:
    """An intrinsic; the typing context that numba gives it is no argument of its calls."""
    return intrinsic(function)


@_untyped
def load(context: Any, array: Any, index: Any) -> Any:
    """``array[index : index + 16]`` as float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0].dtype
        stored = {types.uint8: _BYTES, types.uint16: _SHORTS}.get(kind, _FLOATS)
        vector = builder.load(_address(context, builder, signature, arguments, stored), typ=stored)
        vector.align = kind.bitwidth // 8
        if kind == types.uint8:
            return builder.uitofp(vector, _FLOATS)
        if kind == types.uint16:
            return builder.bitcast(builder.shl(builder.zext(vector, _WORDS), _words(16)), _FLOATS)
        return vector

    return lanes(array, types.uint64), generate


@_untyped
def store(context: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index : index + 16] = value``: bfloat16 rounded to the nearest, ties to even, as torch rounds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, value = signature.args[0].dtype, arguments[2]
        if kind == types.uint8:
            value = builder.fptoui(value, _BYTES)
        elif kind == types.uint16:
            bits = builder.bitcast(value, _WORDS)
            odd = builder.and_(builder.lshr(bits, _words(16)), _words(1))
            rounded = builder.lshr(builder.add(bits, builder.add(odd, _words(0x7FFF))), _words(16))
            value = builder.trunc(rounded, _SHORTS)
        written = builder.store(value, _address(context, builder, signature, arguments, value.type))
        written.align = kind.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.uint64, lanes), generate


def _operation(count: int, make: Callable[..., Any]) -> Any:
    """An intrinsic of ``count`` vectors (or, for 0, of a float32) that gives one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return make(builder, *arguments)

    if count == 0:
        return intrinsic(lambda context, a: (lanes(types.float32), generate))
    if count == 1:
        return intrinsic(lambda context, a: (lanes(lanes), generate))
    if count == 2:
        return intrinsic(lambda context, a, b: (lanes(lanes, lanes), generate))
    if count == 3:
        return intrinsic(lambda context, a, b, c: (lanes(lanes, lanes, lanes), generate))
    return intrinsic(lambda context, a, b, c, d: (lanes(lanes, lanes, lanes, lanes), generate))


def _all(builder: Any, value: Any) -> Any:
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    single = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, undefined, ir.Constant(_WORDS, [0] * LANES))


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v16f32")  # type: ignore[no-untyped-call]
    return builder.call(function, [a, b, c])


def _positive(builder: Any, a: Any) -> Any:
    return builder.fcmp_ordered(">", a, _ZERO)


def _words(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [value] * LANES)


def _address(context: Any, builder: Any, signature: Any, arguments: Any, vector: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())


splat = _operation(0, _all)  # a float32 in all lanes
add = _operation(2, lambda builder, a, b: builder.fadd(a, b))
subtract = _operation(2, lambda builder, a, b: builder.fsub(a, b))
multiply_add = _operation(3, _fused)  # a b + c, rounded once
relu = _operation(1, lambda builder, a: builder.select(_positive(builder, a), a, _ZERO))
where_positive = _operation(2, lambda builder, a, b: builder.select(_positive(builder, a), b, _ZERO))  # b where a > 0
where_greater = _operation(  # c where a > b, else d
    4, lambda builder, a, b, c, d: builder.select(builder.fcmp_ordered(">", a, b), c, d)
)
where_equal = _operation(3, lambda builder, a, b, c: builder.select(builder.fcmp_ordered("==", a, b), c, _ZERO))


def _loop(function: Callable[..., None]) -> Any:
    """``function`` compiled when it is first called, kept in numba's cache on disk; it runs without the GIL."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


_STEP = np.uint64(LANES)
_FIRST = np.uint64(0)


@_loop
def _sums(x: Any, pivot: Any, sums: Any, squares: Any) -> None:
    """Add x - pivot to ``sums`` and its square to ``squares``; a pivot from the batch keeps digits where the mean is
    far from 0.
    """
    length, count, start = np.uint64(len(pivot)), np.uint64(len(x)), _FIRST
    while start < count:
        for j in range(_FIRST, min(length, count - start), _STEP):
            value = subtract(load(x, start + j), load(pivot, j))
            store(sums, j, add(load(sums, j), value))
            store(squares, j, multiply_add(value, value, load(squares, j)))
        start += length


@_loop
def _normalise(x: Any, scale: Any, shift: Any, y: Any) -> None:
    """y = scale x + shift."""
    length, count, start = np.uint64(len(scale)), np.uint64(len(x)), _FIRST
    while start < count:
        for j in range(_FIRST, min(length, count - start), _STEP):
            store(y, start + j, multiply_add(load(x, start + j), load(scale, j), load(shift, j)))
        start += length


@_loop
def _normalise_relu(x: Any, scale: Any, shift: Any, y: Any) -> None:
    """y = max(scale x + shift, 0)."""
    length, count, start = np.uint64(len(scale)), np.uint64(len(x)), _FIRST
    while start < count:
        for j in range(_FIRST, min(length, count - start), _STEP):
            store(y, start + j, relu(multiply_add(load(x, start + j), load(scale, j), load(shift, j))))
        start += length


@_loop
def _normalise_add_relu(x: Any, scale: Any, shift: Any, shortcut: Any, y: Any) -> None:
    """y = max(scale x + shift + shortcut, 0)."""
    length, count, start = np.uint64(len(scale)), np.uint64(len(x)), _FIRST
    while start < count:
        for j in range(_FIRST, min(length, count - start), _STEP):
            value = multiply_add(load(x, start + j), load(scale, j), load(shift, j))
            store(y, start + j, relu(add(value, load(shortcut, start + j))))
        start += length


@_loop
def _gradient_sums(x: Any, mean: Any, g: Any, sums: Any, products: Any) -> None:
    """Add g to ``sums`` and g (x - mean) to ``products``."""
    length, count, start = np.uint64(len(mean)), np.uint64(len(x)), _FIRST
    while start < count:
        for j in range(_FIRST, min(length, count - start), _STEP):
            gradient = load(g, start + j)
            store(sums, j, add(load(sums, j), gradient))
            difference = subtract(load(x, start + j), load(mean, j))
            store(products, j, multiply_add(gradient, difference, load(products, j)))
        start += length


@_loop
def _relu_gradient_sums(x: Any, mean: Any, y: Any, dy: Any, g: Any, sums: Any, products: Any) -> None:
    """As :func:`_gradient_sums` of g = dy where y > 0, which is written to ``g``."""
    length, count, start = np.uint64(len(mean)), np.uint64(len(x)), _FIRST
    while start < count:
        for j in range(_FIRST, min(length, count - start), _STEP):
            gradient = where_positive(load(y, start + j), load(dy, start + j))
            store(g, start + j, gradient)
            store(sums, j, add(load(sums, j), gradient))
            difference = subtract(load(x, start + j), load(mean, j))
            store(products, j, multiply_add(gradient, difference, load(products, j)))
        start += length


@_loop
def _input_gradient(x: Any, mean: Any, g: Any, a: Any, b: Any, c: Any, dx: Any) -> None:
    """dx = a g + b (x - mean) + c; ``dx`` may be ``g``."""
    length, count, start = np.uint64(len(mean)), np.uint64(len(x)), _FIRST
    while start < count:
        for j in range(_FIRST, min(length, count - start), _STEP):
            rest = multiply_add(load(b, j), subtract(load(x, start + j), load(mean, j)), load(c, j))
            store(dx, start + j, multiply_add(load(a, j), load(g, start + j), rest))
        start += length


@_loop
def _pool(x: Any, shape: Any, scale: Any, shift: Any, y: Any, largest: Any, place: Any) -> None:
    """Batch norm, ReLU and max pooling (3 x 3, stride 2, padding 1) of x [n, height, width, channels] = ``shape``.

    y is the pooled map, ``largest`` the x of each window that it comes from, ``place`` (uint8) which of the 9 it is,
    the first where several are equal.
    """
    n, height, width, channels = shape
    out = 0
    for image in range(n):
        for row in range((height + 1) // 2):
            for column in range((width + 1) // 2):
                for j in range(0, channels, LANES):
                    best, raw, which = splat(np.float32(-np.inf)), splat(np.float32(0)), splat(np.float32(0))
                    for k in range(9):
                        down, across = 2 * row + k // 3 - 1, 2 * column + k % 3 - 1
                        if 0 <= down < height and 0 <= across < width:
                            at = np.uint64(((image * height + down) * width + across) * channels + j)
                            value = load(x, at)
                            normal = multiply_add(value, load(scale, np.uint64(j)), load(shift, np.uint64(j)))
                            which = where_greater(normal, best, splat(np.float32(k)), which)
                            raw = where_greater(normal, best, value, raw)
                            best = where_greater(normal, best, normal, best)
                    at = np.uint64(out + j)
                    store(y, at, relu(best))
                    store(largest, at, raw)
                    store(place, at, which)
                out += channels


@_loop
def _pool_gradient(
    x: Any, shape: Any, g: Any, place: Any, mean: Any, a: Any, b: Any, c: Any, image_sum: Any, dx: Any
) -> None:
    """dx = a s + b (x - mean) + c, where s is the sum of the pooled gradients g that belong to a pixel by ``place``.
    ``image_sum`` float32 [height width channels] is room for one image's s.
    """
    n, height, width, channels = shape
    size, out = height * width * channels, 0
    for image in range(n):
        image_sum[:] = 0
        for row in range((height + 1) // 2):
            for column in range((width + 1) // 2):
                for j in range(0, channels, LANES):
                    gradient, which = load(g, np.uint64(out + j)), load(place, np.uint64(out + j))
                    for k in range(9):
                        down, across = 2 * row + k // 3 - 1, 2 * column + k % 3 - 1
                        if 0 <= down < height and 0 <= across < width:
                            at = np.uint64((down * width + across) * channels + j)
                            mine = where_equal(which, splat(np.float32(k)), gradient)
                            store(image_sum, at, add(load(image_sum, at), mine))
                out += channels
        for pixel in range(0, size, channels):
            for j in range(0, channels, LANES):
                at, channel = np.uint64(image * size + pixel + j), np.uint64(j)
                rest = multiply_add(load(b, channel), subtract(load(x, at), load(mean, channel)), load(c, channel))
                store(dx, at, multiply_add(load(a, channel), load(image_sum, np.uint64(pixel + j)), rest))


@_loop
def _repeated(values: Any) -> Any:
    """[channels] -> float32, repeated to about 1,024."""
    channels = len(values)
    out = np.empty(max(1, 1024 // channels) * channels, np.float32)
    for j in range(len(out)):
        out[j] = values[j % channels]
    return out


@_loop
def _folded(repeated: Any, channels: Any) -> Any:
    """The sum of the repetitions, float64 [channels]."""
    out = np.zeros(channels)
    for j in range(len(repeated)):
        out[j % channels] += repeated[j]
    return out


@_loop
def moments(x: Any, pivot: Any) -> Any:
    """float64 [2, channels]: the mean of x and its variance. ``pivot`` is any pixel of it."""
    channels, count = len(pivot), len(x) // len(pivot)
    wide = _repeated(pivot)
    sums, squares = np.zeros_like(wide), np.zeros_like(wide)
    _sums(x, wide, sums, squares)
    offsets, about_pivot, numbers = _folded(sums, channels), _folded(squares, channels), np.empty((2, channels))
    for j in range(channels):
        offset = offsets[j] / count
        numbers[0, j] = pivot[j] + offset
        numbers[1, j] = max(about_pivot[j] / count - offset * offset, 0.0)
    return numbers


@_loop
def norm_forward(x: Any, weight: Any, bias: Any, numbers: Any, shortcut: Any, with_relu: Any, y: Any) -> None:
    """y = batch norm of x, plus ``shortcut`` unless it is empty, through a ReLU ``with_relu``. ``numbers`` are float64
    [2, channels]: the mean, and 1 / the standard deviation.
    """
    scale, shift = _repeated(weight * numbers[1]), _repeated(bias - numbers[0] * weight * numbers[1])
    if len(shortcut):
        _normalise_add_relu(x, scale, shift, shortcut, y)
    elif with_relu:
        _normalise_relu(x, scale, shift, y)
    else:
        _normalise(x, scale, shift, y)


@_loop
def norm_sums(x: Any, y: Any, dy: Any, numbers: Any, with_relu: Any, g: Any) -> Any:
    """float64 [2, channels]: the sums of g and of g (x - mean), where g = dy, or with a ReLU dy where y > 0, which is
    written to ``g`` and is the shortcut's gradient. After pooling, x is ``largest``, and y the pooled map.
    """
    channels = numbers.shape[1]
    mean = _repeated(numbers[0])
    sums, products = np.zeros_like(mean), np.zeros_like(mean)
    if with_relu:
        _relu_gradient_sums(x, mean, y, dy, g, sums, products)
    else:
        _gradient_sums(x, mean, dy, sums, products)
    out = np.empty((2, channels))
    out[0], out[1] = _folded(sums, channels), _folded(products, channels)
    return out


@_loop
def _factors(weight: Any, numbers: Any, count: Any, sums: Any) -> Any:
    """a, b, c of :func:`_input_gradient`; ``sums`` are :func:`norm_sums` of the ``count`` pixels of the statistics."""
    scale = weight * numbers[1]
    b, c = -scale * numbers[1] ** 2 * sums[1] / count, -scale * sums[0] / count
    return _repeated(scale), _repeated(b), _repeated(c)


@_loop
def norm_backward(x: Any, g: Any, weight: Any, numbers: Any, count: Any, sums: Any, dx: Any) -> None:
    """The gradient of :func:`norm_forward` by x, from g and :func:`norm_sums`."""
    a, b, c = _factors(weight, numbers, count, sums)
    _input_gradient(x, _repeated(numbers[0]), g, a, b, c, dx)


@_loop
def pool_forward(x: Any, shape: Any, weight: Any, bias: Any, numbers: Any, y: Any, largest: Any, place: Any) -> None:
    """Batch norm, ReLU and max pooling (:func:`_pool`)."""
    scale, shift = _repeated(weight * numbers[1]), _repeated(bias - numbers[0] * weight * numbers[1])
    _pool(x, shape, scale, shift, y, largest, place)


@_loop
def pool_backward(
    x: Any, shape: Any, g: Any, place: Any, weight: Any, numbers: Any, count: Any, sums: Any, dx: Any
) -> None:
    """The gradient of :func:`pool_forward` by x, from the pooled map's g and :func:`norm_sums`."""
    a, b, c = _factors(weight, numbers, count, sums)
    image_sum = np.empty(len(x) // shape[0], np.float32)
    _pool_gradient(x, shape, g, place, _repeated(numbers[0]), a, b, c, image_sum, dx)
