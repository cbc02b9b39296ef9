"""C3. Triplet loss, noisy labels: for t - 1 <= m <= n - 2 every minimiser is class-collapsed, with centres exactly alpha apart.

Bound. For an anchor i and an unordered pair {j, k} put x = D_ij - D_ik. The two ordered triplets cost
w_ijk [x + a]_+ + w_ikj [a - x]_+ >= 2a min(w_ijk, w_ikj), and w_ijk - w_ikj = sum_y P_iy (P_jy - P_ky) = s_ij - s_ik with s_AB = (T T')_AB.
Equality: for s_ij > s_ik and w_ikj > 0 only at x = -a; for s_ij > s_ik and w_ikj = 0 at every x <= -a; for s_ij = s_ik at |x| <= a (at every x
where both weights are 0). The bound is attained iff this holds for all i, j, k.

Condition (`meets_condition`): every class A has s_AA > s_AB for all B != A; all s_AB with B != A are equal; and the weights are strict:
w_ikj = sum_y T_Ay (1 - T_Ay) T_By > 0 for j in i's class A and k in any other class B (some label that B can have is one that A can, but need not,
have). Symmetric noise meets it iff p != 1/t, p != 1 and, with two classes, p != 0.

Proof. For j inside, k outside the class of i then D_ik = D_ij + a exactly: with two or more samples a class, distances from i take two values, c_i
inside its class and c_i + a outside. D is symmetric, so all c_i equal one c. (Where agreements tie, |D_ij - D_ik| = 0 <= a.) If c > 0, then for v
with sum 0, - sum v_i v_j D_ij^2 = c^2 sum_i v_i^2 + ((c + a)^2 - c^2) sum_A (sum_{i in A} v_i)^2 > 0: n points in general position, which needs
m >= n - 1. For m <= n - 2 hence c = 0, and t points a apart exist iff m >= t - 1. For m >= n - 1 every c >= 0 is a minimiser: sharp.

Strict weights are needed: T = [[1, 0], [.3, .7]] has w = 0 for anchors of class 0, D_ik >= D_ij + a suffices there, and class 1 may spread
(`spread_without_strict_weights`). So is s_AA > s_AB: at p = 1/t every embedding of diameter a attains the bound; with s_00 > s_01 > s_11 it asks for
D = c inside class 0, c + a between and c + 2a inside class 1, so that no embedding with class 1 on a point attains it (`PUSHED`: it is attained). And with
strict weights, s_AA > s_AB > s_AC would ask for gaps of a, a and a in a row: not attained.

Pair-flip noise, 0 < p < 1. t = 3: agreements p^2 + q^2, pq, pq: inside the condition. t = 4: pq, 0, pq. Own and neighbouring classes: strict, so D = c
inside and c + a to neighbours, as above; an opposite class shares no label: D >= c + 2a suffices. Four centres with sides a would have both diagonals
>= 2a, so each neighbour halfway between two opposite ones: both on one point. Hence NO collapsed embedding attains the bound, in any R^m. With
two a class it is attained in R^5 with c = 2 sqrt(2) a (`pair_flip_minimiser`), so no minimiser is collapsed for m >= 5. Sharper: S = two opposite
classes and S' = the two others lie in orthogonal spaces on spheres with R^2 + R'^2 <= (c + a)^2. R^2 >= (c^2 + 2 d^2) / 8 with d = c + 2a, or
>= (c^2 + d^2) / 4 if S is plane: so c >= 2 a in R^6 (n - 2), c >= 2 sqrt(2) a in R^5, and the bound isn't attained in R^4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import (
    COLLAPSED,
    Claim,
    CounterExample,
    Outcome,
    Part,
    Setting,
    collapse_verdict,
    embed,
    opposite,
    part_of_cases,
    two_classes,
)
from sim.theory.expected import expected_loss, lower_bound
from sim.theory.minimise import minimise, within_between
from sim.verdict import Verdict, together

ALPHA = 0.5
ROUNDING = 1e-12
"""Below this, agreements and weights count as equal, or as 0."""
NOT_STRICT = [[1.0, 0.0], [0.3, 0.7]]
PUSHED = [[0.95, 0.05], [0.6, 0.4]]
"""s_00 = 0.905, s_01 = 0.59, s_11 = 0.52: class 1 agrees more with class 0 than with itself; all weights are strict."""

Case = tuple[Verdict, dict[str, Any]]


def strict_weights(transition: Any) -> bool:
    """Whether P(Y_i = Y_k, Y_j != Y_i) > 0 for all i, j of one class and k of another.

    Examples
    --------
    >>> strict_weights([[0.9, 0.1], [0.3, 0.7]]), strict_weights([[1, 0], [0.3, 0.7]])
    (True, False)
    """
    matrix = noise.asymmetric(transition)
    weights = (matrix * (1 - matrix)) @ matrix.T  # (t, t): anchor's class, other class
    return bool(weights[~np.eye(len(matrix), dtype=bool)].min() > ROUNDING)


def meets_condition(transition: Any) -> bool:
    """The condition: s_AA > s_AB for all B != A, all s_AB with B != A equal, and strict weights.

    Examples
    --------
    >>> meets_condition([[0.9, 0.1], [0.3, 0.7]]), meets_condition([[1, 0], [0.3, 0.7]]), meets_condition([[1, 0], [0, 1]])
    (True, False, False)
    """
    matrix = noise.asymmetric(transition)
    same = matrix @ matrix.T
    off = same[~np.eye(len(same), dtype=bool)]
    equal = np.ptp(off) < ROUNDING and same.diagonal().min() > off.max() + ROUNDING
    return bool(equal and strict_weights(matrix))


def hypotheses(transition: Any, classes: np.ndarray, dim: int) -> dict[str, bool]:
    """C3's hypotheses, of a transition matrix (t, t), classes (n,) and a dimension.

    Examples
    --------
    >>> list(hypotheses([[0.9, 0.1], [0.3, 0.7]], two_classes(2), dim=2).values())
    [True, True, True]
    >>> list(hypotheses([[0.9, 0.1], [0.3, 0.7]], np.array([0, 1, 1]), dim=2).values())
    [True, False, False]
    """
    t = len(noise.asymmetric(transition))
    return {
        "s_AA > s_AB, all s_AB (B != A) equal, strict weights": meets_condition(transition),
        "every class has two samples or more": bool(np.bincount(classes, minlength=t).min() >= 2),
        "t - 1 <= m <= n - 2": t - 1 <= dim <= len(classes) - 2,
    }


def case(classes: np.ndarray, transition: Any, dim: int, setting: Setting) -> Case:
    """Minimise one case and say whether all minimisers found are collapsed with centres alpha apart."""
    bound = lower_bound(classes, transition, alpha=ALPHA)
    found = minimise(
        classes, transition, alpha=ALPHA, dim=dim, bound=bound, restarts=setting.restarts, seed=setting.seed
    )
    verdict, evidence = collapse_verdict(found, classes, ALPHA)
    if verdict == "holds" and max(abs(d - ALPHA) for d in evidence["between"]) > COLLAPSED * ALPHA:
        verdict = "fails"
    return verdict, evidence


def spread_without_strict_weights(within: float) -> tuple[np.ndarray, np.ndarray]:
    """Four samples on a point and two `within` apart, alpha farther from it: ((6, 2) points, classes).

    Examples
    --------
    >>> points, classes = spread_without_strict_weights(2.0)
    >>> loss = float(expected_loss(embed(points), classes, NOT_STRICT, alpha=ALPHA))
    >>> round(loss, 9), round(lower_bound(classes, NOT_STRICT, alpha=ALPHA), 9)
    (2.52, 2.52)
    """
    height = math.sqrt((within + ALPHA) ** 2 - within**2 / 4)
    return np.array([[0.0, 0.0]] * 4 + [[within / 2, height], [-within / 2, height]]), np.repeat([0, 1], [4, 2])


def pair_flip_minimiser() -> tuple[np.ndarray, np.ndarray]:
    """Four classes of two in R^5 that attain the bound under pair-flip noise, 2 sqrt(2) alpha apart inside: ((8, 5) points, classes).

    Examples
    --------
    >>> points, classes = pair_flip_minimiser()
    >>> noisy = noise.pair_flip(4, 0.8)
    >>> round(float(expected_loss(embed(points), classes, noisy, alpha=ALPHA)), 9), round(lower_bound(classes, noisy, alpha=ALPHA), 9)
    (8.96, 8.96)
    """
    inside = 2 * math.sqrt(2) * ALPHA
    opposite_classes = inside + 2 * ALPHA
    height = math.sqrt(opposite_classes**2 - inside**2 / 2)
    points = np.zeros((4, 2, 5))
    for sign, sample in ((1, 0), (-1, 1)):
        # Classes 0 and 2: two orthogonal segments in R^3; classes 1 and 3: opposite sides of a rectangle in the plane that is left.
        points[0, sample, [0, 2]] = sign * inside / 2, height / 2
        points[2, sample, [1, 2]] = sign * inside / 2, -height / 2
        points[1, sample, [3, 4]] = sign * inside / 2, opposite_classes / 2
        points[3, sample, [3, 4]] = sign * inside / 2, -opposite_classes / 2
    return points.reshape(8, 5), np.repeat(np.arange(4), 2)


def attained(points: np.ndarray, classes: np.ndarray, transition: Any) -> Case:
    """Does this embedding, which isn't collapsed, attain the bound?"""
    distances = embed(points)
    value = float(expected_loss(distances, classes, transition, alpha=ALPHA))
    bound = lower_bound(classes, transition, alpha=ALPHA)
    within = float(within_between(distances.numpy(), classes)[0].max())
    met = abs(value - bound) <= 1e-12 * bound and within > ALPHA * COLLAPSED
    return "holds" if met else "fails", {"bound": bound, "value": value, "largest within": within}


