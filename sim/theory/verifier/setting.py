"""What a certificate is about: limits, numbers, and expected losses from the distribution of the nearest positive."""

from __future__ import annotations

import math
import re
import time
from fractions import Fraction
from typing import Any

Distance = tuple[Fraction, Fraction, Fraction]
"""What orders it, and bounds from below and above; a rational distance is all three."""

Row = list[tuple[Distance, int]]
"""Distance and class of each other sample."""

RATIONAL = re.compile(r"-?[0-9]+(/[1-9][0-9]*)?")

MOST_DIGITS = 500  # characters of a rational
MOST_SAMPLES = 100
MOST_PLACES = 60  # decimal places of the bounds on a distance
MOST_CASES = 200_000  # of a list that is gone through: breakpoints, collapsed embeddings, near sets
MOST_SECONDS = 60.0  # of a whole check


class Refused(Exception):
    """The certificate does not prove what it says."""


def demand(condition: bool, reason: str) -> None:
    """Refuse with ``reason`` unless ``condition``."""
    if not condition:
        raise Refused(reason)


def rational(text: object) -> Fraction:
    """A number written "num/den" or "num"; any other text, and 0.9, is refused.

    Examples
    --------
    >>> rational("9/10")
    Fraction(9, 10)
    """
    if not isinstance(text, str) or len(text) > MOST_DIGITS or not RATIONAL.fullmatch(text):
        raise Refused(f"not a rational of at most {MOST_DIGITS} characters: {text!r:.40}")
    return Fraction(text)


def exact(distance: Fraction) -> Distance:
    """A rational distance.

    Examples
    --------
    >>> exact(Fraction(1, 2))[1]
    Fraction(1, 2)
    """
    return distance, distance, distance


class Setting:
    """Classes, transition matrix and margin of a certificate, with the expected losses they define.

    Parameters
    ----------
    data : dict
        A certificate; ``classes``, ``transition``, ``alpha``, ``claim`` and ``positive`` are read.

    Examples
    --------
    Three samples at 0, 1 and 3 on a line; clean labels leave the triplets (0, 1, 2) and (1, 0, 2).

    >>> clean = {"claim": "C3", "positive": "all", "classes": [0, 0, 1], "transition": [["1", "0"], ["0", "1"]], "alpha": "3/2"}
    >>> Setting(clean).value([[exact(Fraction(abs(x - y))) for y in (0, 1, 3)] for x in (0, 1, 3)], None)
    Fraction(1, 2)
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.end = time.monotonic() + MOST_SECONDS
        demand(len(data["transition"]) <= MOST_SAMPLES, f"more than {MOST_SAMPLES} classes")
        self.transition = [[rational(x) for x in row] for row in data["transition"]]
        self.t = len(self.transition)
        demand(self.t >= 2, "fewer than 2 classes")
        for row in self.transition:
            demand(len(row) == self.t and min(row) >= 0 and sum(row) == 1, "transition is not row-stochastic")
        self.classes: list[int] = data["classes"]
        demand(len(self.classes) <= MOST_SAMPLES, f"more than {MOST_SAMPLES} samples")
        demand(all(type(c) is int for c in self.classes), "a class is not an integer")
        demand(set(self.classes) == set(range(self.t)), "classes are not 0 ... t-1")
        self.n = len(self.classes)
        self.sizes = [self.classes.count(c) for c in range(self.t)]
        self.alpha = rational(data["alpha"])
        demand(self.alpha > 0, "alpha is not positive")
        self.loss = {"C3": "triplet", "C4": "margin", "C7": "triplet", "C8": "margin"}[data["claim"]]
        allowed = {"C3": ("all",), "C4": ("all",), "C7": ("all", "easy"), "C8": ("easy",)}[data["claim"]]
        demand(data["positive"] in allowed, f"{data['claim']}: the positives are {data['positive']!r:.40}")
        self.easy = data["positive"] == "easy"

    def look(self) -> None:
        """Refuse once time is up."""
        demand(time.monotonic() < self.end, f"not checked within {MOST_SECONDS:g} s")

    def triplet_weight(self, i: int, j: int, k: int) -> Fraction:
        """P(Y_i = Y_j, Y_k != Y_i) for samples of classes i, j, k."""
        return sum(
            (
                p * q * (1 - r)
                for p, q, r in zip(self.transition[i], self.transition[j], self.transition[k], strict=True)
            ),
            Fraction(0),
        )

    def same_label(self, i: int, j: int) -> Fraction:
        """P(Y_i = Y_j) for samples of classes i, j."""
        return sum((p * q for p, q in zip(self.transition[i], self.transition[j], strict=True)), Fraction(0))

    def nearest(self, row: Row, y: int) -> list[tuple[Distance, Fraction]]:
        """Distribution of the distance of the nearest sample labelled y: (distance, probability)."""
        found = []
        nobody_nearer = Fraction(1)
        for d in sorted({d for d, _ in row}):
            nobody = math.prod((1 - self.transition[c][y] for e, c in row if e <= d), start=Fraction(1))
            found.append((d, nobody_nearer - nobody))
            nobody_nearer = nobody
        return found

    def anchor(self, own: int, row: Row, b: Fraction | None) -> Fraction:
        """Expected loss of an anchor of class ``own`` that sees the others at ``row``; of bounds an upper bound."""
        a, total, zero = self.alpha, Fraction(0), Fraction(0)
        for k, ((_, low, high), c) in enumerate(row):
            self.look()
            rest = row[:k] + row[k + 1 :]
            if b is not None:
                total += (1 - self.same_label(own, c)) * max(b + a - low, zero)
                if not self.easy:
                    total += self.same_label(own, c) * max(high - b + a, zero)
            elif self.easy:
                for y in range(self.t):
                    cost = sum((q * max(d[2] - low + a, zero) for d, q in self.nearest(rest, y)), zero)
                    total += self.transition[own][y] * (1 - self.transition[c][y]) * cost
            else:
                total += sum((self.triplet_weight(own, j, c) * max(d[2] - low + a, zero) for d, j in rest), zero)
        if b is not None and self.easy:
            for y in range(self.t):
                total += self.transition[own][y] * sum(
                    (q * max(d[2] - b + a, zero) for d, q in self.nearest(row, y)), zero
                )
        return total

    def value(self, distances: list[list[Distance]], b: Fraction | None) -> Fraction:
        """Expected loss of an embedding. Anchors of one class that see the same are computed once."""
        rows: dict[tuple[int, tuple[tuple[Distance, int], ...]], int] = {}
        for i, own in enumerate(self.classes):
            row = sorted((distances[i][j], c) for j, c in enumerate(self.classes) if j != i)
            rows[own, tuple(row)] = rows.get((own, tuple(row)), 0) + 1
        return sum((times * self.anchor(own, list(row), b) for (own, row), times in rows.items()), Fraction(0))
