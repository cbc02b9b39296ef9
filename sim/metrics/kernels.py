"""Compiled loops over all pairs of samples, for the metrics that come at every checkpoint.

They take a row of distances after another and keep none of them. The tensor programs beside their callers say what they compute.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import kernels
from sim.compiled import AVAILABLE, compiled
from sim.kernels import usable as usable  # what decides between a kernel here and the tensor program beside its caller

from .base import Runs

BY_COUNTING = 64
"""Hits up to which comparing each with all samples beats a search for each sample among the hits."""

# As written, each operation rounded for itself: ties, infinities and NaN decide here.
exact = functools.partial(compiled, fastmath=())


@exact
def squared_row(x: Any, i: int, row: Any) -> None:
    """Squared distances of sample i to all of ``x`` (m, n), summed as `pairs.squares` does, into ``row`` (n,).

    Examples
    --------
    >>> row = np.empty(3)
    >>> squared_row(np.array([[0.0, 1.0, 5.0]]), 1, row)
    >>> row.tolist()
    [1.0, 0.0, 16.0]
    """
    here = x[0, i]
    for j in range(x.shape[1]):
        gap = x[0, j] - here
        row[j] = gap * gap
    for k in range(1, x.shape[0]):
        here = x[k, i]
        for j in range(x.shape[1]):
            gap = x[k, j] - here
            row[j] += gap * gap


def _plain_row(x: Any, i: int, row: Any) -> None:
    np.square(x - x[:, i : i + 1]).sum(axis=0, out=row)


if not AVAILABLE:
    # As loops in Python it would take a hundred times as long; along the first axis NumPy adds one row after the other, too.
    squared_row = _plain_row


@compiled
def _least(values: Any) -> float:
    least = np.inf
    for j in range(len(values)):
        least = values[j] if values[j] < least else least
    return least


@exact
def _recall(k: int, first: int, size: int, hits: int) -> float:
    """Probability of a hit among the first k if the first hits are in the group after ``first`` misses."""
    if k <= first:
        return 0.0
    miss = 1.0
    for drawn in range(min(k - first, size)):
        miss *= (size - hits - drawn) / (size - drawn)
    return 1 - miss


@dataclass(frozen=True)
class SideBySide:
    """The samples of each run, those of a class and those of a mode side by side.

    Attributes
    ----------
    x : Tensor, (R, m, n), float64
    order : Tensor, (R, n), int64
        Which sample stands at each place.
    classes, fine : Tensor, (2, R, n), int64
        Where the sample's class (mode) begins and ends.
    """

    x: Tensor
    order: Tensor
    classes: Tensor
    fine: Tensor

    def back(self, values: Tensor) -> Tensor:
        """``values`` (..., R, n) in the samples' own order."""
        return torch.empty_like(values).scatter_(-1, self.order.expand_as(values), values)


def side_by_side(runs: Runs) -> SideBySide:
    """See `SideBySide`.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([7, 3, 7]), None, DEFAULT)
    >>> found = side_by_side(next(chunks))
    >>> found.x.tolist(), found.order.tolist(), found.classes.tolist()
    ([[[2.0, 0.0, 9.0]]], [[1, 0, 2]], [[[0, 1, 1]], [[1, 3, 3]]])
    """
    fine, order = runs.fine.sort(dim=-1, stable=True)  # ids of modes ascend with their classes
    x = runs.x.gather(1, order[..., None].expand_as(runs.x)).mT.contiguous()
    spans = [
        torch.stack([torch.searchsorted(labels, labels, right=right) for right in (False, True)])
        for labels in (runs.class_of_fine[fine], fine)
    ]
    return SideBySide(x, order, *spans)


@exact
def _place(values: Any, count: int, d: float) -> int:
    """How many of the ascending values (count of them, at least one) are less than d."""
    base, left = 0, count
    while left > 1:  # as many turns for every d: nothing to mispredict
        half = left // 2
        base += half * (values[base + half - 1] < d)
        left -= half
    return int(base + (values[base] < d))


@exact
def _sort(values: Any) -> None:
    if len(values) > BY_COUNTING:
        values.sort()
        return
    for j in range(1, len(values)):
        value, place = values[j], j
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


