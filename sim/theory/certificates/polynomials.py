"""Polynomials with rational coefficients: where they have a sign, by Sturm's theorem (1829)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

from sim.theory.certificates.exact import ZERO

Polynomial = tuple[Fraction, ...]
"""Coefficients, that of the constant first; the last is not 0. The zero polynomial has none."""


def trimmed(coefficients: Sequence[Fraction]) -> Polynomial:
    """Without zeros at the end.

    Examples
    --------
    >>> len(trimmed([Fraction(1), Fraction(2), Fraction(0)]))
    2
    """
    kept = list(coefficients)
    while kept and kept[-1] == 0:
        kept.pop()
    return tuple(kept)


def value(f: Polynomial, x: Fraction) -> Fraction:
    """f(x).

    Examples
    --------
    >>> value((Fraction(1), Fraction(0), Fraction(2)), Fraction(3))
    Fraction(19, 1)
    """
    total = ZERO
    for c in reversed(f):
        total = total * x + c
    return total


def interpolated(f: Callable[[Fraction], Fraction], degree: int) -> Polynomial:
    """The polynomial of at most this degree that f is: from its values at 0, 1, ..., degree (Newton's divided differences).

    Examples
    --------
    >>> [int(c) for c in interpolated(lambda x: (x + 1) ** 2, 4)]
    [1, 2, 1]
    """
    differences = [f(Fraction(x)) for x in range(degree + 1)]
    for order in range(1, degree + 1):
        for x in range(degree, order - 1, -1):
            differences[x] = (differences[x] - differences[x - 1]) / order
    result: list[Fraction] = []
    for x in range(degree, -1, -1):  # result * (p - x) + differences[x]
        result = [a - x * b for a, b in zip([ZERO, *result], [*result, ZERO], strict=True)]
        result[0] += differences[x]
    return trimmed(result)


def _remainder(f: Polynomial, g: Polynomial) -> Polynomial:
    """Of the division of f by g."""
    rest = list(f)
    while len(rest) >= len(g):
        factor = rest[-1] / g[-1]
        shift = len(rest) - len(g)
        for k, c in enumerate(g):
            rest[shift + k] -= factor * c
        rest.pop()
    return trimmed(rest)


def sturm_chain(f: Polynomial) -> list[Polynomial]:
    """f, its derivative, and the negated remainders, each scaled by a positive number.

    Examples
    --------
    >>> [[int(c) for c in g] for g in sturm_chain((Fraction(-1), Fraction(0), Fraction(1)))]
    [[-1, 0, 1], [0, 1], [1]]
    """
    chain = [f]
    following = trimmed([k * c for k, c in enumerate(f)][1:])
    while following:
        chain.append(tuple(c / abs(following[-1]) for c in following))
        following = tuple(-c for c in _remainder(chain[-2], chain[-1]))
    return chain


def roots_between(f: Polynomial, low: Fraction, high: Fraction) -> int:
    """Number of different roots in the open interval, by Sturm's theorem.

    Examples
    --------
    >>> roots_between((Fraction(0), Fraction(-1), Fraction(0), Fraction(1)), Fraction(-1), Fraction(2))
    2
    """
    for end in (low, high):  # Sturm's theorem wants ends that are no roots
        while f and value(f, end) == 0:
            f = _without_root(f, end)
    chain = sturm_chain(f)
    return _sign_changes(chain, low) - _sign_changes(chain, high)


def _sign_changes(chain: Sequence[Polynomial], x: Fraction) -> int:
    """Along the chain's values at x, without zeros."""
    signs = [v > 0 for v in (value(g, x) for g in chain) if v != 0]
    return sum(a != b for a, b in itertools.pairwise(signs))


def _without_root(f: Polynomial, root: Fraction) -> Polynomial:
    """f / (p - root), by Horner's scheme."""
    quotient, carried = [], ZERO
    for c in reversed(f):
        carried = carried * root + c
        quotient.append(carried)
    return tuple(reversed(quotient[:-1]))


def is_positive(f: Polynomial, low: Fraction, high: Fraction) -> bool:
    """Whether f > 0 on the whole open interval.

    Examples
    --------
    >>> is_positive((Fraction(0), Fraction(1), Fraction(-1)), Fraction(0), Fraction(1))
    True
    >>> is_positive((Fraction(1), Fraction(-4), Fraction(4)), Fraction(0), Fraction(1))
    False
    """
    return value(f, (low + high) / 2) > 0 and roots_between(f, low, high) == 0


def last_root(f: Polynomial, low: Fraction, high: Fraction, width: Fraction) -> tuple[Fraction, Fraction]:
    """Bounds, at most ``width`` apart, on the greatest root in the open interval; there must be one.

    f has no root above the upper bound, nor at it.

    Examples
    --------
    >>> [float(x) for x in last_root((Fraction(-1), Fraction(0), Fraction(2)), Fraction(0), Fraction(1), Fraction(1, 4))]
    [0.5, 0.75]
    """
    while value(f, high) == 0:
        f = _without_root(f, high)
    chain, top = sturm_chain(f), high
    while high - low > width or high == top:
        middle = (low + high) / 2
        if value(f, middle) == 0 or _sign_changes(chain, middle) > _sign_changes(chain, top):
            low = middle
        else:
            high = middle
    return low, high
