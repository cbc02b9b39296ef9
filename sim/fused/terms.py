"""What a loss gives the compiled step: a function from the lists of a batch's tuples to the loss and its derivatives.

A loss that has one says so in `sim.losses.base.Loss.terms`, in its own file; all others train as tensor programs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sim.compiled import compiled
from sim.fused.elementary import exp_row

REDUCTIONS = {"avg_nonzero": 0, "mean": 1, "sum": 2}
"""Codes of the reductions in `sim.losses.base.reduce`."""
_ACTIVE, _COUNT = 0, 1


class Kernel:
    """A function compiled for the numbers that it is asked for.

    Parameters
    ----------
    function : callable
        ``function(options, parameters, labels, first_p, p, first_n, n, paired, theta, slope_p, slope_n, slope_theta, room, scale)``
        -> the loss of one run. ``options``: whole numbers, and ``parameters``: the run's own numbers, as in `Terms`; ``labels`` (B,);
        the lists and ``paired`` as in `sim.fused.pairs`; ``theta``: what the loss has learnt. It fills ``slope_p`` and ``slope_n`` with
        the derivatives with respect to ``p`` and ``n``, adds those with respect to ``theta`` to ``slope_theta``, and may use ``room``
        (6 rows of B numbers or more) and ``scale`` (as many whole numbers of the same size).
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        functools.update_wrapper(self, function)

    @functools.cached_property
    def _compiled(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def signature(real: str) -> Any:
        """Its type, for ``float32`` or ``float64``."""
        from numba import types

        number, whole = getattr(types, real), types.int32 if real == "float32" else types.int64
        row = types.Array(number, 1, "C")
        words, labels = types.Array(types.int64, 1, "C"), types.Array(types.int32, 1, "C")
        room, scale = types.Array(number, 2, "C"), types.Array(whole, 1, "C")
        return number(
            words, row, labels, words, row, words, row, types.int64, row, row, row, row, room, scale
        )  # fmt: skip

    def of(self, real: str) -> Any:
        """The compiled function."""
        if real not in self._compiled:
            from numba import cfunc

            self._compiled[real] = cfunc(
                self.signature(real), cache=True, fastmath={"nsz", "contract", "reassoc"}, error_model="numpy"
            )(self.function)
        return self._compiled[real]


@dataclass(frozen=True)
class Terms:
    """A loss for the compiled step.

    Attributes
    ----------
    kernel : Kernel
    value : int
        What it is given of a pair: `sim.fused.pairs.DISTANCE`, ``SQUARED`` or ``DOT``.
    options : tuple of int
        The same for all runs.
    parameters : tuple of Tensor
        Shapes () or (R,).
    cosine : bool
        Embeddings are normalised first.
    """

    kernel: Kernel
    value: int
    options: tuple[int, ...]
    parameters: tuple[Tensor, ...]
    cosine: bool = False


@compiled
def divisor(active: float, count: float, reduction: int) -> float:
    """By what a sum of terms is divided, see `sim.losses.base.reduce`."""
    if reduction == _ACTIVE:
        return max(active, 1.0)
    if reduction == _COUNT:
        return max(count, 1.0)
    return 1.0


@compiled
def divide(slopes: Any, count: int, by: float) -> None:
    """Divide the first entries of a list."""
    factor = slopes.dtype.type(1 / by)
    for k in range(count):
        slopes[k] *= factor


@compiled(fastmath={"nsz", "contract"})
def softmax_row(x: Any, out: Any, scale: Any) -> float:
    """log(sum(exp(x))) of a row with entries; out: exp(x) over that sum."""
    largest = x[0]
    for j in range(len(x)):
        largest = max(largest, x[j])
    for j in range(len(x)):
        out[j] = x[j] - largest
    exp_row(out, out, scale[: len(x)])
    total = x.dtype.type(0)
    for j in range(len(x)):
        total += out[j]
    for j in range(len(x)):
        out[j] /= total
    return largest + np.log(total)