def pair_flip_four(setting: Setting) -> tuple[Verdict, dict[str, Any]]:
    """Pair-flip, four classes of two: is the bound attained in R^5, and the best collapsed embedding above it?

    Four centres span R^3 at most, so the best collapsed embedding in R^3 is the best in every R^m.
    """
    noisy = noise.pair_flip(4, 0.8)
    verdict, evidence = attained(*(built := pair_flip_minimiser()), noisy)
    collapsed = minimise(
        built[1], noisy, alpha=ALPHA, dim=3, restarts=setting.restarts, seed=setting.seed, collapsed=True
    ).best
    if not math.isfinite(collapsed):
        verdict = "inconclusive"
    elif collapsed <= evidence["bound"] * (1 + 1e-6):
        verdict = "fails"
    return verdict, {**evidence, "best collapsed": collapsed}


SYMMETRIC = "symmetric noise, 0 < p < 1, p != 1/t: collapsed"
OTHERS = "other matrices that meet the condition (pair-flip with t = 3 too): collapsed"
HIGH = "m >= n - 1: spread minimisers too"
WEIGHTS = "without strict weights: spread minimisers too"
AGREEMENTS = "without s_AA > s_AB (p = 1/t; a class that agrees more with another): spread minimisers"
FOUR = "pair-flip, t = 4, two a class, m >= 5: no minimiser is collapsed"


