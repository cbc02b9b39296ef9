"""Lower bounds by listing every case: all triples, all pairs, all near sets, all vertices."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

from .setting import MOST_CASES, Setting, demand, exact, rational


def vertices(setting: Setting) -> dict[Fraction | None, list[Fraction]]:
    """For every b that may be best for a collapsed embedding, the distances of centres that may be."""
    if setting.loss == "triplet":
        return {None: [setting.alpha * k for k in range(setting.t * (setting.t - 1) // 2 + 1)]}
    return {-setting.alpha: [Fraction(0)], setting.alpha: [Fraction(0), 2 * setting.alpha]}


def bound_all(setting: Setting) -> Fraction:
    """Lower bound over all embeddings, and all b."""
    pairs = [(i, j) for i in range(setting.n) for j in range(setting.n) if i != j]
    c = setting.classes
    if setting.loss == "triplet":
        triples = ((i, j, k) for i, j in pairs for k in range(j + 1, setting.n) if k != i)
        setting.look()
        least = (
            min(setting.triplet_weight(c[i], c[j], c[k]), setting.triplet_weight(c[i], c[k], c[j]))
            for i, j, k in triples
        )
        return 2 * setting.alpha * sum(least, Fraction(0))
    if not setting.easy:
        return (
            2
            * setting.alpha
            * sum((min(s, 1 - s) for s in (setting.same_label(c[i], c[j]) for i, j in pairs)), Fraction(0))
        )
    return sum((size * best_near_set(setting, own) for own, size in enumerate(setting.sizes)), Fraction(0))


def best_near_set(setting: Setting, own: int) -> Fraction:
    """Least loss of an anchor over all sets of near samples (D = b - a); the others are at D = b + a."""
    others = [size - (c == own) for c, size in enumerate(setting.sizes)]
    demand(math.prod(u + 1 for u in others) <= MOST_CASES, f"more than {MOST_CASES} near sets to go through")

    def none_of(counts: tuple[int, ...] | list[int]) -> Fraction:
        """P(no one among so many of each class has the anchor's label)."""
        nobody = [
            math.prod((1 - setting.transition[c][y]) ** u for c, u in enumerate(counts)) for y in range(setting.t)
        ]
        return sum((p * q for p, q in zip(setting.transition[own], nobody, strict=True)), Fraction(0))

    def cost(near: tuple[int, ...]) -> Fraction:
        setting.look()
        mislabelled = sum((u * (1 - setting.same_label(own, c)) for c, u in enumerate(near)), Fraction(0))
        return mislabelled + none_of(near) - none_of(others)

    least = min(cost(near) for near in itertools.product(*(range(u + 1) for u in others)))
    return 2 * setting.alpha * least


def bound_one_class(setting: Setting) -> Fraction:
    """Lower bound over embeddings that collapse at least one class (triplet, easy positives)."""
    bounds: list[Fraction] = []
    for own, size in enumerate(setting.sizes):
        total = Fraction(0)
        for y in range(setting.t):
            others = [setting.transition[c][y] for c in setting.classes]
            others.remove(setting.transition[own][y])
            if size > 1:
                others.remove(setting.transition[own][y])
            somebody = 1 - math.prod((1 - p for p in others), start=Fraction(1))
            total += setting.transition[own][y] * (1 - setting.transition[own][y]) * somebody
        bounds.append(setting.alpha * size * (size - 1) * total)
    return min(bounds)


def check_breakpoints(setting: Setting, data: dict[str, Any]) -> Fraction:
    """Refuse a list that is not complete and right; return the lower bound over collapsed embeddings."""
    t, lattices = setting.t, vertices(setting)
    cases = sum(max(t * len(lattice) ** (t - 1), len(lattice) ** (t * (t - 1) // 2)) for lattice in lattices.values())
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
        for b, lattice in lattices.items()
        for own in range(t)
        for x in itertools.product(lattice, repeat=t - 1)
    }
    demand(
        set(listed) == needed, f"breakpoints: {len(needed - set(listed))} missing, {len(set(listed) - needed)} unknown"
    )
    for (own, b, centres), value in listed.items():
        row = [(exact(d), c) for c, d in enumerate(centres) for _ in range(setting.sizes[c] - (c == own))]
        computed = setting.anchor(own, row, b)
        demand(value == computed, f"breakpoints: the value for class {own} is {computed!s:.60}, not {value!s:.60}")
    losses = []
    for b, lattice in lattices.items():
        for distances in itertools.product(lattice, repeat=t * (t - 1) // 2):
            setting.look()
            D = [[Fraction(0)] * t for _ in range(t)]
            for (i, j), d in zip(itertools.combinations(range(t), 2), distances, strict=True):
                D[i][j] = D[j][i] = d
            losses.append(sum((setting.sizes[i] * listed[i, b, tuple(D[i])] for i in range(t)), Fraction(0)))
    return min(losses)
