"""What it costs to split one class of a collapsed embedding: easy-positive NT-Xent (SupCon, N-pair of cosines), two classes, symmetric noise.

All samples of a class share a point of the unit sphere; the centres' cosine is c. One class is split in two pieces of k_1 and k_2 samples, moved by +h
and -h along a direction orthogonal to both centres, and put back on the sphere. The cosine between the pieces is then 1 - 2 h^2 + O(h^4), that to the other class
c - c h^2 / 2 + O(h^4), and the expected loss changes by kappa h^2 + O(h^4): the positive is the easy one, so an anchor's own piece comes first, and the
order of a row does not change with h. kappa < 0: not even a local minimiser.

With classes on points, an anchor's row has few values, so its expected term is a finite sum over how many samples of each value bear another
label: no quadrature. The same code runs on floats and on intervals (`mpmath.iv`), whose end points are rounded outwards: there, kappa < 0 is proven.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mpmath.ctx_iv import MPIntervalContext

from sim.errors import integer, number
from sim.theory.certificates.inputs import rational
from sim.verdict import Verdict

Allowed = tuple[str, Callable[[Any], bool]]
"""What a number has to be, in words and as a test."""

INTERVALS = MPIntervalContext()
INTERVALS.prec = 80  # bits of the end points

CHANCE: Allowed = "0 < p < 1, p != 1/2", lambda v: 0 < v < 1 and 2 * v != 1
TEMPERATURE: Allowed = "0.01 to 1000", lambda v: 100 * v >= 1 and v <= 1000

MOST_PER_CLASS = 32
"""The time grows with the third power: a minute for a proof."""

MOST_BOXES = 2000

NARROWEST = Fraction(1, 2**16)
"""Width of an interval of cosines that isn't halved any more."""


@dataclass(frozen=True)
class _Group:
    """Samples at one cosine of an anchor: how many, P(each has the anchor's label) for each label, and by how much the cosine grows with h^2."""

    size: int
    chances: tuple[Any, ...]
    cosine: Any
    growth: Any


def _growth(groups: list[_Group], labels: tuple[Any, ...], temperature: Any, exp: Callable[[Any], Any]) -> Any:
    """By how much the expected term of an anchor, P(its label is y) = ``labels``, grows with h^2; groups by decreasing cosine."""
    total = 0 * temperature
    for y, chance in enumerate(labels):
        nearer_lack = 1 + 0 * temperature  # P(nobody nearer has the label)
        for g, group in enumerate(groups):
            a = group.chances[y]
            nearer, farther = groups[:g], groups[g + 1 :]
            relative = [exp((h.cosine - group.cosine) / temperature) for h in groups]
            slopes = [(h.growth - group.growth) / temperature for h in groups]
            certain = sum((h.size * x for h, x in zip(nearer, relative, strict=False)), 0 * temperature)
            moving = sum((h.size * x * v for h, x, v in zip(nearer, relative, slopes, strict=False)), 0 * temperature)
            for lacking in range(group.size):
                weight = (
                    chance
                    * nearer_lack
                    * math.comb(group.size, lacking)
                    * (1 - a) ** lacking
                    * a ** (group.size - lacking)
                )
                for share, terms, change in _negatives(farther, y, relative[g + 1 :], slopes[g + 1 :]):
                    total += weight * share * (moving + change) / (1 + certain + lacking + terms)
            nearer_lack = nearer_lack * (1 - a) ** group.size
    return total


def _negatives(groups: list[_Group], y: int, relative: list[Any], slopes: list[Any]) -> list[tuple[Any, Any, Any]]:
    """Over how many samples of each group lack label y: probability, their part of the sum, and how it grows."""
    found: list[tuple[Any, Any, Any]] = [(1, 0, 0)]
    for group, x, v in zip(groups, relative, slopes, strict=True):
        a = group.chances[y]
        found = [
            (
                share * math.comb(group.size, lacking) * (1 - a) ** lacking * a ** (group.size - lacking),
                terms + lacking * x,
                change + lacking * x * v,
            )
            for share, terms, change in found
            for lacking in range(group.size + 1)
        ]
    return found


def _kappa(per_class: int, p: Any, temperature: Any, cosine: Any, exp: Callable[[Any], Any]) -> Any:
    own, other = (p, 1 - p), (1 - p, p)
    aside = -cosine / 2
    pieces = per_class - per_class // 2, per_class // 2
    total = 0 * temperature
    for mine, theirs in (pieces, pieces[::-1]):
        groups = [
            _Group(mine - 1, own, 1, 0),
            _Group(theirs, own, 1, -2),
            _Group(per_class, other, cosine, aside),
        ]
        total += mine * _growth([g for g in groups if g.size], own, temperature, exp)
    whole = [_Group(per_class - 1, other, 1, 0), _Group(per_class, own, cosine, aside)]
    return total + per_class * _growth(whole, other, temperature, exp)


