"""Expected losses with their slopes, for minimisers: what `sim.theory.expected.expected_loss` and autograd give, without checks.

A minimiser asks thousands of times for the value of a few dozen points: there checks, and a graph of small tensors, would take nearly all of
the time. All is compiled by Numba where it is installed; otherwise the tensor program of `sim.theory.expected` sums it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import distances, kernels
from sim.compiled import compiled
from sim.theory.expected import LOSSES, easy_probabilities, triplet_sums

INSERTION_UP_TO = 64
"""Points up to which an insertion sort is the fastest."""

TRIPLET, MARGIN = LOSSES.index("triplet"), LOSSES.index("margin")

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
    d = d.contiguous()  # and so is what is written to
    found = Slopes(d.new_zeros(runs), torch.zeros_like(d), d.new_zeros(runs))
    if kernels.AVAILABLE:
        boundary = np.zeros(runs) if beta is None else beta.numpy()
        form = (LOSSES.index(loss), positive == "easy", float(alpha), bool(squared))
        arrays = (x.numpy() for x in (found.value, found.distances, found.beta))
        _of_distances(d.numpy(), p.numpy(), form, boundary, *arrays)
        return found
    if loss == "triplet":
        weights, constant = triplet_sums(d.reshape(-1, n), p, alpha, positive)  # (R n, n), (R n,)
        weights = weights.view(d.shape)
        return Slopes((weights * d).sum((1, 2)) + constant.view(runs, n).sum(1), weights, found.beta)
    off_diagonal = ~torch.eye(n, dtype=torch.bool)
    same = p @ p.T  # (n, n)
    use = same * off_diagonal if positive == "all" else easy_probabilities(d.reshape(-1, n), p).view(d.shape)
    unlike = (1 - same) * off_diagonal
    if loss == "margin":
        assert beta is not None
        border = beta.view(-1, 1, 1)
        pull, push = d - border + alpha, border + alpha - d
        pulls, pushes = use * (pull >= 0), unlike * (push >= 0)  # (R, n, n)
        value = (pulls * pull + pushes * push).sum((1, 2))
        return Slopes(value, pulls - pushes, (pushes - pulls).sum((1, 2)))
    push = (alpha - d).clamp_min(0)
    if squared:
        value, weights = (use * d.square() + unlike * push.square()).sum((1, 2)), 2 * (use * d - unlike * push)
    else:
        value, weights = (use * d + unlike * push).sum((1, 2)), use - unlike * (alpha >= d)
    return Slopes(value, weights, found.beta)


def at_points(
    points: np.ndarray,
    p: np.ndarray,
    *,
    loss: str,
    positive: str,
    alpha: float,
    beta: np.ndarray,
    squared: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values (R,), and derivatives by points (R, n, m) and by boundaries (R,).

    Parameters
    ----------
    points : ndarray, shape (R, n, m), float64
    p : ndarray, shape (n, t), float64
    loss, positive, alpha, squared
        See `slopes`.
    beta : ndarray, shape (R,)
        Read for the margin loss only.

    Examples
    --------
    >>> line, p = np.array([[[0.0], [1.0], [3.0]]]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> value, gradient, _ = at_points(
    ...     line, p, loss="triplet", positive="all", alpha=1.5, beta=np.zeros(1), squared=False
    ... )
    >>> value.tolist(), gradient.tolist()
    ([0.5], [[[-1.0], [2.0], [-1.0]]])
    """
    if kernels.AVAILABLE:
        value, gradient, of_beta = np.zeros(len(points)), np.zeros_like(points), np.zeros(len(points))
        form = (LOSSES.index(loss), positive == "easy", float(alpha), bool(squared))
        _of_points(points, p, form, beta, value, gradient, of_beta)
        return value, gradient, of_beta
    x = torch.from_numpy(points)
    d = distances.pairwise(x)
    found = slopes(
        d, torch.from_numpy(p), loss=loss, positive=positive, alpha=alpha, beta=torch.from_numpy(beta), squared=squared
    )
    by_points = distances.gradient(x, d, found.distances)
    return found.value.numpy(), by_points.numpy(), found.beta.numpy()


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
def _triplet(d: Any, p: Any, alpha: float, easy: bool, weights: Any) -> float:
    """Into weights (n, n), zero before, those of `triplet_sums`, in the order in which it takes them; its constants' sum."""
    n, t = p.shape
    others, constant = n - 1, 0.0
    values, order = np.empty(others), np.empty(others, np.int64)
    within, beyond = np.empty(others, np.int64), np.empty(others, np.int64)
    negatives, positives = np.zeros(n), np.zeros(n)
    for i in range(n):
        _sort_others(d[i], i, values, order)
        a = b = 0
        for k in range(others):
            while a < others and values[a] < values[k] + alpha:
                a += 1
            while b < others and values[b] + alpha <= values[k]:
                b += 1
            within[k], beyond[k] = a, b
        for y in range(t):
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
                weights[i, order[k]] += p[i, y] * (of_positive - of_negative)
                constant += alpha * p[i, y] * of_positive
    return constant


