"""One run's row of several tensors, copied to one place and back.

A trainer has a tensor for each weight and bias, (R, ...), as many as the net has layers; compiled code is the same for all nets. It is
therefore told where the tensors lie.
"""

from __future__ import annotations

import functools
from typing import Any

from sim.compiled import compiled, intrinsic


def _emit(to_memory: bool, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Code that copies numbers between an array and an address."""
    from numba.core import cgutils

    address, array, place, count = arguments
    row = builder.gep(context.make_array(signature.args[1])(context, builder, array).data, [place])
    there = builder.inttoptr(address, row.type)
    size = context.get_abi_sizeof(row.type.pointee)
    target, source = (there, row) if to_memory else (row, there)
    cgutils.raw_memcpy(builder, target, source, count, size)  # type: ignore[no-untyped-call]
    return context.get_dummy_value()


def _intrinsic(to_memory: bool) -> Any:
    @intrinsic
    def copy(typing: Any, address: Any, array: Any, place: Any, count: Any) -> Any:
        from numba import types

        return types.void(address, array, types.int64, types.int64), functools.partial(_emit, to_memory)

    return copy


_load, _store = _intrinsic(False), _intrinsic(True)


@compiled
def gathered(addresses: Any, counts: Any, run: int, row: Any) -> None:
    """Fill a row with a run's numbers of all tensors; ``addresses`` (T,), int64: where they begin, ``counts`` (T,): how many each has
    a run."""
    place = 0
    for k in range(len(counts)):
        _load(addresses[k] + run * counts[k] * row.itemsize, row, place, counts[k])
        place += counts[k]


@compiled
def scattered(addresses: Any, counts: Any, run: int, row: Any) -> None:
    """What `gathered` does, the other way."""
    place = 0
    for k in range(len(counts)):
        _store(addresses[k] + run * counts[k] * row.itemsize, row, place, counts[k])
        place += counts[k]
