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


def collapsed(setting: Setting) -> list[list[list[Fraction]]]:
    """Every collapsed embedding that may be the best; classes of equal size may swap their names, so distances ascend."""
    c, steps = setting.classes, setting.t * (setting.t - 1) // 2
    found = []
    for sides in itertools.product(range(steps + 1), repeat=steps):
        if list(sides) == sorted(sides):
            # Two classes have one pair; of three, the pairs 01, 02, 12 have the sums 1, 2, 3.
            D = [[setting.alpha * sides[x + y - 1] if x != y else Fraction(0) for y in c] for x in c]
            found.append(D)
    return found


def check_interval(data: dict[str, Any]) -> None:
    """Refuse a certificate for an interval of p that does not prove its statement."""
    demand(data["claim"] == "C7", "only C7 has a certificate for an interval")
    demand(data["method"] in ("embedding", "slope"), f"unknown method: {data['method']!r:.40}")
    t = len(set(data["classes"]))
    demand(t == 2 or (t == 3 and data["method"] == "embedding"), "classes: not two, nor three with an embedding")
    setting = Setting({**data, "positive": "easy", "transition": [[f"1/{t}"] * t] * t})
    n = setting.n
    demand(min(setting.sizes) == max(setting.sizes), "classes: not of equal size")
    check_hypotheses(setting, data, (SIZE,))
    low, high = map(rational, data["interval"])
    demand(0 <= low < high <= 1, "interval: it is not within [0, 1]")
    D = matrix(data["distances"], n, "distances")
    try:
        least = least_dimension(setting, D, data["method"])
    except Refused as reason:
        raise Refused(f"distances: {str(reason).removeprefix('distances: ')}") from None
    check_dimensions(data, least, None)
    embeddings = [*collapsed(setting), D]
    lists = data["gains"]
    demand(len(lists) == len(embeddings) - 1, f"gains: not {len(embeddings) - 1} polynomials")
    demand(all(1 <= len(f) <= n + 1 for f in lists), "gains: a polynomial is not of degree <= n")
    gains = [[rational(x) for x in f] for f in lists]
    # Polynomials of degree <= n that agree at n + 1 places are the same.
    for k in range(1, n + 2):
        p = Fraction(k, n + 2)
        setting.transition = [[p if x == y else (1 - p) / (t - 1) for y in range(t)] for x in range(t)]
        *losses, other = (setting.value([[exact(x) for x in row] for row in E], None) for E in embeddings)
        computed = [loss - other for loss in losses]
        if data["method"] == "slope":
            computed[0] = losses[0] - losses[1]
        for j, f in enumerate(gains):
            demand(value(f, p) == computed[j], f"gains: number {j} is wrong at p = {p}")
    for j, f in enumerate(gains):
        demand(positive(setting, f, low, high), f"gains: number {j} is not positive between {low} and {high}"[:200])
    if data["root"] is not None:
        below, above = map(rational, data["root"])
        demand(
            below < above == low and above - below <= WIDEST_ROOT, "root: its bounds are not where the interval begins"
        )
        demand(any(value(f, below) <= 0 < value(f, above) for f in gains), "root: no gain changes its sign there")
