"""LLVM intrinsics that numba does not expose: vectors of eight integers, and prefetching."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def store_where(typing_context: Any, labels: Any, first: Any, bits: Any, label: Any) -> Any:
    """``labels[first + k] = label`` for those k in 0..7 whose bit in ``bits`` (uint8) is set; ``labels`` int32 [n].

    A vector is loaded, selected and stored; LLVM makes one masked store of it where the processor has one. As a loop of
    eight branches it took a third of the time of a geometry. The caller guarantees first + 7 < n: there is no check.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        lane, eight = ir.IntType(32), ir.VectorType(ir.IntType(32), 8)
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), eight.as_pointer())
        undefined = ir.Constant(eight, ir.Undefined)
        single = builder.insert_element(undefined, arguments[3], lane(0))
        broadcast = builder.shuffle_vector(single, undefined, ir.Constant(eight, [lane(0)] * 8))
        mask = builder.bitcast(arguments[2], ir.VectorType(ir.IntType(1), 8))
        before = builder.load(address, typ=eight)
        before.align = 4
        builder.store(builder.select(mask, broadcast, before), address, align=4)
        return context.get_dummy_value()

    return types.void(labels, types.uint64, types.uint8, types.int32), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Fetch the cache line of ``array[index]`` in the background, for a read some hundred steps later."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.gep(
            context.make_array(signature.args[0])(context, builder, arguments[0]).data, [arguments[1]]
        )
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(function, [builder.bitcast(address, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


@intrinsic
def row_within(typing_context: Any, dx: Any, rest: Any) -> Any:
    """Uint8, bit k set where (``dx`` + 65,536 k)^2 <= ``rest``: which of eight neighbouring pixels a disc's row covers.

    The squares are the same in each row of a window, so a row costs one comparison.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lane, eight = ir.IntType(64), ir.VectorType(ir.IntType(64), 8)
        undefined, zeros = ir.Constant(eight, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 8), None)
        first, limit = (
            builder.shuffle_vector(builder.insert_element(undefined, value, ir.IntType(32)(0)), undefined, zeros)
            for value in arguments
        )
        along = builder.add(first, ir.Constant(eight, [lane(k << 16) for k in range(8)]))
        covered = builder.icmp_signed("<=", builder.mul(along, along), limit)
        return builder.bitcast(covered, ir.IntType(8))

    return types.uint8(types.int64, types.int64), generate
