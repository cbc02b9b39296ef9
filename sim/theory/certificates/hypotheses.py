"""What a certificate states, under which exact conditions, and in which dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal

from sim.errors import InvalidInput
from sim.theory.certificates.bounds import class_sizes
from sim.theory.certificates.exact import ZERO, Matrix

Claim = Literal["C3", "C4", "C7", "C8"]
Statement = Literal[
    "every minimiser is collapsed",
    "every minimiser is one point",
    "a collapsed embedding is a minimiser",
    "one point, with b = -a, is a minimiser",
    "no minimiser is collapsed",
]
Dimensions = tuple[int, int | None]
"""The least and the greatest m of the R^m in which a statement holds; None: no greatest."""

EVERY: Statement = "every minimiser is collapsed"
TOTAL: Statement = "every minimiser is one point"
SOME: Statement = "a collapsed embedding is a minimiser"
ONE_POINT: Statement = "one point, with b = -a, is a minimiser"
NONE: Statement = "no minimiser is collapsed"

SIZE = "samples of the smallest class >= 2"
GAP = "least s_AA - s_AB > 0"
EQUAL = "greatest |s_AB - s_AC| = 0"
WEIGHT = "least P(Y_i = Y_k, Y_j != Y_i) > 0, j of i's class, k of another"
OFTEN_WITHIN = "least s_AA > 1/2"
NOISY = "least 1 - s_AA > 0"
RARE_BETWEEN = "greatest s_AB < 1/2"
MET_BETWEEN = "least s_AB > 0"
RARE_WITHIN = "greatest s_AA < 1/2"

REQUIRED: dict[tuple[Claim, Statement], tuple[str, ...]] = {
    ("C3", EVERY): (SIZE, GAP, EQUAL, WEIGHT),
    ("C4", EVERY): (SIZE, OFTEN_WITHIN, NOISY, RARE_BETWEEN, MET_BETWEEN),
    ("C4", TOTAL): (SIZE, RARE_WITHIN, RARE_BETWEEN, MET_BETWEEN),
    ("C7", NONE): (SIZE, NOISY),
    ("C8", NONE): (SIZE, NOISY),
}
"""Conditions by claim and statement; the others need the size of the classes only."""


def quantities(classes: Sequence[int], transition: Matrix) -> dict[str, Fraction]:
    """The number that each condition is about, by the condition's name.

    Parameters
    ----------
    classes : (n,) sequence of int
        True classes.
    transition : (t, t) tuple of Fraction
        T[c][y] = P(label y | class c).

    Examples
    --------
    >>> noisy = ((Fraction("9/10"), Fraction("1/10")), (Fraction("1/10"), Fraction("9/10")))
    >>> quantities([0, 0, 1, 1], noisy)["least s_AA - s_AB > 0"]
    Fraction(16, 25)
    """
    t = len(transition)
    s = [[sum((p * q for p, q in zip(x, y, strict=True)), ZERO) for y in transition] for x in transition]
    between = [s[a][b] for a, b in itertools.permutations(range(t), 2)]
    spreads = [max(x) - min(x) for x in ([s[a][b] for b in range(t) if b != a] for a in range(t))]
    weights = [
        sum((x * y * (1 - x) for x, y in zip(transition[a], transition[b], strict=True)), ZERO)
        for a, b in itertools.permutations(range(t), 2)
    ]
    within = [s[a][a] for a in range(t)]
    return {
        SIZE: Fraction(min(class_sizes(classes, t))),
        GAP: min(s[a][a] - s[a][b] for a, b in itertools.permutations(range(t), 2)),
        EQUAL: max(spreads),
        WEIGHT: min(weights),
        OFTEN_WITHIN: min(within),
        NOISY: 1 - max(within),
        RARE_BETWEEN: max(between),
        MET_BETWEEN: min(between),
        RARE_WITHIN: max(within),
    }


MET: dict[str, Callable[[Fraction], bool]] = {
    SIZE: lambda x: x >= 2,
    GAP: lambda x: x > 0,
    EQUAL: lambda x: x == 0,
    WEIGHT: lambda x: x > 0,
    OFTEN_WITHIN: lambda x: 2 * x > 1,
    NOISY: lambda x: x > 0,
    RARE_BETWEEN: lambda x: 2 * x < 1,
    MET_BETWEEN: lambda x: x > 0,
    RARE_WITHIN: lambda x: 2 * x < 1,
}
"""Whether the number that a condition is about meets it."""


def hypotheses(
    claim: Claim, statement: Statement, classes: Sequence[int], transition: Matrix, given: tuple[str, Any] | None = None
) -> dict[str, Fraction]:
    """The conditions of a statement with their numbers.

    Parameters
    ----------
    claim, statement
        What is to be proved.
    classes, transition
        See `quantities`.
    given : (str, object), optional
        The input that an error names instead of the transition matrix, and its value.

    Raises
    ------
    InvalidInput
        If one is not met.

    Examples
    --------
    >>> clean = ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    >>> hypotheses("C7", "no minimiser is collapsed", [0, 0, 1, 1], clean, ("p", 1))
    Traceback (most recent call last):
    sim.errors.InvalidInput: p: got 1; allowed: for "no minimiser is collapsed" one with least 1 - s_AA > 0 (it is 0)
    """
    numbers = quantities(classes, transition)
    found = {name: numbers[name] for name in REQUIRED.get((claim, statement), (SIZE,))}
    for name, number in found.items():
        if not MET[name](number):
            field, wrong = ("classes", classes) if name == SIZE else given or ("transition", transition)
            raise InvalidInput(field, wrong, f'for "{statement}" one with {name} (it is {number!s:.40})')
    return found