@exact
def _easy(d: Any, p: Any, use: Any) -> None:
    """Into use (n, n), zero before, the probabilities of `sim.theory.expected.easy_probabilities`."""
    n, t = p.shape
    values, order = np.empty(n - 1), np.empty(n - 1, np.int64)
    for i in range(n):
        _sort_others(d[i], i, values, order)
        for y in range(t):
            none_before = 1.0
            for k in range(n - 1):
                has = p[order[k], y]
                use[i, order[k]] += p[i, y] * has * none_before
                none_before *= 1 - has


@exact
def _pairs(d: Any, p: Any, form: Any, beta: float, weights: Any) -> tuple[float, float]:
    """Into weights (n, n), zero before, the slopes of a loss over pairs; its value and its slope by the boundary."""
    loss, easy, alpha, squared = form
    n, t = p.shape
    if easy:
        _easy(d, p, weights)
    value = of_beta = 0.0
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            same = 0.0
            for y in range(t):
                same += p[i, y] * p[j, y]
            use, unlike = weights[i, j] if easy else same, 1 - same
            if loss == MARGIN:
                pull, push = d[i, j] - beta + alpha, beta + alpha - d[i, j]
                use, unlike = use if pull >= 0 else 0.0, unlike if push >= 0 else 0.0
                value += use * pull + unlike * push
                weights[i, j] = use - unlike
                of_beta += unlike - use
            elif squared:
                push = max(alpha - d[i, j], 0.0)
                value += use * d[i, j] ** 2 + unlike * push**2
                weights[i, j] = 2 * (use * d[i, j] - unlike * push)
            else:
                value += use * d[i, j] + unlike * max(alpha - d[i, j], 0.0)
                weights[i, j] = use - (unlike if alpha >= d[i, j] else 0.0)
    return value, of_beta


@exact
def _of_distances(d: Any, p: Any, form: Any, beta: Any, value: Any, weights: Any, of_beta: Any) -> None:
    """`slopes` of R distance matrices, into zeros."""
    for r in range(len(d)):
        if form[0] != TRIPLET:
            value[r], of_beta[r] = _pairs(d[r], p, form, beta[r], weights[r])
            continue
        value[r] = _triplet(d[r], p, form[2], form[1], weights[r])
        for i in range(d.shape[1]):
            for j in range(d.shape[1]):
                value[r] += weights[r, i, j] * d[r, i, j]


@exact
def _of_points(points: Any, p: Any, form: Any, beta: Any, value: Any, gradient: Any, of_beta: Any) -> None:
    """`at_points`, into zeros."""
    _, n, m = points.shape
    d, weights = np.zeros((1, n, n)), np.empty((1, n, n))
    for r in range(len(points)):
        x, by_points = points[r], gradient[r]
        for i in range(n):
            for j in range(i):
                squares = 0.0
                for a in range(m):
                    squares += (x[i, a] - x[j, a]) ** 2
                d[0, i, j] = d[0, j, i] = np.sqrt(squares)
        weights[:] = 0
        _of_distances(d, p, form, beta[r : r + 1], value[r : r + 1], weights, of_beta[r : r + 1])
        for i in range(n):
            for j in range(i):
                if d[0, i, j] > 0:
                    pull = (weights[0, i, j] + weights[0, j, i]) / d[0, i, j]
                    for a in range(m):
                        by_points[i, a] += pull * (x[i, a] - x[j, a])
                        by_points[j, a] -= pull * (x[i, a] - x[j, a])