def _slope(per_class: int, p: Any, temperature: Any, cosine: Any, exp: Callable[[Any], Any]) -> Any:
    """Derivative of the collapsed embedding's expected loss in the centres' cosine."""
    own, other = (p, 1 - p), (1 - p, p)
    groups = [_Group(per_class - 1, own, 1, 0), _Group(per_class, other, cosine, 1)]
    return 2 * per_class * _growth(groups, own, temperature, exp)


def kappa(per_class: int, p: float, temperature: float, cosine: float) -> float:
    """kappa of a collapsed embedding, by float64.

    Parameters
    ----------
    per_class : int
        k samples of each of the two classes, 2 to `MOST_PER_CLASS`; pieces of k // 2 and the rest.
    p : float
        P(a label is kept), 0 < p < 1, not 1/2.
    temperature : float
        0.01 to 1000.
    cosine : float
        Of the centres, -1 to 1; below 1, where the classes are apart.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> round(kappa(6, 0.9, 0.1, 0.59), 2), round(kappa(3, 0.99, 1.0, -1.0), 2)
    (-17.33, 1.35)
    """
    per_class = integer("per_class", per_class, 2, MOST_PER_CLASS)
    p, temperature = number("p", p, *CHANCE), number("temperature", temperature, *TEMPERATURE)
    cosine = number("cosine", cosine, "-1 <= cosine < 1", lambda v: -1 <= v < 1)
    return float(_kappa(per_class, p, temperature, cosine, math.exp))


@dataclass(frozen=True)
class Split:
    """Whether splitting a class lowers the loss of every collapsed embedding that could be the best one.

    Attributes
    ----------
    verdict : str
        ``holds``: proven for every cosine of the centres; ``fails``: kappa > 0 in ``undecided``; else ``inconclusive``.
    boxes : int
        Intervals of cosines that were looked at.
    undecided : (float, float) or None
        Cosines that may be the best, where kappa isn't negative.
    """

    verdict: Verdict
    boxes: int
    undecided: tuple[float, float] | None


def splitting(per_class: int, p: Any, temperature: Any, *, most: int = MOST_BOXES) -> Split:
    """Prove that no collapsed embedding minimises the expected easy-positive NT-Xent loss of two classes, in any R^m, m >= 3.

    The cosines of the centres, -1 to 1, are covered by intervals. In each of them either the loss of the collapsed embedding is monotone, so that the best cosine
    isn't there (at -1, where it may end: only if it falls), or kappa < 0, so that splitting a class lowers the loss.

    Parameters
    ----------
    per_class : int
        See `kappa`.
    p, temperature : Fraction, int or str
        Exactly: 0.9 is not 9/10. Ranges as in `kappa`.
    most : int
        Intervals to look at before it stays undecided.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> splitting(3, "9/10", "1/10").verdict
    'holds'

    Two classes of three at a high temperature: the best centres are opposite to each other, and splitting doesn't help.

    >>> splitting(3, "99/100", 1).verdict
    'fails'
    """
    k = integer("per_class", per_class, 2, MOST_PER_CLASS)
    exact_p, exact_tau = rational("p", p, *CHANCE), rational("temperature", temperature, *TEMPERATURE)
    most = integer("most", most, 1)
    chance, tau = (INTERVALS.mpf(x.numerator) / x.denominator for x in (exact_p, exact_tau))
    todo = [(Fraction(-1), Fraction(1))]
    looked = 0
    while todo:
        low, high = todo.pop()
        looked += 1
        # Halves of halves of -1 to 1 are floats: exact.
        box = INTERVALS.mpf([float(low), float(high)])
        slope = _slope(k, chance, tau, box, INTERVALS.exp)
        if (slope.a > 0 and low > -1) or (slope.b < 0 and high < 1):
            continue
        change = _kappa(k, chance, tau, box, INTERVALS.exp)
        if high < 1 and change.b < 0:
            continue
        if looked >= most or high - low < NARROWEST:
            return Split("fails" if change.a > 0 else "inconclusive", looked, (float(low), float(high)))
        middle = (low + high) / 2
        todo += [(low, middle), (middle, high)]
    return Split("holds", looked, None)
