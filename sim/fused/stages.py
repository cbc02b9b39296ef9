"""Parts of the compiled step that are compiled on their own and handed to it, as a loss's kernel is.

What a compiled function calls by name is optimised again inside it, and once more in its caller: parts that are called through their
address cost some nanoseconds a call, and are compiled once.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from sim.compiled import compiled_for

# Calling functions through their address is what Numba calls experimental; what it may change is tested here.
warnings.filterwarnings("ignore", "First-class function type feature is experimental")

ORDERLESS = ("contract", "nsz", "reassoc")
"""Sums may be taken in any order; unlike `sim.compiled.FAST` this knows NaN."""

NAMES = ("void", "number", "word", "row", "room", "words", "places", "scale", "uniforms")


@functools.cache
def kinds(real: str) -> dict[str, Any]:
    """Types of arguments by name, for ``float32`` or ``float64``: a number, rows and a table of numbers, whole numbers (int64), places
    in a batch (int32), whole numbers as large as the numbers, float32 uniforms."""
    from numba import types

    number, whole = getattr(types, real), types.int32 if real == "float32" else types.int64
    found = (
        types.void,
        number,
        types.int64,
        types.Array(number, 1, "C"),
        types.Array(number, 2, "C"),
        types.Array(types.int64, 1, "C"),
        types.Array(types.int32, 1, "C"),
        types.Array(whole, 1, "C"),
        types.Array(types.float32, 1, "C"),
    )
    return dict(zip(NAMES, found, strict=True))


class Stage:
    """A function with a signature, compiled for the numbers that it is asked for.

    Parameters
    ----------
    signature : str
        Names in `kinds`: of what is returned, then of the arguments.
    function : callable

    Examples
    --------
    >>> def last(values):
    ...     return values[-1]
    >>> Stage("number row", last).signature
    ['number', 'row']
    """

    def __init__(self, signature: str, function: Callable[..., Any]) -> None:
        self.signature, self.function = signature.split(), function
        self._compiled: dict[str, Any] = {}
        self.__doc__ = function.__doc__

    def of(self, real: str) -> Any:
        """The compiled function, for ``float32`` or ``float64``."""
        if real not in self._compiled:
            returned, *arguments = (kinds(real)[name] for name in self.signature)
            self._compiled[real] = compiled_for(returned(*arguments), self.function, fastmath=ORDERLESS)
        return self._compiled[real]


def stage(signature: str) -> Callable[[Callable[..., Any]], Stage]:
    """Decorator: see `Stage`."""
    return functools.partial(Stage, signature)
