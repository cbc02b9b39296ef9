"""Embeddings given by rational points of R^m: exact order of the distances, bounds on their values.

Distances of rational points are square roots. Their squares are rational, so the nearest positive is known exactly; each
root lies between two neighbouring decimals of ``digits`` places, found from an integer square root. With positives at the
upper and negatives at the lower one every hinge is at least what it is, and so is the expected loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sim.theory.certificates.exact import ZERO, Loss, Matrix, Seen, anchor_loss
from sim.theory.descent import Search
from sim.theory.minimise import minimise

DIGITS = 12
"""Decimal places of the bounds on distances."""
PLACES = 6
"""Decimal places, in units of alpha, to which points that were found are rounded."""
RESTARTS = 18
SEARCH = Search(steps=400, polish=400)


@dataclass(frozen=True)
class Points:
    """An embedding in rational points.

    Attributes
    ----------
    points : tuple of tuple of Fraction, (n, m)
    dimension : int
        m, from 1: the embedding exists in R^m and every larger space.
    digits : int
        Decimal places of the bounds on distances, from 1.
    value : Fraction
        Upper bound on the expected loss.
    beta : Fraction or None
        Margin loss: the boundary b. None for the triplet loss.
    """

    points: Matrix
    dimension: int
    digits: int
    value: Fraction
    beta: Fraction | None = None


def root_bounds(square: Fraction, digits: int) -> tuple[Fraction, Fraction]:
    """The decimals of so many places next to a square root, below and above; twice the root if it is one itself.

    Examples
    --------
    >>> [str(x) for x in root_bounds(Fraction(2), 2)], [str(x) for x in root_bounds(Fraction(1, 4), 2)]
    (['141/100', '71/50'], ['1/2', '1/2'])
    """
    scale = 10**digits
    scaled = square * scale**2
    low = math.isqrt(scaled.numerator // scaled.denominator)
    return Fraction(low, scale), Fraction(low + (low**2 != scaled), scale)


def points_of(
    points: Matrix,
    classes: Sequence[int],
    transition: Matrix,
    loss: Loss,
    alpha: Fraction,
    beta: Fraction | None,
    digits: int = DIGITS,
) -> Points:
    """Rational points with an upper bound on their expected loss, easy positives.

    Parameters
    ----------
    points : (n, m) tuple of Fraction
    classes, transition, loss, alpha, beta
        See `exact_loss`.
    digits : int
        See `Points`.

    Examples
    --------
    Two classes of two, clean labels, mates sqrt(2) apart: easy triplets cost nothing at a distance of sqrt(2) + 1.

    >>> clean = ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    >>> square = tuple((Fraction(x), Fraction(y)) for x, y in ((0, 0), (1, 1), (4, 0), (5, 1)))
    >>> points_of(square, [0, 0, 1, 1], clean, "triplet", Fraction(1), None).value
    Fraction(0, 1)
    """
    total = ZERO
    for i, own in enumerate(classes):
        others = []
        for j, c in enumerate(classes):
            if j != i:
                square = sum(((x - y) ** 2 for x, y in zip(points[i], points[j], strict=True)), ZERO)
                others.append(Seen(square, *root_bounds(square, digits), c))
        total += anchor_loss(others, transition, own, loss=loss, positive="easy", alpha=alpha, beta=beta)
    return Points(points, len(points[0]), digits, total, beta)


def better_in_space(classes: Sequence[int], transition: Matrix, loss: Loss, alpha: Fraction, dim: int) -> Points:
    """The best embedding in R^dim that a search with floats finds, rounded to decimals.

    Examples
    --------
    >>> clean = ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    >>> float(better_in_space([0, 0, 1, 1], clean, "triplet", Fraction("1/2"), dim=2).value)
    0.0
    """
    found = minimise(
        np.array(classes),
        [[float(x) for x in row] for row in transition],
        loss=loss,
        positive="easy",
        alpha=1.0,
        beta="learn" if loss == "margin" else None,
        dim=dim,
        restarts=RESTARTS,
        search=SEARCH,
    )

    def rounded(x: float) -> Fraction:
        return alpha * Fraction(round(x * 10**PLACES), 10**PLACES)

    points = tuple(tuple(rounded(x) for x in row) for row in found.embeddings[0].tolist())
    beta = rounded(float(found.betas[0])) if loss == "margin" else None
    return points_of(points, classes, transition, loss, alpha, beta)
