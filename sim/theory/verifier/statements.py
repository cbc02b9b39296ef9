"""The statements that certificates may prove, what each takes, and in which dimensions it then holds."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .setting import Setting, demand, rational

EVERY = "every minimiser is collapsed"
TOTAL = "every minimiser is one point"
SOME = "a collapsed embedding is a minimiser"
ONE_POINT = "one point, with b = -a, is a minimiser"
NONE = "no minimiser is collapsed"

HALF = Fraction(1, 2)


def met(setting: Setting, mates: bool) -> list[Fraction]:
    """P(Y_i = Y_j) of all pairs of samples of one class, or of two, each kind of pair once."""
    c = setting.classes
    kinds = {(c[i], c[j]) for i in range(setting.n) for j in range(setting.n) if i != j and (c[i] == c[j]) == mates}
    return [setting.same_label(a, b) for a, b in sorted(kinds)]


def weights(setting: Setting) -> list[tuple[Fraction, Fraction]]:
    """(w_ijk, w_ikj) for i and j of one class and k of another, each kind once."""
    found = []
    for a in range(setting.t):
        setting.look()
        found += [
            (setting.triplet_weight(a, a, b), setting.triplet_weight(a, b, a)) for b in range(setting.t) if b != a
        ]
    return found


def unequal(setting: Setting) -> Fraction:
    """Largest difference between an anchor's agreements with samples of two other classes."""
    t = setting.t
    others = [[setting.same_label(a, b) for b in range(t) if b != a] for a in range(t)]
    return max(max(row) - min(row) for row in others)


Condition = tuple[Callable[[Setting], Fraction], Callable[[Fraction], bool]]
CONDITIONS: dict[str, Condition] = {
    "samples of the smallest class >= 2": (lambda s: Fraction(min(s.sizes)), lambda x: x >= 2),
    # w_ijk - w_ikj = s_ij - s_ik
    "least s_AA - s_AB > 0": (lambda s: min(w - v for w, v in weights(s)), lambda x: x > 0),
    "greatest |s_AB - s_AC| = 0": (unequal, lambda x: x == 0),
    "least P(Y_i = Y_k, Y_j != Y_i) > 0, j of i's class, k of another": (
        lambda s: min(v for _, v in weights(s)),
        lambda x: x > 0,
    ),
    "least s_AA > 1/2": (lambda s: min(met(s, True)), lambda x: x > HALF),
    "least 1 - s_AA > 0": (lambda s: min(1 - x for x in met(s, True)), lambda x: x > 0),
    "greatest s_AB < 1/2": (lambda s: max(met(s, False)), lambda x: x < HALF),
    "least s_AB > 0": (lambda s: min(met(s, False)), lambda x: x > 0),
    "greatest s_AA < 1/2": (lambda s: max(met(s, True)), lambda x: x < HALF),
}
"""Name of a condition -> the number that it is about, and whether a number meets it."""

SIZE, GAP, EQUAL, WEIGHT, OFTEN, NOISY, RARE, MET, RARE_WITHIN = CONDITIONS

PROVABLE: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("C3", EVERY): ("holds", (SIZE, GAP, EQUAL, WEIGHT)),
    ("C3", SOME): ("holds", (SIZE,)),
    ("C4", EVERY): ("holds", (SIZE, OFTEN, NOISY, RARE, MET)),
    ("C4", TOTAL): ("holds", (SIZE, RARE_WITHIN, RARE, MET)),
    ("C4", SOME): ("holds", (SIZE,)),
    ("C7", NONE): ("holds", (SIZE, NOISY)),
    ("C7", SOME): ("fails", (SIZE,)),
    ("C8", NONE): ("holds", (SIZE, NOISY)),
    ("C8", SOME): ("fails", (SIZE,)),
    ("C8", ONE_POINT): ("fails", (SIZE,)),
}
"""Claim and statement -> the verdict, and the conditions that are to be met."""


def check_statement(data: dict[str, Any]) -> None:
    """Refuse a statement that no certificate proves, or that is at odds with the verdict.

    Examples
    --------
    >>> check_statement({"claim": "C3", "statement": "every minimiser is collapsed", "verdict": "holds"})
    """
    claim, statement, verdict = data["claim"], data["statement"], data["verdict"]
    demand(claim in ("C3", "C4", "C7", "C8"), f"unknown claim: {claim!r:.40}")
    demand(isinstance(statement, str), f"unknown statement: {statement!r:.40}")
    demand((claim, statement) in PROVABLE, f"{claim}: no certificate states {statement!r:.60}")
    demand(verdict == PROVABLE[claim, statement][0], f"{claim}: the verdict is not {verdict!r:.40}")


def check_hypotheses(setting: Setting, data: dict[str, Any], needed: tuple[str, ...] | None = None) -> None:
    """Refuse conditions that are missing, unknown, not met, or stated with another number."""
    if needed is None:
        needed = PROVABLE[data["claim"], data["statement"]][1]
    demand(set(data["hypotheses"]) == set(needed), "hypotheses: " + "; ".join(needed) + " are needed, and no others")
    for name in needed:
        number, ok = CONDITIONS[name][0](setting), CONDITIONS[name][1]
        demand(ok(number), f"hypotheses: {name} is not met, it is {number!s:.60}")
        stated = rational(data["hypotheses"][name])
        demand(stated == number, f"hypotheses: {name}: it is {number!s:.60}, not {stated!s:.60}")


def check_dimensions(data: dict[str, Any], least: int, greatest: int | None) -> None:
    """Refuse dimensions in which the statement is not proved.

    Examples
    --------
    >>> check_dimensions({"dimensions": [1, 4]}, 1, 4)
    """
    first, last = data["dimensions"]
    demand(type(first) is int and (last is None or type(last) is int), "dimensions: not integers")
    proved = f"it is proved from {least} to {'infinity' if greatest is None else greatest}"
    within = first >= least and (greatest is None or (last is not None and last <= greatest))
    demand(within and (last is None or first <= last), f"dimensions: {proved}")
