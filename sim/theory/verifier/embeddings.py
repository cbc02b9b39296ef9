"""Embeddings: whether their distances exist in the dimension they name, and what their losses are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .setting import MOST_PLACES, Distance, Refused, Setting, demand, exact, rational


def dimension(distances: list[list[Fraction]], look: Callable[[], None] = lambda: None) -> int:
    """Rank of the Gram matrix about the centroid; refuses distances that no points have.

    Examples
    --------
    >>> dimension([[Fraction(x) for x in row] for row in ([0, 3, 4], [3, 0, 5], [4, 5, 0])])
    2
    """
    n = len(distances)
    squares = [[d * d for d in row] for row in distances]
    means = [sum(row, Fraction(0)) / n for row in squares]
    mean = sum(means, Fraction(0)) / n
    gram = [[(means[i] + means[j] - mean - squares[i][j]) / 2 for j in range(n)] for i in range(n)]
    left = list(range(n))
    rank = 0
    while left:
        k = max(left, key=lambda i: gram[i][i])
        pivot = gram[k][k]
        if pivot <= 0:
            demand(all(gram[i][j] == 0 for i in left for j in left), "the distances are not Euclidean")
            break
        left.remove(k)
        rank += 1
        column = {i: gram[i][k] for i in left}
        for i in left:
            if column[i]:
                look()
                for j in left:
                    gram[i][j] -= column[i] * column[j] / pivot
    return rank


def matrix(data: list[list[str]], n: int, name: str) -> list[list[Fraction]]:
    """Refuse what is no matrix of distances of n samples.

    Examples
    --------
    >>> matrix([["0", "1/2"], ["1/2", "0"]], 2, "better")[0][1]
    Fraction(1, 2)
    """
    D = [[rational(x) for x in row] for row in data]
    demand(len(D) == n and all(len(row) == n for row in D), f"{name}: the distance matrix is not n x n")
    for i, j in itertools.product(range(n), repeat=2):
        demand(D[i][j] == D[j][i] and D[i][j] >= 0, f"{name}: distances are not symmetric and >= 0")
        demand(i != j or D[i][j] == 0, f"{name}: a distance of a sample to itself is not 0")
    return D


def root(square: Fraction, digits: int) -> Distance:
    """Bounds on a square root, neighbouring decimals; equal where the root is one.

    Examples
    --------
    >>> [str(x) for x in root(Fraction(2), 3)]
    ['2', '707/500', '283/200']
    """
    scale = 10**digits
    low = math.isqrt(square.numerator * square.denominator * scale**2) // square.denominator
    demand(low**2 <= square * scale**2 < (low + 1) ** 2, "a square root is wrong")
    return square, Fraction(low, scale), Fraction(low + (low**2 < square * scale**2), scale)


def between_points(setting: Setting, data: dict[str, Any], name: str) -> list[list[Distance]]:
    """Bounds on the distances of rational points; refuses points that are not n rows of ``dimension`` numbers."""
    m, digits = data["dimension"], data["digits"]
    demand(type(digits) is int and 1 <= digits <= MOST_PLACES, f"{name}: digits are not an integer, 1 to {MOST_PLACES}")
    points = [[rational(x) for x in row] for row in data["points"]]
    demand(
        len(points) == setting.n and all(len(row) == m for row in points),
        f"{name}: the points are not n rows of {m!r:.20} numbers",
    )
    D = [[exact(Fraction(0))] * setting.n for _ in points]
    for (i, x), (j, y) in itertools.combinations(enumerate(points), 2):
        setting.look()
        D[i][j] = D[j][i] = root(sum(((u - v) ** 2 for u, v in zip(x, y, strict=True)), Fraction(0)), digits)
    return D


def check_embedding(setting: Setting, data: dict[str, Any], name: str) -> Fraction:
    """Refuse an embedding that does not exist or has another value; return the value."""
    demand(type(data["dimension"]) is int, f"{name}: the dimension is not an integer")
    if "points" in data:
        distances = between_points(setting, data, name)
    else:
        D = matrix(data["distances"], setting.n, name)
        try:
            rank = dimension(D, setting.look)
        except Refused as reason:
            raise Refused(f"{name}: {reason}") from None
        demand(rank == data["dimension"], f"{name}: the dimension is {rank}, not {data['dimension']}")
        distances = [[exact(x) for x in row] for row in D]
    demand(
        (data["beta"] is None) == (setting.loss == "triplet"),
        f"{name}: beta belongs to the margin loss, and only there",
    )
    beta = None if data["beta"] is None else rational(data["beta"])
    value = setting.value(distances, beta)
    demand(value == rational(data["value"]), f"{name}: the value is {value!s:.60}, not {data['value'][:60]}")
    return value
