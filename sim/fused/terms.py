"""What a loss gives the compiled step: a function from the lists of a batch's tuples to the loss and its derivatives.

A loss that has one says so in `sim.losses.base.Loss.terms`, in its own file; all others train as tensor programs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sim.compiled import compiled
from sim.fused.elementary import exp_row
from sim.fused.stages import ORDERLESS, Stage

REDUCTIONS = {"avg_nonzero": 0, "mean": 1, "sum": 2}
"""Codes of the reductions in `sim.losses.base.reduce`."""
_ACTIVE, _COUNT = 0, 1


SIGNATURE = "number words row places words row words row word row row row row room scale"


def kernel(function: Callable[..., Any]) -> Stage:
    """Decorator: a loss for the compiled step.

    Parameters
    ----------
    function : callable
        ``function(options, parameters, labels, first_p, p, first_n, n, paired, theta, slope_p, slope_n, slope_theta, room, scale)``
        -> the loss of one run. ``options``: whole numbers, and ``parameters``: the run's own numbers, as in `Terms`; ``labels`` (B,);
        the lists and ``paired`` as in `sim.fused.pairs`; ``theta``: what the loss has learnt. It fills ``slope_p`` and ``slope_n`` with
        the derivatives with respect to ``p`` and ``n``, adds those with respect to ``theta`` to ``slope_theta``, and may use ``room``
        (6 rows of B numbers or more) and ``scale`` (as many whole numbers of the same size).
    """
    return Stage(SIGNATURE, function)


@dataclass(frozen=True)
class Terms:
    """A loss for the compiled step.

    Attributes
    ----------
    kernel : Stage
        Of `kernel`.
    value : int
        What it is given of a pair: `sim.fused.pairs.DISTANCE`, ``SQUARED`` or ``DOT``.
    options : tuple of int
        The same for all runs.
    parameters : tuple of Tensor
        Shapes () or (R,).
    cosine : bool
        Embeddings are normalised first.
    """

    kernel: Stage
    value: int
    options: tuple[int, ...]
    parameters: tuple[Tensor, ...]
    cosine: bool = False


@compiled
def divisor(active: float, count: float, reduction: int) -> Any:
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


@compiled
def averaged(
    total: float, active: float, count: float, reduction: int, first_p: Any, slope_p: Any, first_n: Any, slope_n: Any
) -> Any:
    """The loss from the sum of its terms; its derivatives are divided alike."""
    by = divisor(active, count, reduction)
    divide(slope_p, first_p[-1], by)
    divide(slope_n, first_n[-1], by)
    return total / slope_p.dtype.type(by)


@compiled(fastmath=ORDERLESS)
def softmax_row(x: Any, out: Any, scale: Any) -> Any:
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
