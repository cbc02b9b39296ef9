"""Exact arithmetic: expected losses in rational numbers, and in which dimension a distance matrix exists."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Literal, NamedTuple

Rational = Fraction | int | str
Matrix = tuple[tuple[Fraction, ...], ...]
Loss = Literal["triplet", "margin"]
Positive = Literal["all", "easy"]

ZERO, ONE = Fraction(0), Fraction(1)


class Seen(NamedTuple):
    """Another sample as an anchor sees it; sorted, the nearest is first.

    Attributes
    ----------
    order : Fraction
        Sorts the others by their distance, exactly: the distance, or its square.
    low, high : Fraction
        Bounds on the distance, in the same order; both are the distance where that is rational.
    label_class : int
        Its true class.
    """

    order: Fraction
    low: Fraction
    high: Fraction
    label_class: int


def at(distance: Fraction, label_class: int) -> Seen:
    """A sample at a rational distance.

    Examples
    --------
    >>> at(Fraction(2), 1).high
    Fraction(2, 1)
    """
    return Seen(distance, distance, distance, label_class)


@dataclass(frozen=True)
class Embedding:
    """An embedding with its exact expected loss.

    Attributes
    ----------
    distances : tuple of tuple of Fraction, (n, n)
        Euclidean distance matrix.
    dimension : int
        Rank of the Gram matrix: the embedding exists in R^m exactly for m >= dimension.
    value : Fraction
        Expected loss.
    beta : Fraction or None
        Margin loss: the boundary b. None for the triplet loss.
    """

    distances: Matrix
    dimension: int
    value: Fraction
    beta: Fraction | None = None


def exact_loss(
    distances: Sequence[Sequence[Fraction]],
    classes: Sequence[int],
    transition: Sequence[Sequence[Fraction]],
    *,
    loss: Loss,
    positive: Positive,
    alpha: Fraction,
    beta: Fraction | None = None,
) -> Fraction:
    """Expected loss over independent noisy labels, in rational arithmetic.

    Parameters
    ----------
    distances : (n, n) sequence of Fraction
    classes : (n,) sequence of int
        True classes, indices into ``transition``.
    transition : (t, t) sequence of Fraction
        Row-stochastic; T[c][y] = P(label y | class c).
    loss : {"triplet", "margin"}
    positive : {"all", "easy"}
        Easy: the nearest sample with the anchor's label; an anchor without one has no positive term (so no triplet).
    alpha, beta : Fraction
        Margin and, for the margin loss, boundary.

    Returns
    -------
    Fraction
        Sum over distinct indices; O(t n^2) operations.

    Examples
    --------
    Three samples at 0, 1 and 3 on a line; clean labels leave the triplets (0, 1, 2) and (1, 0, 2).

    >>> line = [[Fraction(abs(x - y)) for y in (0, 1, 3)] for x in (0, 1, 3)]
    >>> clean, noisy = ([[Fraction(p), 1 - Fraction(p)], [1 - Fraction(p), Fraction(p)]] for p in (1, "9/10"))
    >>> alpha = Fraction("3/2")
    >>> exact_loss(line, [0, 0, 1], clean, loss="triplet", positive="all", alpha=alpha)
    Fraction(1, 2)
    >>> exact_loss(line, [0, 0, 1], noisy, loss="triplet", positive="easy", alpha=alpha)
    Fraction(47, 40)
    """
    total = ZERO
    for i, own in enumerate(classes):
        others = [at(distances[i][j], c) for j, c in enumerate(classes) if j != i]
        total += anchor_loss(others, transition, own, loss=loss, positive=positive, alpha=alpha, beta=beta)
    return total


def anchor_loss(
    others: Sequence[Seen],
    transition: Sequence[Sequence[Fraction]],
    own: int,
    *,
    loss: Loss,
    positive: Positive,
    alpha: Fraction,
    beta: Fraction | None,
) -> Fraction:
    """Expected loss of one anchor of class ``own`` that sees ``others``, every other sample.

    Where distances are known by bounds only, an upper bound: positives are taken at their upper, negatives at their
    lower one, and the nearest positive is exact as the order is. The other arguments are those of `exact_loss`.
    """
    others = sorted(others)
    total = ZERO
    lows = [e.low for e in others]
    # How many others are nearer than a margin beyond each: a hinge is active for those, whose terms are sums of prefixes.
    within = [bisect_left(lows, d.high + alpha) for d in others] if loss == "triplet" else []
    nearness = list(accumulate(lows, initial=ZERO))
    for y, p_anchor in enumerate(transition[own]):
        chosen_before, of_label = ONE, ZERO
        unlike = [1 - transition[e.label_class][y] for e in others]
        chances = list(accumulate(unlike, initial=ZERO))
        chances_nearness = list(accumulate((w * e for w, e in zip(unlike, lows, strict=True)), initial=ZERO))
        for r, seen in enumerate(others):
            chosen = transition[seen.label_class][y] * (chosen_before if positive == "easy" else 1)
            if loss == "margin":
                assert beta is not None
                of_label += chosen * max(seen.high - beta + alpha, ZERO)
            else:
                reach, last = seen.high + alpha, within[r]
                if positive == "easy":
                    # An easy positive at rank r has no equal label before it already.
                    pushed = r * reach - nearness[r]
                    first = r + 1
                else:
                    pushed = -unlike[r] * (reach - seen.low)  # itself
                    first = 0
                pushed += (chances[last] - chances[first]) * reach - (chances_nearness[last] - chances_nearness[first])
                of_label += chosen * pushed
            chosen_before *= unlike[r]
        if loss == "margin":
            assert beta is not None
            of_label += sum((w * max(beta + alpha - e, ZERO) for w, e in zip(unlike, lows, strict=True)), ZERO)
        total += p_anchor * of_label
    return total


def gram_rank(distances: Sequence[Sequence[Fraction]]) -> int | None:
    """Least dimension in which a distance matrix is realised by points, or None where no dimension is enough.

    Schoenberg (1935): D is Euclidean iff G_ij = (D_0i^2 + D_0j^2 - D_ij^2) / 2 is positive semidefinite, and then the
    rank of G is the dimension. Decided by symmetric elimination in rational arithmetic.

    Examples
    --------
    A triangle needs the plane; lengths that break the triangle inequality exist nowhere.

    >>> triangle = [[Fraction(x) for x in row] for row in ([0, 3, 4], [3, 0, 5], [4, 5, 0])]
    >>> impossible = [[Fraction(x) for x in row] for row in ([0, 1, 5], [1, 0, 1], [5, 1, 0])]
    >>> gram_rank(triangle), gram_rank(impossible)
    (2, None)
    """
    n = len(distances)
    gram = [
        [(distances[0][i] ** 2 + distances[0][j] ** 2 - distances[i][j] ** 2) / 2 for j in range(1, n)]
        for i in range(1, n)
    ]
    rank = 0
    for k in range(n - 1):
        pivot = gram[k][k]
        if pivot < 0 or (pivot == 0 and any(gram[k][k + 1 :])):
            return None
        if pivot == 0:
            continue
        rank += 1
        for i in range(k + 1, n - 1):
            if gram[i][k]:
                factor = gram[i][k] / pivot
                for j in range(k + 1, n - 1):
                    gram[i][j] -= factor * gram[k][j]
    return rank


def embedding_of(
    distances: Matrix,
    classes: Sequence[int],
    transition: Matrix,
    loss: Loss,
    positive: Positive,
    alpha: Fraction,
    beta: Fraction | None,
) -> Embedding:
    """The embedding with its dimension and its `exact_loss`; the distances must be Euclidean."""
    dimension = gram_rank(distances)
    assert dimension is not None
    value = exact_loss(distances, classes, transition, loss=loss, positive=positive, alpha=alpha, beta=beta)
    return Embedding(distances, dimension, value, beta)
