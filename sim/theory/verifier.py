"""Check a certificate of C3, C4, C7 or C8: standard library only, rational arithmetic only.

Run ``python -m sim.theory.verifier FILE...``: exit code 0 when every certificate is accepted, 1 when one is refused. The
file needs nothing else of this project (``python verifier.py FILE`` works on a copy), and recomputes every number by
another route than the program that writes certificates:

- expected losses from the distribution of the nearest positive's distance, one (anchor, negative) pair at a time;
- realisability of a distance matrix from the Gram matrix about the centroid;
- lower bounds by listing every case: all triples, all pairs, all vertices, all near sets.

Why these finite lists bound all embeddings is proved in the text of ``sim/theory/certificates``. In short: an easy
positive loss is piecewise linear in an anchor's distances, so its minimum is at a vertex of the cells on which it is
linear; for the margin loss, D - b may be clipped to [-a, a] first, which leaves the vertices D - b in {-a, a}.

A certificate beyond the limits below (``MOST_...``) is refused by name, whatever it proves elsewhere.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

Row = list[tuple[Fraction, int]]
RATIONAL = re.compile(r"-?[0-9]+(/[1-9][0-9]*)?")

MOST_BYTES = 10_000_000  # of a file
MOST_DIGITS = 500  # characters of a rational
MOST_SAMPLES = 100
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


class Setting:
    """Classes, transition matrix and margin of a certificate, with the expected losses they define.

    Parameters
    ----------
    data : dict
        A certificate; ``classes``, ``transition``, ``alpha`` and ``claim`` are read.

    Examples
    --------
    Three samples at 0, 1 and 3 on a line; clean labels leave the triplets (0, 1, 2) and (1, 0, 2).

    >>> clean = {"claim": "C3", "classes": [0, 0, 1], "transition": [["1", "0"], ["0", "1"]], "alpha": "3/2"}
    >>> Setting(clean).value([[Fraction(abs(x - y)) for y in (0, 1, 3)] for x in (0, 1, 3)], None)
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
        self.easy = data["claim"] in ("C7", "C8")

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

    def nearest(self, row: Row, y: int) -> list[tuple[Fraction, Fraction]]:
        """Distribution of the distance of the nearest sample labelled y: (distance, probability)."""
        found = []
        nobody_nearer = Fraction(1)
        for d in sorted({d for d, _ in row}):
            nobody = math.prod((1 - self.transition[c][y] for e, c in row if e <= d), start=Fraction(1))
            found.append((d, nobody_nearer - nobody))
            nobody_nearer = nobody
        return found

    def anchor(self, own: int, row: Row, b: Fraction | None) -> Fraction:
        """Expected loss of an anchor of class ``own`` that sees the others at ``row`` = [(distance, class)]."""
        a, total, zero = self.alpha, Fraction(0), Fraction(0)
        for k, (e, c) in enumerate(row):
            self.look()
            rest = row[:k] + row[k + 1 :]
            if b is not None:
                total += (1 - self.same_label(own, c)) * max(b + a - e, zero)
                if not self.easy:
                    total += self.same_label(own, c) * max(e - b + a, zero)
            elif self.easy:
                for y in range(self.t):
                    cost = sum((q * max(d - e + a, zero) for d, q in self.nearest(rest, y)), zero)
                    total += self.transition[own][y] * (1 - self.transition[c][y]) * cost
            else:
                total += sum((self.triplet_weight(own, j, c) * max(d - e + a, zero) for d, j in rest), zero)
        if b is not None and self.easy:
            for y in range(self.t):
                total += self.transition[own][y] * sum(
                    (q * max(d - b + a, zero) for d, q in self.nearest(row, y)), zero
                )
        return total

    def value(self, distances: list[list[Fraction]], b: Fraction | None) -> Fraction:
        """Expected loss of an embedding. Anchors of one class that see the same are computed once."""
        rows: dict[tuple[int, tuple[tuple[Fraction, int], ...]], int] = {}
        for i, own in enumerate(self.classes):
            row = sorted((distances[i][j], c) for j, c in enumerate(self.classes) if j != i)
            rows[own, tuple(row)] = rows.get((own, tuple(row)), 0) + 1
        return sum((times * self.anchor(own, list(row), b) for (own, row), times in rows.items()), Fraction(0))

    def vertices(self) -> dict[Fraction | None, list[Fraction]]:
        """For every b that may be best for a collapsed embedding, the distances of centres that may be."""
        if self.loss == "triplet":
            return {None: [self.alpha * k for k in range(self.t * (self.t - 1) // 2 + 1)]}
        return {-self.alpha: [Fraction(0)], self.alpha: [Fraction(0), 2 * self.alpha]}

    def bound_all(self) -> Fraction:
        """Lower bound over all embeddings, and all b."""
        pairs = [(i, j) for i in range(self.n) for j in range(self.n) if i != j]
        c = self.classes
        if self.loss == "triplet":
            triples = ((i, j, k) for i, j in pairs for k in range(j + 1, self.n) if k != i)
            self.look()
            least = (
                min(self.triplet_weight(c[i], c[j], c[k]), self.triplet_weight(c[i], c[k], c[j])) for i, j, k in triples
            )
            return 2 * self.alpha * sum(least, Fraction(0))
        if not self.easy:
            return (
                2
                * self.alpha
                * sum((min(s, 1 - s) for s in (self.same_label(c[i], c[j]) for i, j in pairs)), Fraction(0))
            )
        return sum((size * self.best_near_set(own) for own, size in enumerate(self.sizes)), Fraction(0))

    def best_near_set(self, own: int) -> Fraction:
        """Least loss of an anchor over all sets of near samples (D = b - a); the others are at D = b + a."""
        others = [size - (c == own) for c, size in enumerate(self.sizes)]
        demand(math.prod(u + 1 for u in others) <= MOST_CASES, f"more than {MOST_CASES} near sets to go through")

        def none_of(counts: tuple[int, ...] | list[int]) -> Fraction:
            """P(no one among so many of each class has the anchor's label)."""
            nobody = [math.prod((1 - self.transition[c][y]) ** u for c, u in enumerate(counts)) for y in range(self.t)]
            return sum((p * q for p, q in zip(self.transition[own], nobody, strict=True)), Fraction(0))

        def cost(near: tuple[int, ...]) -> Fraction:
            self.look()
            mislabelled = sum((u * (1 - self.same_label(own, c)) for c, u in enumerate(near)), Fraction(0))
            return mislabelled + none_of(near) - none_of(others)

        least = min(cost(near) for near in itertools.product(*(range(u + 1) for u in others)))
        return 2 * self.alpha * least

    def bound_one_class(self) -> Fraction:
        """Lower bound over embeddings that collapse at least one class (triplet, easy positives)."""
        bounds: list[Fraction] = []
        for own, size in enumerate(self.sizes):
            total = Fraction(0)
            for y in range(self.t):
                others = [self.transition[c][y] for c in self.classes]
                others.remove(self.transition[own][y])
                if size > 1:
                    others.remove(self.transition[own][y])
                somebody = 1 - math.prod((1 - p for p in others), start=Fraction(1))
                total += self.transition[own][y] * (1 - self.transition[own][y]) * somebody
            bounds.append(self.alpha * size * (size - 1) * total)
        return min(bounds)


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


def check_embedding(setting: Setting, data: dict[str, Any], name: str) -> tuple[list[list[Fraction]], Fraction]:
    """Refuse an embedding that does not exist or has another value; return its distances and value."""
    D = [[rational(x) for x in row] for row in data["distances"]]
    n = setting.n
    demand(len(D) == n and all(len(row) == n for row in D), f"{name}: the distance matrix is not n x n")
    for i, j in itertools.product(range(n), repeat=2):
        demand(D[i][j] == D[j][i] and D[i][j] >= 0, f"{name}: distances are not symmetric and >= 0")
        demand(i != j or D[i][j] == 0, f"{name}: a distance of a sample to itself is not 0")
    try:
        rank = dimension(D, setting.look)
    except Refused as reason:
        raise Refused(f"{name}: {reason}") from None
    demand(type(data["dimension"]) is int, f"{name}: the dimension is not an integer")
    demand(rank == data["dimension"], f"{name}: the dimension is {rank}, not {data['dimension']}")
    demand(
        (data["beta"] is None) == (setting.loss == "triplet"),
        f"{name}: beta belongs to the margin loss, and only there",
    )
    beta = None if data["beta"] is None else rational(data["beta"])
    value = setting.value(D, beta)
    demand(value == rational(data["value"]), f"{name}: the value is {value!s:.60}, not {data['value'][:60]}")
    return D, value


def check_bound(data: dict[str, Any], name: str, computed: Fraction) -> None:
    """Refuse a bound other than the one computed."""
    demand(rational(data[name]) == computed, f"{name}: it is {computed!s:.60}, not {data[name][:60]}")


def check_breakpoints(setting: Setting, data: dict[str, Any]) -> Fraction:
    """Refuse a list that is not complete and right; return the lower bound over collapsed embeddings."""
    t, vertices = setting.t, setting.vertices()
    cases = sum(max(t * len(lattice) ** (t - 1), len(lattice) ** (t * (t - 1) // 2)) for lattice in vertices.values())
    demand(cases <= MOST_CASES, f"breakpoints: {t} classes have more than {MOST_CASES} cases to go through")
    listed = {}
    for point in data["breakpoints"]:
        beta = None if point["beta"] is None else rational(point["beta"])
        demand(type(point["anchor"]) is int, "breakpoints: an anchor is not an integer")
        key = point["anchor"], beta, tuple(rational(x) for x in point["centres"])
        demand(key not in listed, "breakpoints: one is listed twice")
        listed[key] = rational(point["value"])
    needed = {
        (own, b, (*x[:own], Fraction(0), *x[own:]))
        for b, lattice in vertices.items()
        for own in range(t)
        for x in itertools.product(lattice, repeat=t - 1)
    }
    demand(
        set(listed) == needed, f"breakpoints: {len(needed - set(listed))} missing, {len(set(listed) - needed)} unknown"
    )
    for (own, b, centres), value in listed.items():
        row = [(d, c) for c, d in enumerate(centres) for _ in range(setting.sizes[c] - (c == own))]
        computed = setting.anchor(own, row, b)
        demand(value == computed, f"breakpoints: the value for class {own} is {computed!s:.60}, not {value!s:.60}")
    losses = []
    for b, lattice in vertices.items():
        for distances in itertools.product(lattice, repeat=t * (t - 1) // 2):
            setting.look()
            D = [[Fraction(0)] * t for _ in range(t)]
            for (i, j), d in zip(itertools.combinations(range(t), 2), distances, strict=True):
                D[i][j] = D[j][i] = d
            losses.append(sum((setting.sizes[i] * listed[i, b, tuple(D[i])] for i in range(t)), Fraction(0)))
    return min(losses)


def check(data: dict[str, Any]) -> None:
    """Refuse a certificate that does not prove its claim."""
    claim, verdict = data["claim"], data["verdict"]
    demand(claim in ("C3", "C4", "C7", "C8"), f"unknown claim: {claim!r:.40}")
    demand(verdict == "holds" or (claim, verdict) == ("C8", "fails"), f"{claim}: no certificate says {verdict!r:.40}")
    setting = Setting(data)
    collapsed, value = check_embedding(setting, data["collapsed"], "collapsed")
    c = setting.classes
    demand(
        all(collapsed[i][j] == 0 for i in range(setting.n) for j in range(setting.n) if c[i] == c[j]),
        "collapsed: a class is not on one point",
    )
    if not setting.easy or claim == "C8":
        check_bound(data, "global_bound", setting.bound_all())
    if setting.easy:
        bound = check_breakpoints(setting, data)
        check_bound(data, "collapsed_bound", bound)
        demand(value == bound, "collapsed: it is not the best collapsed embedding")
    if claim == "C7":
        check_bound(data, "one_class_bound", setting.bound_one_class())
    if setting.easy and verdict == "holds":
        demand(data["better"] is not None, "better: missing")
        demand(check_embedding(setting, data["better"], "better")[1] < bound, "better: it is not better than collapse")
    else:
        demand(value == rational(data["global_bound"]), "collapsed: the bound over all embeddings is not attained")


def content(path: str | Path) -> Any:
    """What a JSON file holds."""
    with open(path, "rb") as file:
        text = file.read(MOST_BYTES + 1)
    demand(len(text) <= MOST_BYTES, f"a file of more than {MOST_BYTES} bytes")
    return json.loads(text.decode())


def verify(certificate: str | Path | dict[str, Any]) -> list[str]:
    """Check a certificate, a JSON file or its content: gives why it is refused; empty when it is accepted.

    Examples
    --------
    Two samples of two classes with clean labels, each class on a point, a apart: C3's bound, 0, is attained.

    >>> apart = [["0", "0", "1", "1"], ["0", "0", "1", "1"], ["1", "1", "0", "0"], ["1", "1", "0", "0"]]
    >>> certificate = {
    ...     "claim": "C3",
    ...     "verdict": "holds",
    ...     "classes": [0, 0, 1, 1],
    ...     "transition": [["1", "0"], ["0", "1"]],
    ...     "alpha": "1",
    ...     "collapsed": {"distances": apart, "dimension": 1, "value": "0", "beta": None},
    ...     "global_bound": "0",
    ... }
    >>> verify(certificate)
    []
    >>> verify({**certificate, "global_bound": "1"})
    ['global_bound: it is 0, not 1']
    """
    try:
        check(certificate if isinstance(certificate, dict) else content(certificate))
    except Refused as reason:
        return [str(reason)]
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, RecursionError) as error:
        return [f"malformed: {type(error).__name__}: {error!s:.200}"]
    except OSError as error:
        return [f"unreadable: {error}"]
    return []


def main(arguments: list[str]) -> int:
    """Command line: prints a line for each file; 0 if all are accepted, 1 if one is refused, 2 without files."""
    if not arguments:
        print("usage: python -m sim.theory.verifier FILE...", file=sys.stderr)
        return 2
    refused = False
    for path in arguments:
        reasons = verify(path)
        refused |= bool(reasons)
        path = path.encode(errors="backslashreplace").decode()  # a name may not be in the terminal's encoding
        print(f"{path}: {'refused: ' + '; '.join(reasons) if reasons else 'accepted'}")
    return int(refused)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
