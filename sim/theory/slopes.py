"""Expected losses with their slopes, for minimisers: what `sim.theory.expected.expected_loss` and autograd give, without checks.

A minimiser asks thousands of times for the value of a few dozen points: there checks, and a graph of small tensors, would take nearly all of
the time. Triplets are compiled by Numba where it is installed; otherwise the tensor program of `sim.theory.expected` sums them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import kernels
from sim.compiled import compiled
from sim.theory.expected import easy_probabilities, triplet_sums

INSERTION_UP_TO = 64
"""Points up to which an insertion sort is the fastest."""

exact = functools.partial(compiled, fastmath=())


@dataclass(frozen=True)
class Slopes:
    """R expected losses.

    Attributes
    ----------
    value : Tensor, shape (R,)
    distances : Tensor, shape (R, n, n)
        The derivative by each entry of the distance matrix, as autograd gives it.
    beta : Tensor, shape (R,)
        The derivative by the boundary; 0 for losses without one.
    """

    value: Tensor
    distances: Tensor
    beta: Tensor


def slopes(
    d: Tensor, p: Tensor, *, loss: str, positive: str, alpha: float, beta: Tensor | None = None, squared: bool = False
) -> Slopes:
    """Values and derivatives of expected losses.

    Parameters
    ----------
    d : Tensor, shape (R, n, n), float64, on the CPU
        Distances, as `sim.theory.expected.check_distances` wants them.
    p : Tensor, shape (n, t), float64
        P(Y_i = y).
    loss, positive, alpha, squared
        See `sim.theory.expected.expected_loss`.
    beta : Tensor, shape (R,), optional
        Boundaries of the margin loss.

    Examples
    --------
    >>> d = torch.tensor([[[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]], dtype=torch.float64)
    >>> p = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> found = slopes(d, p, loss="triplet", positive="all", alpha=1.5)
    >>> found.value.tolist(), found.distances[0].tolist()
    ([0.5], [[0.0, 0.0, 0.0], [1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    """
    runs, n, _ = d.shape
    if loss == "triplet":
        weights, constant = _triplet(d, p, alpha, positive)  # (R, n, n), (R n,)
        value = (weights * d).sum((1, 2)) + constant.view(runs, n).sum(1)
        return Slopes(value, weights, torch.zeros_like(value))
    off_diagonal = ~torch.eye(n, dtype=torch.bool)
    same = p @ p.T  # (n, n)
    use = same * off_diagonal if positive == "all" else easy_probabilities(d.reshape(-1, n), p).view(d.shape)
    unlike = (1 - same) * off_diagonal
    if loss == "margin":
        assert beta is not None
        boundary = beta.view(-1, 1, 1)
        pull, push = d - boundary + alpha, boundary + alpha - d
        pulls, pushes = use * (pull >= 0), unlike * (push >= 0)  # (R, n, n)
        value = (pulls * pull + pushes * push).sum((1, 2))
        return Slopes(value, pulls - pushes, (pushes - pulls).sum((1, 2)))
    push = (alpha - d).clamp_min(0)
    if squared:
        value, weights = (use * d.square() + unlike * push.square()).sum((1, 2)), 2 * (use * d - unlike * push)
    else:
        value, weights = (use * d + unlike * push).sum((1, 2)), use - unlike * (alpha >= d)
    return Slopes(value, weights, torch.zeros_like(value))


def _triplet(d: Tensor, p: Tensor, alpha: float, positive: str) -> tuple[Tensor, Tensor]:
    """`sim.theory.expected.triplet_sums` of distances (R, n, n)."""
    if not kernels.AVAILABLE:
        weights, constant = triplet_sums(d.reshape(-1, d.shape[-1]), p, alpha, positive)
        return weights.view(d.shape), constant
    weights, constant = torch.zeros_like(d), d.new_zeros(d.shape[0] * d.shape[1])
    _sum_triplets(d.contiguous().numpy(), p.numpy(), alpha, positive == "easy", weights.numpy(), constant.numpy())
    return weights, constant


@exact
def _sort_others(row: Any, own: int, values: Any, order: Any) -> None:
    """The others' distances in increasing order, equal ones as they stand, and whose they are."""
    if len(row) > INSERTION_UP_TO:
        k = 0
        for j in np.argsort(row, kind="mergesort"):
            if j != own:
                values[k], order[k] = row[j], j
                k += 1
        return
    k = 0
    for j in range(len(row)):
        if j != own:
            place = k
            while place > 0 and values[place - 1] > row[j]:
                values[place], order[place] = values[place - 1], order[place - 1]
                place -= 1
            values[place], order[place] = row[j], j
            k += 1


@exact
def _sum_triplets(d: Any, p: Any, alpha: float, easy: bool, weights: Any, constant: Any) -> None:
    """Into weights (R, n, n) and constants (R n,), zero before: the sums of `triplet_sums`, in the order in which it takes them."""
    runs, n, _ = d.shape
    others = n - 1
    values, order = np.empty(others), np.empty(others, np.int64)
    within, beyond = np.empty(others, np.int64), np.empty(others, np.int64)
    negatives, positives = np.zeros(n), np.zeros(n)
    for r in range(runs):
        for i in range(n):
            _sort_others(d[r, i], i, values, order)
            a = b = 0
            for k in range(others):
                while a < others and values[a] < values[k] + alpha:
                    a += 1
                while b < others and values[b] + alpha <= values[k]:
                    b += 1
                within[k], beyond[k] = a, b
            for y in range(p.shape[1]):
                none_before = 1.0
                for k in range(others):
                    has = p[order[k], y]
                    negatives[k + 1] = negatives[k] + (1 - has)
                    positives[k + 1] = positives[k] + (has * none_before if easy else has)
                    none_before *= 1 - has
                none_before = 1.0
                for k in range(others):
                    has = p[order[k], y]
                    if easy:
                        of_positive = has * none_before * (k + (negatives[within[k]] - negatives[k + 1]))
                        after = positives[others] - positives[k + 1]
                        of_negative = after + (1 - has) * (positives[k] - positives[beyond[k]])
                        none_before *= 1 - has
                    else:
                        of_positive = has * (negatives[within[k]] - (1 - has))
                        of_negative = (1 - has) * (positives[others] - positives[beyond[k]] - has)
                    weights[r, i, order[k]] += p[i, y] * (of_positive - of_negative)
                    constant[r * n + i] += alpha * p[i, y] * of_positive
