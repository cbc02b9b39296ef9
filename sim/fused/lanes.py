"""The nearest or farthest sample of every anchor, a vector of anchors at a time.

Samples pass by one after the other, and as many anchors as a vector holds look at each, their best so far in registers. Written in plain
loops, the same takes three to five times as long: minima over rows have to be gathered from several places, and short loops pay for
their beginnings and ends.
"""

from __future__ import annotations

import functools
from typing import Any

from sim.compiled import compiled, intrinsic
from sim.fused.tiles import VECTOR_BYTES


def _emit(plane: int, of_own: bool, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The code; ``plane``: the number of coordinates, where it is known beforehand, or 0."""
    from llvmlite import ir

    sign, x, labels, limit, best, chosen, start, dim, batch, stride = arguments
    pointers = {k: context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in (1, 2, 3, 4, 5)}
    x, labels, limit, best, chosen = pointers.values()
    number = context.get_value_type(signature.args[1].dtype)
    size = context.get_abi_sizeof(number)
    lanes = VECTOR_BYTES // size
    # Labels and places are as wide as the numbers, lest masks be widened and narrowed for every sample.
    word, short, whole = ir.IntType(64), ir.IntType(32), ir.IntType(8 * size)
    vector, wholes, shorts = (ir.VectorType(kind, lanes) for kind in (number, whole, short))
    name = f"llvm.fma.v{lanes}f{8 * size}"
    fused = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

    def spread(value: Any) -> Any:
        none = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        single = builder.insert_element(none, value, ir.Constant(short, 0))
        return builder.shuffle_vector(single, none, ir.Constant(shorts, [0] * lanes))

    def widened(value: Any, kind: Any) -> Any:
        return builder.sext(value, kind) if size > 4 else value

    def load(pointer: Any, place: Any, kind: Any, align: int) -> Any:
        value = builder.load(builder.bitcast(builder.gep(pointer, [place]), kind.as_pointer()))
        value.align = align
        return value

    def store(value: Any, pointer: Any, align: int) -> None:
        place = builder.bitcast(builder.gep(pointer, [start]), value.type.as_pointer())
        builder.store(value, place).align = align

    own, bound = widened(load(labels, start, shorts, 4), wholes), load(limit, start, vector, size)
    first = builder.trunc(start, short) if size == 4 else start
    anchors = builder.add(spread(first), ir.Constant(wholes, list(range(lanes))))
    factor = spread(sign)
    zero, one = ir.Constant(word, 0), ir.Constant(word, 1)

    def grown(squared: Any, row: Any, j: Any, here: Any) -> Any:
        """Plus the square of the difference in one coordinate."""
        gap = builder.fsub(here, spread(builder.load(builder.gep(x, [builder.add(row, j)]))))
        return builder.call(fused, [gap, gap, squared])

    none = ir.Constant(vector, [0.0] * lanes)
    rows = [builder.mul(ir.Constant(word, k), stride) for k in range(plane)]
    here = [load(x, builder.add(row, start), vector, size) for row in rows]
    before = builder.basic_block
    samples, coordinates, after, done = (
        builder.append_basic_block(name) for name in ("samples", "coordinates", "compare", "done")
    )
    builder.branch(samples)
    builder.position_at_end(samples)
    j, place, least, found = builder.phi(word), builder.phi(wholes), builder.phi(vector), builder.phi(wholes)
    j.add_incoming(zero, before)
    place.add_incoming(ir.Constant(wholes, [0] * lanes), before)
    least.add_incoming(ir.Constant(vector, [float("inf")] * lanes), before)
    found.add_incoming(ir.Constant(wholes, [-1] * lanes), before)
    if plane:
        total = none
        for row, own_row in zip(rows, here, strict=True):
            total = grown(total, row, j, own_row)
        builder.branch(after)
        builder.position_at_end(coordinates)
        builder.unreachable()
    else:
        builder.branch(coordinates)
        builder.position_at_end(coordinates)
        k, squared = builder.phi(word), builder.phi(vector)
        k.add_incoming(zero, samples)
        squared.add_incoming(none, samples)
        row = builder.mul(k, stride)
        total = grown(squared, row, j, load(x, builder.add(row, start), vector, size))
        following = builder.add(k, one)
        k.add_incoming(following, coordinates)
        squared.add_incoming(total, coordinates)
        builder.cbranch(builder.icmp_signed("<", following, dim), coordinates, after)
    builder.position_at_end(after)
    value = builder.fmul(total, factor)
    label = widened(spread(builder.load(builder.gep(labels, [j]))), wholes)
    wanted = builder.icmp_signed("==" if of_own else "!=", own, label)
    if of_own:
        wanted = builder.and_(wanted, builder.icmp_signed("!=", anchors, place))
    better = builder.and_(
        wanted, builder.and_(builder.fcmp_ordered(">", value, bound), builder.fcmp_ordered("<", value, least))
    )
    new_least, new_found = builder.select(better, value, least), builder.select(better, place, found)
    next_j = builder.add(j, one)
    j.add_incoming(next_j, after)
    place.add_incoming(builder.add(place, ir.Constant(wholes, [1] * lanes)), after)
    least.add_incoming(new_least, after)
    found.add_incoming(new_found, after)
    builder.cbranch(builder.icmp_signed("<", next_j, batch), samples, done)
    builder.position_at_end(done)
    store(new_least, best, size)
    store(new_found if size == 4 else builder.trunc(new_found, shorts), chosen, 4)
    return context.get_dummy_value()


def _intrinsic(plane: int, of_own: bool) -> Any:
    @intrinsic
    def lanes(
        typing: Any,
        sign: Any,
        x: Any,
        labels: Any,
        limit: Any,
        best: Any,
        chosen: Any,
        start: Any,
        dim: Any,
        batch: Any,
        stride: Any,
    ) -> Any:
        from numba import types

        word = types.int64
        returned = types.void(x.dtype, x, labels, limit, best, chosen, word, word, word, word)
        return returned, functools.partial(_emit, plane, of_own)

    return lanes


_plane_own, _plane_others = _intrinsic(2, True), _intrinsic(2, False)
_space_own, _space_others = _intrinsic(0, True), _intrinsic(0, False)


@compiled
def extremes(
    sign: float,
    x: Any,
    labels: Any,
    of_own: int,
    limit: Any,
    best: Any,
    chosen: Any,
    dim: int,
    batch: int,
    stride: int,
) -> None:
    """For every anchor the first sample with the least ``sign * squared distance`` above its limit, and that least value.

    Samples of the anchor's own label but itself (``of_own`` = 1) or of others (0); where there is none, -1 and infinity. Rows are written
    to the end of the last vector.
    """
    for start in range(0, batch, 32 // x.itemsize):
        if dim == 2 and of_own:
            _plane_own(sign, x, labels, limit, best, chosen, start, dim, batch, stride)
        elif dim == 2:
            _plane_others(sign, x, labels, limit, best, chosen, start, dim, batch, stride)
        elif of_own:
            _space_own(sign, x, labels, limit, best, chosen, start, dim, batch, stride)
        else:
            _space_others(sign, x, labels, limit, best, chosen, start, dim, batch, stride)
