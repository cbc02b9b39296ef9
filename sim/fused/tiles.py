"""Products of small matrices, a tile of the result at a time in the processor's registers.

A tile is up to six rows by two vectors of eight float32 (or four float64): twelve sums that grow by fused multiply-adds while a
column of A and a row of B pass by, so that numbers are loaded once for twelve operations. Numba has no vector types; the tile
is therefore written as instructions of LLVM, everything around it as plain loops. BLAS, asked for 64 x 64 x 64, spends much of
its time on being asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.compiled import compiled, intrinsic

PLAIN, BIAS, RELU, MASK = range(4)
"""What a product starts and ends with: sums that start at zero; at a bias for each row; the same, and what is below zero becomes zero;
sums that start at zero and stay zero where ``extra`` isn't above zero."""

VECTOR_BYTES = 32


def _emit(rows: int) -> Callable[..., Any]:
    """Code of C[r, :] = sum_k A(r, k) B[k, :] for r < rows and two vectors of columns."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        kind, a, ai, ak, b, bk, c, ci, extra, ei, depth = arguments
        a, b, c, extra = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in (1, 4, 6, 8)
        )
        number = context.get_value_type(signature.args[1].dtype)
        size = context.get_abi_sizeof(number)
        lanes = VECTOR_BYTES // size
        vector, word, index = ir.VectorType(number, lanes), ir.IntType(64), ir.IntType(32)
        name = f"llvm.fma.v{lanes}f{8 * size}"
        fused = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(vector, [vector] * 3), name
        )
        zero = ir.Constant(vector, [0.0] * lanes)

        def whole(value: int) -> Any:
            return ir.Constant(word, value)

        def at(pointer: Any, row: Any, stride: Any, half: int = 0) -> Any:
            return builder.gep(pointer, [builder.add(builder.mul(row, stride), whole(lanes * half))])

        def spread(value: Any) -> Any:
            single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(index, 0))
            everywhere = ir.Constant(ir.VectorType(index, lanes), [0] * lanes)
            return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), everywhere)

        def load(pointer: Any) -> Any:
            value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
            value.align = size
            return value

        def store(value: Any, pointer: Any) -> None:
            builder.store(value, builder.bitcast(pointer, vector.as_pointer())).align = size

        def is_kind(code: int) -> Any:
            return builder.icmp_signed("==", kind, whole(code))

        tile = [(r, half) for r in range(rows) for half in range(2)]
        biased = builder.or_(is_kind(BIAS), is_kind(RELU))
        starts = [
            builder.select(biased, spread(builder.load(builder.gep(extra, [whole(r)]))), zero) for r in range(rows)
        ]
        before = builder.basic_block
        loop, after = builder.append_basic_block("products"), builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(word)
        k.add_incoming(whole(0), before)
        sums = {place: builder.phi(vector) for place in tile}
        row = [load(at(b, k, bk, half)) for half in range(2)]
        grown = {}
        for r in range(rows):
            factor = spread(builder.load(builder.gep(a, [builder.add(builder.mul(k, ak), builder.mul(whole(r), ai))])))
            for half in range(2):
                grown[r, half] = builder.call(fused, [factor, row[half], sums[r, half]])
        following = builder.add(k, whole(1))
        k.add_incoming(following, loop)
        for (r, half), value in grown.items():
            sums[r, half].add_incoming(starts[r], before)
            sums[r, half].add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
        builder.position_at_end(after)

        def put(gate: Callable[[int, int], Any] | None) -> None:
            """Store the sums, or zero where the gate isn't open."""
            for r, half in tile:
                value = grown[r, half]
                if gate is not None:
                    value = builder.select(builder.fcmp_ordered(">", gate(r, half), zero), value, zero)
                store(value, at(c, whole(r), ci, half))

        with builder.if_else(is_kind(RELU)) as (rectified, other):
            with rectified:
                put(lambda r, half: grown[r, half])
            with other, builder.if_else(is_kind(MASK)) as (masked, plain):
                with masked:
                    put(lambda r, half: load(at(extra, whole(r), ei, half)))
                with plain:
                    put(None)
        return context.get_dummy_value()

    return generate


