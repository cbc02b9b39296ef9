"""Search for an embedding that beats every collapsed one: floats look for it, exact arithmetic says what it is worth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch

from sim.theory.certificates.bounds import class_sizes
from sim.theory.certificates.exact import ZERO, Embedding, Loss, Matrix, embedding_of, gram_rank
from sim.theory.slopes import slopes


def _float_losses(points: np.ndarray, rows: np.ndarray, *, loss: Loss, alpha: float, beta: float | None) -> np.ndarray:
    """EPS loss of K embeddings on a line, points (K, n), label probabilities rows (n, t) -> (K,)."""
    d = np.abs(points[:, :, None] - points[:, None, :])  # (K, n, n)
    boundary = None if beta is None else torch.full((len(d),), beta, dtype=torch.float64)
    p = torch.from_numpy(rows)
    found: np.ndarray = slopes(
        torch.from_numpy(d), p, loss=loss, positive="easy", alpha=alpha, beta=boundary
    ).value.numpy()
    return found


def _balanced(total: int, parts: int) -> list[int]:
    """Sizes of so many parts, as equal as they can be."""
    return [total // parts + (k < total % parts) for k in range(parts)]


def _line(classes: Sequence[int], loss_of: Callable[[np.ndarray], np.ndarray], step: int) -> np.ndarray:
    """Points on a line, in whole numbers, with a small loss: balanced sub-clusters, then moves of single points.

    Starts: every class in k sub-clusters, the classes interleaved or side by side, ``step`` between neighbours. Then each
    point in turn goes to the best whole-number place, until none moves. Deterministic.
    """
    t = max(classes) + 1
    n = len(classes)
    sizes = class_sizes(classes, t)
    starts = []
    for parts in range(1, max(sizes) + 1):
        for interleaved in (True, False):
            places = np.zeros(n)
            for c in range(t):
                sub_cluster = np.repeat(np.arange(parts), _balanced(sizes[c], parts))
                at = sub_cluster * t + c if interleaved else c * parts + sub_cluster
                places[[i for i in range(n) if classes[i] == c]] = at * step
            starts.append(places)
    values = loss_of(np.stack(starts))
    points = starts[int(np.argmin(values))]
    best = float(values.min())
    moved = True
    while moved:
        moved = False
        for i in range(n):
            places = np.arange(points.min() - 2 * step, points.max() + 2 * step + 1)
            trials = np.repeat(points[None], len(places), 0)
            trials[:, i] = places
            values = loss_of(trials)
            if values.min() < best - 1e-9:
                best, points, moved = float(values.min()), trials[int(np.argmin(values))], True
    return points


def better_on_line(classes: Sequence[int], transition: Matrix, loss: Loss, alpha: Fraction) -> Embedding:
    """Best embedding found on a line; in units of alpha everything is a whole number.

    Examples
    --------
    Clean labels and easy positives: zero loss.

    >>> clean = ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    >>> found = better_on_line([0, 0, 1, 1], clean, "triplet", Fraction("1/2"))
    >>> found.dimension, found.value
    (1, Fraction(0, 1))
    """
    rows = np.array([[float(x) for x in transition[c]] for c in classes])  # (n, t)
    tries: list[tuple[Fraction | None, int]] = [(None, 1)]
    if loss == "margin":
        tries = [(alpha, 2), (3 * alpha, 2)]
    found = []
    for beta, step in tries:
        b = None if beta is None else float(beta / alpha)

        def loss_of(points: np.ndarray, b: float | None = b) -> np.ndarray:
            return _float_losses(points, rows, loss=loss, alpha=1.0, beta=b)

        whole = [int(x) for x in _line(classes, loss_of, step)]
        distances = tuple(tuple(alpha * abs(x - y) for y in whole) for x in whole)
        found.append(embedding_of(distances, classes, transition, loss, "easy", alpha, beta))
    return min(found, key=lambda e: e.value)


def in_pairs(classes: Sequence[int], transition: Matrix, alpha: Fraction) -> Embedding:
    """EPS margin: pairs (and, in an odd class, one sample alone or a path of three), everything else 2a further away.

    Two distances, r = b - a within a pair and r + 2a = b + a else. r = 0 suits pairs; a path a - b - c, whose ends are
    r + 2a apart, needs r > 0, large enough for the points to exist (they approach a regular simplex).

    Examples
    --------
    >>> noisy = ((Fraction("9/10"), Fraction("1/10")), (Fraction("1/10"), Fraction("9/10")))
    >>> found = in_pairs([0, 0, 1, 1], noisy, Fraction("1/2"))
    >>> [[int(d) for d in row] for row in found.distances], found.dimension
    ([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]], 1)
    """
    n = len(classes)
    found = []
    for path in (False, True):
        near = set()
        for c in set(classes):
            members = [i for i in range(n) if classes[i] == c]
            near |= {frozenset(members[k : k + 2]) for k in range(0, len(members) - 1, 2)}
            if path and len(members) % 2 and len(members) > 1:
                near.add(frozenset(members[-2:]))
        for radius in itertools.count(2 if path else 0):
            distances = tuple(
                tuple(ZERO if i == j else alpha * (radius + 2 * (frozenset((i, j)) not in near)) for j in range(n))
                for i in range(n)
            )
            if gram_rank(distances) is not None:
                break
        found.append(embedding_of(distances, classes, transition, "margin", "easy", alpha, (radius + 1) * alpha))
    return min(found, key=lambda e: e.value)
