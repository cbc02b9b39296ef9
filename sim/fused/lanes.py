"""The nearest or farthest sample of every anchor, a vector of anchors at a time.

Samples pass by one after the other, and as many anchors as a vector holds look at each, their best so far in registers. Written in plain
loops, the same takes three to five times as long: minima over rows have to be gathered from several places, and short loops pay for
their beginnings and ends.
"""

from __future__ import annotations

from typing import Any

from sim.compiled import compiled
from sim.fused.tiles import VECTOR_BYTES


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from llvmlite import ir

    sign, x, labels, of_own, limit, best, chosen, start, dim, batch, stride = arguments
    pointers = {k: context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in (1, 2, 4, 5, 6)}
    x, labels, limit, best, chosen = pointers.values()
    number = context.get_value_type(signature.args[1].dtype)
    size = context.get_abi_sizeof(number)
    lanes = VECTOR_BYTES // size
    vector, word, short = ir.VectorType(number, lanes), ir.IntType(64), ir.IntType(32)
    places, bits = ir.VectorType(short, lanes), ir.VectorType(ir.IntType(1), lanes)
    name = f"llvm.fma.v{lanes}f{8 * size}"
    fused = builder.module.globals.get(name) or ir.Function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

    def spread(value: Any, kind: Any) -> Any:
        single = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(short, 0))
        everywhere = ir.Constant(ir.VectorType(short, lanes), [0] * lanes)
        return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), everywhere)

    def load(pointer: Any, place: Any, kind: Any, align: int) -> Any:
        value = builder.load(builder.bitcast(builder.gep(pointer, [place]), kind.as_pointer()))
        value.align = align
        return value

    def store(value: Any, pointer: Any, align: int) -> None:
        place = builder.bitcast(builder.gep(pointer, [start]), value.type.as_pointer())
        builder.store(value, place).align = align

    own, bound = load(labels, start, places, 4), load(limit, start, vector, size)
    first = builder.trunc(start, short)
    anchors = builder.add(spread(first, places), ir.Constant(places, list(range(lanes))))
    factor = spread(sign, vector)
    differs = spread(builder.xor(builder.trunc(of_own, ir.IntType(1)), ir.Constant(ir.IntType(1), 1)), bits)
    zero, one = ir.Constant(word, 0), ir.Constant(word, 1)
    before = builder.basic_block
    samples, coordinates, after, done = (
        builder.append_basic_block(name) for name in ("samples", "coordinates", "compare", "done")
    )
    builder.branch(samples)
    builder.position_at_end(samples)
    j, least, found = builder.phi(word), builder.phi(vector), builder.phi(places)
    j.add_incoming(zero, before)
    least.add_incoming(ir.Constant(vector, [float("inf")] * lanes), before)
    found.add_incoming(ir.Constant(places, [-1] * lanes), before)
    builder.branch(coordinates)
    builder.position_at_end(coordinates)
    k, squared = builder.phi(word), builder.phi(vector)
    k.add_incoming(zero, samples)
    squared.add_incoming(ir.Constant(vector, [0.0] * lanes), samples)
    row = builder.mul(k, stride)
    there = spread(builder.load(builder.gep(x, [builder.add(row, j)])), vector)
    gap = builder.fsub(load(x, builder.add(row, start), vector, size), there)
    grown = builder.call(fused, [gap, gap, squared])
    following = builder.add(k, one)
    k.add_incoming(following, coordinates)
    squared.add_incoming(grown, coordinates)
    builder.cbranch(builder.icmp_signed("<", following, dim), coordinates, after)
    builder.position_at_end(after)
    value = builder.fmul(grown, factor)
    same = builder.icmp_signed("==", own, spread(builder.load(builder.gep(labels, [j])), places))
    here = spread(builder.trunc(j, short), places)
    wanted = builder.and_(builder.xor(same, differs), builder.icmp_signed("!=", anchors, here))
    better = builder.and_(
        wanted, builder.and_(builder.fcmp_ordered(">", value, bound), builder.fcmp_ordered("<", value, least))
    )
    new_least, new_found = builder.select(better, value, least), builder.select(better, here, found)
    next_j = builder.add(j, one)
    j.add_incoming(next_j, after)
    least.add_incoming(new_least, after)
    found.add_incoming(new_found, after)
    builder.cbranch(builder.icmp_signed("<", next_j, batch), samples, done)
    builder.position_at_end(done)
    store(new_least, best, size)
    store(new_found, chosen, 4)
    return context.get_dummy_value()


def _intrinsic() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def lanes(
        typing: Any,
        sign: Any,
        x: Any,
        labels: Any,
        of_own: Any,
        limit: Any,
        best: Any,
        chosen: Any,
        start: Any,
        dim: Any,
        batch: Any,
        stride: Any,
    ) -> Any:
        word = types.int64
        return types.void(x.dtype, x, labels, word, limit, best, chosen, word, word, word, word), _emit

    return lanes


_lanes = _intrinsic()


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
        _lanes(sign, x, labels, of_own, limit, best, chosen, start, dim, batch, stride)
