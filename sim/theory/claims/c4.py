"""C4. Margin loss, noisy labels, beta learnt: collapse with centres 2 alpha apart above p*(t), onto one point below it.

Bound. For a pair put x = D - b: s [x + a]_+ + (1 - s)[a - x]_+ >= 2a min(s, 1 - s), with equality only at x = -a for 1/2 < s < 1, only at x = a for
0 < s < 1/2, for |x| <= a at s = 1/2; at s = 1 (s = 0) every x <= -a (x >= a) will do.

Above: s_in > 1/2 > s_out, q > 0, t - 1 <= m <= n - 2. Then D_in = b - a = c >= 0 and D_out = c + 2a; as in C3 c > 0 needs m >= n - 1. So c = 0:
collapse, b = a, centres 2a apart, which exist iff m >= t - 1. (A class of two or more fixes b.)

Phase transition. s_in = p^2 + (1 - p)^2 / (t - 1) = 1/2 at p*(t) = (1 + sqrt((t - 1)(t - 2) / 2)) / t.
Below it, for t >= 3 and p < 1: s_out = (1 - s_in) / (t - 1) < 1/2, so every pair wants D = b + a; n points at one distance > 0 need m >= n - 1, so for
m <= n - 2 all points coincide and b = -a. With t = 2, p*(2) = 1/2 is a minimum of s_in: below it, too, s_in > 1/2 > s_out for p > 0, and
the classes collapse as they do above.

Batches (`sim.theory.batch.pair_use`): with one random positive and one random negative an anchor, both demanded, a pair is as often a positive as a
negative at p = 1/t, where all labels are alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.batch import pair_use
from sim.theory.claims.base import (
    COLLAPSED,
    Claim,
    CounterExample,
    Outcome,
    Part,
    Setting,
    agreement,
    collapse_verdict,
    minimisers,
    part_of_cases,
    two_classes,
)
from sim.theory.expected import lower_bound
from sim.theory.minimise import minimise
from sim.verdict import Verdict, together

ALPHA = 0.2
ROUNDING = 1e-12
Case = tuple[Verdict, dict[str, Any]]


def critical(t: int) -> float:
    """p*(t): the probability of keeping a label at which s_in = 1/2 (the larger root).

    Examples
    --------
    >>> critical(2), round(critical(3), 3)
    (0.5, 0.667)
    """
    return (1 + math.sqrt((t - 1) * (t - 2) / 2)) / t


def predicted(t: int, p: float) -> tuple[float, float] | None:
    """(centres' distance, beta) of all minimisers for m <= n - 2, in units of alpha; None where C4 states nothing.

    Examples
    --------
    >>> predicted(2, 0.9), predicted(3, 0.6), predicted(2, 0.3), predicted(2, 0.5), predicted(2, 1.0)
    ((2.0, 1.0), (0.0, -1.0), (2.0, 1.0), None, None)
    """
    if p == 1:
        return None
    s_in, s_out = agreement(t, p)
    if s_in > 0.5 + ROUNDING and s_out < 0.5 - ROUNDING:
        return 2.0, 1.0
    return (0.0, -1.0) if max(s_in, s_out) < 0.5 - ROUNDING else None


def hypotheses(t: int, p: float, classes: np.ndarray, dim: int, beta: float | str) -> dict[str, bool]:
    """C4's hypotheses, for symmetric noise, classes (n,) and a dimension.

    Examples
    --------
    >>> all(hypotheses(3, 0.6, np.repeat([0, 1, 2], 2), dim=2, beta="learn").values())
    True
    >>> all(hypotheses(2, 0.9, two_classes(2), dim=3, beta="learn").values())
    False
    """
    return {
        "q > 0, and s_in > 1/2 > s_out or both < 1/2": predicted(t, p) is not None,
        "a class has two samples or more": bool(np.bincount(classes).max() >= 2),
        "t - 1 <= m <= n - 2": t - 1 <= dim <= len(classes) - 2,
        "beta is learnt": beta == "learn",
    }


def case(classes: np.ndarray, p: float, beta: float | str, setting: Setting, dim: int = 2) -> Case:
    """Minimise one case: are all minimisers found collapsed, with the centres and the beta that are predicted?"""
    t = int(classes.max()) + 1
    transition = noise.symmetric(t, p)
    found = minimise(
        classes,
        transition,
        loss="margin",
        alpha=ALPHA,
        beta=beta,
        dim=dim,
        bound=lower_bound(classes, transition, loss="margin", alpha=ALPHA) if beta == "learn" else None,
        restarts=setting.restarts,
        seed=setting.seed,
    )
    verdict, evidence = collapse_verdict(found, classes, ALPHA)
    betas = [float(found.betas[k]) for k in minimisers(found)]
    evidence["betas"] = [min(betas), max(betas)] if betas else None
    if verdict == "holds":
        expected = predicted(t, p)
        assert expected is not None
        off = max(
            abs(x - wanted * ALPHA)
            for x, wanted in zip(
                (*evidence["between"], *evidence["betas"]), np.repeat(expected, 2).tolist(), strict=True
            )
        )
        verdict = "holds" if off < COLLAPSED * ALPHA else "fails"
    return verdict, evidence


ABOVE = "above p*(t), t >= 2: collapsed, centres 2 alpha apart, beta = alpha"
BELOW = "below p*(t), t >= 3: all classes on one point, beta = -alpha"
TWO = "t = 2, p < 1/2: collapsed as above p*, centres 2 alpha apart"
CRITICAL = "s_in - 1/2 changes its sign at p*(t), for t >= 3 from below"
BATCHES = "batches, both kinds demanded: a pair is as often a positive as a negative at p = 1/t, not beside it"


def _critical() -> Part:
    """Exact: s_in = 1/2 at p*, less below for t >= 3, more on both sides for t = 2."""
    cases: list[Verdict] = []
    for t in range(2, 101):
        p = critical(t)
        below, at, above = (agreement(t, p + step)[0] - 0.5 for step in (-0.01, 0, 0.01))
        met = abs(at) < ROUNDING < above and (below > ROUNDING if t == 2 else below < -ROUNDING)
        cases.append("holds" if met else "fails")
    return part_of_cases(cases, "t")


def _batches() -> Part:
    """u = v for a within-class pair at p = 1/t exactly; at 1/t + 0.05 it is more often a positive, at 1/t - 0.05 it is not u = v either."""
    cases: list[Verdict] = []
    for t in (2, 3, 5):
        for per_class in (2, 4):
            below, at, above = (
                float(np.subtract(*pair_use(noise.symmetric(t, 1 / t + step), per_class))[0, 0])
                for step in (-0.05, 0, 0.05)
            )
            cases.append("holds" if abs(at) < ROUNDING < min(abs(below), above) else "fails")
    return part_of_cases(cases, "batches")


def check(setting: Setting) -> Outcome:
    """Learnt against fixed beta for n = 8; t = 3 on both sides of p*; t = 2 below 1/2; p*(t) for t = 2..100; batches at p = 1/t."""
    two, three = two_classes(4), np.repeat([0, 1, 2], 3)
    p, dim, beta = 0.9, 2, "learn"
    star = critical(3)
    of_parts = {
        ABOVE: {"t = 2, p = 0.9": (two, p), "t = 3, p = p* + 0.05": (three, star + 0.05)},
        BELOW: {"t = 3, p = p* - 0.05": (three, star - 0.05), "t = 3, p = 0.2": (three, 0.2)},
        TWO: {f"t = 2, p = {q}": (two, q) for q in (0.3, 0.1)},
    }
    met = [hypotheses(int(c.max()) + 1, q, c, dim, beta) for cases in of_parts.values() for c, q in cases.values()]
    found = {
        text: {where: case(c, q, beta, setting, dim) for where, (c, q) in cases.items()}
        for text, cases in of_parts.items()
    }
    fixed = case(two, p, 1.2, setting, dim)
    parts = {text: part_of_cases([verdict for verdict, _ in cases.values()]) for text, cases in found.items()}
    parts |= {CRITICAL: _critical(), BATCHES: _batches()}
    main = found[ABOVE]["t = 2, p = 0.9"][1]
    return Outcome(
        hypotheses={text: all(m[text] for m in met) for text in met[0]},
        verdict=together(part.verdict for part in parts.values()),
        bound=main["bound"],
        best=main["best"],
        evidence={
            **{
                where: {"verdict": verdict, **evidence}
                for cases in found.values()
                for where, (verdict, evidence) in cases.items()
            },
            "t = 2, p = 0.9, beta fixed at 1.2": {"verdict": fixed[0], **fixed[1]},
            "p*(t)": {str(t): critical(t) for t in range(2, 101)},
        },
        counter_example=CounterExample("beta fixed at 1.2 > alpha", fixed[0], "fails"),
        parts=parts,
    )


CLAIMS.register("C4")(
    Claim(
        "margin, noisy, beta learnt, m <= n - 2: collapsed, centres 2 alpha apart; for t >= 3 below p*(t) on one point",
        "holds",
        check,
        parts=dict.fromkeys((ABOVE, BELOW, TWO, CRITICAL, BATCHES), "holds"),
    )
)