@exact
def _retrieval(
    x: Any, span: Any, ks: Any, precision: bool, by_counting: int, values: Any, start: int, stop: int
) -> None:
    n, columns = x.shape[2], len(ks)
    row, hits = np.empty(n), np.empty(n)
    found, nearer, tied = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for query in range(start, stop):
        r, i = query // n, query % n
        squared_row(x[r], i, row)
        a, b = span[0, r, i], span[1, r, i]
        wanted = b - a - 1
        for j in range(wanted):
            hits[j] = row[a + j + (a + j >= i)]
        row[i] = np.inf  # a query does not find itself
        nearest = _least(hits[:wanted])
        first, size, own = 0, 0, 0
        for j in range(n):
            first += row[j] < nearest
            size += row[j] == nearest
        for j in range(a, b):
            own += row[j] == nearest
        for column in range(columns):
            values[column, r, i] = _recall(ks[column], first, size, own)
        if not precision:
            continue

        # At each distance of a hit: the hits there, all samples there, and all samples nearer than that.
        _sort(hits[:wanted])
        distinct = 0
        for j in range(wanted):
            if distinct == 0 or hits[j] > hits[distinct - 1]:
                hits[distinct], found[distinct] = hits[j], 0
                distinct += 1
            found[distinct - 1] += 1
        by_search = distinct > by_counting
        if by_search:
            nearer[: distinct + 1] = 0
            tied[:distinct] = 0
            for j in range(n):
                place = _place(hits, distinct, row[j])
                if place < distinct:
                    same = row[j] == hits[place]
                    tied[place] += same
                    nearer[place + same] += 1
        chances, average, before, rank = 0.0, 0.0, 0, 0
        for group in range(distinct):
            if by_search:
                rank += nearer[group]
                size = tied[group]
            else:
                here, rank, size = hits[group], 0, 0
                for j in range(n):
                    rank += row[j] < here
                    size += row[j] == here
            if rank >= wanted:
                break
            own = found[group]
            chance = own / size
            for at in range(rank, min(rank + size, wanted)):
                ahead = (at - rank) * float(own - 1) / max(size - 1, 1)
                chances += chance
                average += chance * ((before + 1 + ahead) / (at + 1))
            before += own
        values[columns, r, i], values[columns + 1, r, i] = chances / wanted, average / wanted


def retrieval(samples: SideBySide, span: Tensor, ks: list[int], precision: bool) -> Tensor:
    """What each sample retrieves among the others; ties are averaged over all orders (see `sim.metrics.retrieval`).

    Parameters
    ----------
    samples : SideBySide
    span : Tensor, (2, R, n)
        That of the label: ``samples.classes`` or ``samples.fine``.
    ks : list of int
        From 1 to n - 1.
    precision : bool
        Whether to add R-precision and MAP@R.

    Returns
    -------
    Tensor, (len(ks), R, n) or (len(ks) + 2, R, n), float64
        Recall at each of ``ks``, R-precision, average precision at R; of no meaning for a label that nobody else has.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare([[0.0], [1.5], [1.0], [9.0]], [0, 1, 0, 1], None, DEFAULT)
    >>> samples = side_by_side(next(chunks))
    >>> retrieval(samples, samples.classes, [1, 2], False).tolist()
    [[[1.0, 0.0, 0.0, 1.0]], [[1.0, 0.0, 1.0, 1.0]]]
    """
    found = samples.x.new_empty(len(ks) + 2 * precision, *samples.order.shape)
    every = samples.order.numel()
    kernels.over_runs(_retrieval, every, samples.x, span, torch.tensor(ks), precision, BY_COUNTING, out=(found,))
    return samples.back(found)


@compiled
def _total(values: Any) -> float:
    total = 0.0
    for j in range(len(values)):
        total += values[j]
    return total


@compiled
def _distance_sums(x: Any, classes: Any, fine: Any, sums: Any, start: int, stop: int) -> None:
    n = x.shape[2]
    row = np.empty(n)
    for sample in range(start, stop):
        r, i = sample // n, sample % n
        squared_row(x[r], i, row)
        for j in range(n):
            row[j] = np.sqrt(row[j])
        own = row[classes[0, r, i] : classes[1, r, i]]
        sums[0, r, i], sums[1, r, i] = _total(own), -_least(-own)
        sums[2, r, i], sums[3, r, i] = _total(row[fine[0, r, i] : fine[1, r, i]]), _total(row)


def distance_sums(samples: SideBySide) -> Tensor:
    """What `spread.pairwise` says, (4, R, n).

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare([[0.0], [2.0], [9.0]], [0, 0, 1], None, DEFAULT)
    >>> distance_sums(side_by_side(next(chunks))).tolist()
    [[[2.0, 2.0, 0.0]], [[2.0, 2.0, 0.0]], [[2.0, 2.0, 0.0]], [[11.0, 9.0, 16.0]]]
    """
    sums = samples.x.new_empty(4, *samples.order.shape)
    kernels.over_runs(_distance_sums, samples.order.numel(), samples.x, samples.classes, samples.fine, out=(sums,))
    return samples.back(sums)
