"""What certificates are asked for, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from sim.errors import InvalidInput, integer
from sim.theory.certificates.exact import Matrix, Rational

MOST_SAMPLES = 100
"""Of a certificate: the verifier's limit."""

MOST_SEARCHED = 60
"""Samples up to which a better embedding is looked for: seconds; the time grows with the fourth power."""

MOST_CHARACTERS = 100
"""Of a rational given as text; digits of its numerator and denominator."""


def rational(field: str, value: Any, allowed: str, ok: Callable[[Fraction], bool]) -> Fraction:
    """``value`` as a fraction, if ``ok`` accepts it. A float is refused: 0.9 is not 9/10.

    Examples
    --------
    >>> rational("p", "9/10", "a rational in [0, 1]", lambda x: 0 <= x <= 1)
    Fraction(9, 10)
    """
    # An exponent is refused, too: "1e999999999" would be a number of a billion digits.
    written = not isinstance(value, str) or (len(value) <= MOST_CHARACTERS and "e" not in value.lower())
    if isinstance(value, (Fraction, int, str)) and not isinstance(value, bool) and written:
        try:
            number = Fraction(value)
        except (ValueError, ZeroDivisionError):
            pass
        else:
            if max(abs(number.numerator), number.denominator) < 10**MOST_CHARACTERS and ok(number):
                return number
    raise InvalidInput(field, value, allowed)


def margin_of(alpha: Any) -> Fraction:
    """The margin, checked.

    Examples
    --------
    >>> margin_of("1/2")
    Fraction(1, 2)
    """
    return rational("alpha", alpha, 'a rational > 0, such as "1/2"', lambda x: x > 0)


def symmetric(t: int, keep: Fraction) -> Matrix:
    """Transition matrix of symmetric noise.

    Examples
    --------
    >>> [str(x) for x in symmetric(3, Fraction(1, 2))[0]]
    ['1/2', '1/4', '1/4']
    """
    flip = (1 - keep) / (t - 1)
    return tuple(tuple(keep if c == y else flip for y in range(t)) for c in range(t))


def setting(
    p: Rational, per_class: int, alpha: Rational, t: int, most: int = MOST_SAMPLES
) -> tuple[tuple[int, ...], Matrix, Fraction]:
    """Classes, transition matrix of symmetric noise and margin, checked.

    Examples
    --------
    >>> setting("9/10", 2, "1/2", 2)[0]
    (0, 0, 1, 1)
    """
    t = integer("t", t, 2, most // 2)
    per_class = integer("per_class", per_class, 2, most // t)
    keep = rational("p", p, 'a rational in [0, 1], such as "9/10"', lambda x: 0 <= x <= 1)
    return tuple(c for c in range(t) for _ in range(per_class)), symmetric(t, keep), margin_of(alpha)


def general(classes: Sequence[int], transition: Sequence[Sequence[Rational]]) -> tuple[tuple[int, ...], Matrix]:
    """Any classes and any transition matrix, checked.

    Examples
    --------
    >>> general([0, 0, 1], [[1, 0], ["3/10", "7/10"]])[1][1]
    (Fraction(3, 10), Fraction(7, 10))
    """
    rows = list(transition) if isinstance(transition, (list, tuple)) else []
    t = len(rows)
    if not 2 <= t <= MOST_SAMPLES // 2 or any(not isinstance(x, (list, tuple)) or len(x) != t for x in rows):
        raise InvalidInput("transition", transition, f"a square matrix of 2 to {MOST_SAMPLES // 2} classes")
    text = "rationals >= 0 whose rows sum to 1"
    T = tuple(tuple(rational("transition", x, text, lambda x: x >= 0) for x in row) for row in rows)
    if any(sum(row) != 1 for row in T):
        raise InvalidInput("transition", transition, text)
    labels = list(classes) if isinstance(classes, (list, tuple)) else []
    if len(labels) > MOST_SAMPLES or any(type(c) is not int for c in labels) or set(labels) != set(range(t)):
        raise InvalidInput("classes", classes, f"at most {MOST_SAMPLES} integers, all of 0 to {t - 1}")
    return tuple(labels), T
