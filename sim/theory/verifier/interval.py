"""C7 for all p of an interval: polynomials in p, compared at n + 1 places, and their sign from Bernstein coefficients.

A polynomial of degree n on an interval is a mixture of its Bernstein coefficients, with weights that are positive inside:
coefficients >= 0 that are not all 0 make it positive there. Where they are not, the interval is halved (de Casteljau).
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

from .embeddings import dimension, matrix
from .setting import Refused, Setting, demand, exact, rational
from .statements import SIZE, check_dimensions, check_hypotheses

MOST_HALVINGS = 60
WIDEST_ROOT = Fraction(1, 1000)


def value(f: list[Fraction], p: Fraction) -> Fraction:
    """f(p), coefficients lowest first.

    Examples
    --------
    >>> value([Fraction(1), Fraction(2)], Fraction(3))
    Fraction(7, 1)
    """
    return sum((c * p**k for k, c in enumerate(f)), Fraction(0))


def bernstein(f: list[Fraction], low: Fraction, high: Fraction) -> list[Fraction]:
    """Bernstein coefficients on an interval.

    Examples
    --------
    >>> [int(b) for b in bernstein([Fraction(0), Fraction(0), Fraction(1)], Fraction(0), Fraction(2))]
    [0, 0, 4]
    """
    n = len(f) - 1
    shifted = [
        sum((f[k] * math.comb(k, i) * low ** (k - i) for k in range(i, n + 1)), Fraction(0)) * (high - low) ** i
        for i in range(n + 1)
    ]
    return [
        sum((Fraction(math.comb(j, i), math.comb(n, i)) * shifted[i] for i in range(j + 1)), Fraction(0))
        for j in range(n + 1)
    ]


def positive(setting: Setting, f: list[Fraction], low: Fraction, high: Fraction) -> bool:
    """Whether f > 0 everywhere in the open interval."""
    parts = [(0, bernstein(f, low, high))]
    while parts:
        setting.look()
        depth, b = parts.pop()
        if min(b) >= 0 and max(b) > 0:
            continue
        left, right, row = [], [], b
        while row:
            left.append(row[0])
            right.append(row[-1])
            row = [(x + y) / 2 for x, y in itertools.pairwise(row)]
        if left[-1] <= 0 or depth == MOST_HALVINGS:  # the middle's value
            return False
        parts += [(depth + 1, left), (depth + 1, right[::-1])]
    return True


def least_dimension(setting: Setting, D: list[list[Fraction]], method: str) -> int:
    """Where the better embedding, or the movement across the line of centres, exists."""
    if method == "embedding":
        return max(1, dimension(D, setting.look))
    c, across = setting.classes, 0
    for i, j in itertools.combinations(range(setting.n), 2):
        demand(D[i][j] <= setting.alpha, "distances: for a slope none is above alpha")
        demand(c[i] == c[j] or D[i][j] == setting.alpha, "distances: for a slope classes are alpha apart")
    for own in range(2):
        members = [i for i in range(setting.n) if c[i] == own]
        across = max(across, dimension([[D[i][j] for j in members] for i in members], setting.look))
    return 1 + across


def check_interval(data: dict[str, Any]) -> None:
    """Refuse a certificate for an interval of p that does not prove its statement."""
    demand(data["claim"] == "C7", "only C7 has a certificate for an interval")
    demand(data["method"] in ("embedding", "slope"), f"unknown method: {data['method']!r:.40}")
    setting = Setting({**data, "positive": "easy", "transition": [["1/2", "1/2"]] * 2})
    n = setting.n
    check_hypotheses(setting, data, (SIZE,))
    low, high = map(rational, data["interval"])
    demand(0 <= low < high <= 1, "interval: it is not within [0, 1]")
    D = matrix(data["distances"], n, "distances")
    try:
        least = least_dimension(setting, D, data["method"])
    except Refused as reason:
        raise Refused(f"distances: {str(reason).removeprefix('distances: ')}") from None
    check_dimensions(data, least, None)
    c = setting.classes
    one_point, apart = ([[side * (x != y) for y in c] for x in c] for side in (Fraction(0), setting.alpha))
    lists = data["gains"]
    demand(len(lists) == 2 and all(1 <= len(f) <= n + 1 for f in lists), "gains: not two polynomials of degree <= n")
    gains = [[rational(x) for x in f] for f in lists]
    # Polynomials of degree <= n that agree at n + 1 places are the same.
    for k in range(1, n + 2):
        p = Fraction(k, n + 2)
        setting.transition = [[p, 1 - p], [1 - p, p]]
        of_one_point, of_apart, of_distances = (
            setting.value([[exact(x) for x in row] for row in E], None) for E in (one_point, apart, D)
        )
        first = of_one_point - (of_distances if data["method"] == "embedding" else of_apart)
        for name, f, computed in zip(("first", "second"), gains, (first, of_apart - of_distances), strict=True):
            demand(value(f, p) == computed, f"gains: the {name} is wrong at p = {p}")
    for name, f in zip(("first", "second"), gains, strict=True):
        demand(positive(setting, f, low, high), f"gains: the {name} is not positive between {low} and {high}"[:200])
    if data["root"] is not None:
        below, above = map(rational, data["root"])
        demand(
            below < above == low and above - below <= WIDEST_ROOT, "root: its bounds are not where the interval begins"
        )
        demand(value(gains[1], below) <= 0 < value(gains[1], above), "root: the second gain does not change its sign")