def _tile(rows: int) -> Any:
    @intrinsic
    def tile(
        typing: Any,
        kind: Any,
        a: Any,
        ai: Any,
        ak: Any,
        b: Any,
        bk: Any,
        c: Any,
        ci: Any,
        extra: Any,
        ei: Any,
        depth: Any,
    ) -> Any:
        from numba import types

        word = types.int64
        return types.void(word, a, word, word, b, word, c, word, extra, word, word), _emit(rows)

    return tile


_six, _four, _two, _one = (_tile(rows) for rows in (6, 4, 2, 1))


def _emit_turn(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Code of out[j, i] = x[i, j] for as many rows and columns as a vector has numbers."""
    from llvmlite import ir

    _, stride, _, width = arguments
    x, out = (context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in (0, 2))
    number = context.get_value_type(signature.args[0].dtype)
    size = context.get_abi_sizeof(number)
    lanes = VECTOR_BYTES // size
    vector, word, index = ir.VectorType(number, lanes), ir.IntType(64), ir.IntType(32)

    def place(pointer: Any, row: int, step: Any) -> Any:
        return builder.bitcast(builder.gep(pointer, [builder.mul(ir.Constant(word, row), step)]), vector.as_pointer())

    half = lanes // 2

    def interleaved(a: Any, b: Any, first: int) -> Any:
        order = [k for i in range(first, first + half) for k in (i, lanes + i)]
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(index, lanes), order))

    rows = []
    for i in range(lanes):
        rows.append(builder.load(place(x, i, stride)))
        rows[-1].align = size
    for _ in range(lanes.bit_length() - 1):
        rows = [interleaved(rows[i], rows[i + half], first) for i in range(half) for first in (0, half)]
    for i, row in enumerate(rows):
        builder.store(row, place(out, i, width)).align = size
    return context.get_dummy_value()


def _turn_tile() -> Any:
    @intrinsic
    def tile(typing: Any, x: Any, stride: Any, out: Any, width: Any) -> Any:
        from numba import types

        return types.void(x, types.int64, out, types.int64), _emit_turn

    return tile


_square = _turn_tile()


@compiled
def turn(x: Any, stride: int, rows: int, columns: int, out: Any, width: int) -> None:
    """out(j, i) = x(i, j), with x(i, j) at ``x[i stride + j]`` and out(j, i) at ``out[j width + i]``.

    Columns are taken as many at a time as a vector has numbers: there must be room for a multiple of that.
    """
    lanes = 32 // x.itemsize
    whole = rows // lanes * lanes
    for j in range(0, columns, lanes):
        for i in range(0, whole, lanes):
            _square(x[i * stride + j :], stride, out[j * width + i :], width)
    for i in range(whole, rows):
        row = x[i * stride : i * stride + columns]
        for j in range(columns):
            out[j * width + i] = row[j]


@compiled
def product(
    kind: Any,
    a: Any,
    ai: Any,
    ak: Any,
    b: Any,
    bk: Any,
    c: Any,
    ci: Any,
    extra: Any,
    ei: Any,
    rows: Any,
    columns: Any,
    depth: Any,
) -> None:
    """C(i, j) = sum_k A(i, k) B(k, j), with A(i, k) at ``a[i ai + k ak]``, B(k, j) at ``b[k bk + j]`` and C(i, j) at ``c[i ci + j]``.

    Columns are taken 16 (float64: 8) at a time: rows of B and C must have room for a multiple of that. ``extra`` is the bias by row
    or, for MASK, the gate (i, j) at ``extra[i ei + j]``; else any array as long as C.
    """
    step = 64 // c.itemsize
    for j in range(0, columns, step):
        i = 0
        while i < rows:
            left = rows - i
            x, y, z = a[i * ai :], b[j:], c[i * ci + j :]
            more = extra[i * ei + j :] if kind == MASK else extra[i:]
            if left >= 6:
                _six(kind, x, ai, ak, y, bk, z, ci, more, ei, depth)
                i += 6
            elif left >= 4:
                _four(kind, x, ai, ak, y, bk, z, ci, more, ei, depth)
                i += 4
            elif left >= 2:
                _two(kind, x, ai, ak, y, bk, z, ci, more, ei, depth)
                i += 2
            else:
                _one(kind, x, ai, ak, y, bk, z, ci, more, ei, depth)
                i += 1