def check(setting: Setting) -> Outcome:
    """n = 8 over m around n - 1; p through 1/t; unequal sizes; matrices inside and outside the condition; pair-flip noise."""
    classes, three, six = two_classes(4), np.repeat([0, 1, 2], 3), np.repeat([0, 1], [4, 2])
    n, p = len(classes), 0.9
    symmetric = {
        **{f"n = 8, p = 0.9, m = {m}": (classes, noise.symmetric(2, p), m) for m in (1, 2, n - 2)},
        **{f"n = 8, p = {q}, m = 2": (classes, noise.symmetric(2, q), 2) for q in (0.95, 0.7, 0.6, 0.4, 0.2)},
        "class sizes 2 and 6, p = 0.9, m = 2": (np.repeat([0, 1], [2, 6]), noise.symmetric(2, p), 2),
        "three classes of three, p = 0.8, m = 2": (three, noise.symmetric(3, 0.8), 2),
    }
    others = {
        "n = 8, T = [[0.9, 0.1], [0.3, 0.7]], m = 2": (classes, np.array([[0.9, 0.1], [0.3, 0.7]]), 2),
        "three classes of three, pair-flip, p = 0.8, m = 2": (three, noise.pair_flip(3, 0.8), 2),
    }
    high = {f"n = 8, p = 0.9, m = {m}": (classes, noise.symmetric(2, p), m) for m in (n - 1, n)}
    found = {
        text: {where: case(*given, setting) for where, given in cases.items()}
        for text, cases in ((SYMMETRIC, symmetric), (OTHERS, others), (HIGH, high))
    }
    disagreeing = {
        "n = 8, p = 1/t = 0.5, on a line of length alpha": attained(
            np.linspace(0, ALPHA, n)[:, None], classes, noise.symmetric(2, 0.5)
        ),
        f"T = {PUSHED}, class 0 on a point, class 1 at distance alpha on either side": attained(
            ALPHA * np.array([[0.0]] * 4 + [[1.0], [-1.0]]), six, PUSHED
        ),
    }
    loose = {f"within {c:g}": attained(*spread_without_strict_weights(c), NOT_STRICT) for c in (0.3, 1, 2)}
    four = pair_flip_four(setting)
    parts = {
        SYMMETRIC: _part(found[SYMMETRIC]),
        OTHERS: _part(found[OTHERS]),
        HIGH: _part(found[HIGH], contrary=True),
        WEIGHTS: _part(loose),
        AGREEMENTS: _part(disagreeing),
        FOUR: Part(four[0], f"bound {four[1]['value']:.6g} attained, best collapsed {four[1]['best collapsed']:.6g}"),
    }
    inside = [hypotheses(matrix, c, m) for c, matrix, m in (*symmetric.values(), *others.values())]
    main = found[SYMMETRIC]["n = 8, p = 0.9, m = 6"][1]
    return Outcome(
        hypotheses={text: all(met[text] for met in inside) for text in inside[0]},
        verdict=together(part.verdict for part in parts.values()),
        bound=main["bound"],
        best=main["best"],
        evidence={
            **{text: _readable(cases) for text, cases in found.items()},
            WEIGHTS: _readable(loose),
            AGREEMENTS: _readable(disagreeing),
            FOUR: four[1],
        },
        counter_example=CounterExample(f"m = n - 1 = {n - 1}", found[HIGH][f"n = 8, p = 0.9, m = {n - 1}"][0], "fails"),
        parts=parts,
    )


def _part(cases: Mapping[str, Case], contrary: bool = False) -> Part:
    """Are all cases collapsed, or, the contrary, is none?"""
    return part_of_cases([opposite(verdict) if contrary else verdict for verdict, _ in cases.values()])


def _readable(cases: Mapping[str, Case]) -> dict[str, Any]:
    return {where: {"verdict": verdict, **evidence} for where, (verdict, evidence) in cases.items()}


CLAIMS.register("C3")(
    Claim(
        "triplet, noisy, under its condition: for t - 1 <= m <= n - 2 every minimiser is collapsed, centres alpha apart",
        "holds",
        check,
        parts=dict.fromkeys((SYMMETRIC, OTHERS, HIGH, WEIGHTS, AGREEMENTS, FOUR), "holds"),
    )
)
