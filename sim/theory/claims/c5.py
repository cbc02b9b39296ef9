"""C5. Contrastive loss, noisy labels: linear collapses for s_in > 1/2 in every m, and so does margin with fixed beta <= alpha; squared never.

Linear. Let s_AA > 1/2 for every class A; the transition matrix, the sizes and m are free. A pair's s D + (1 - s)[a - D]_+ has slope 2s - 1 below a and s
above: for s > 1/2 it is strictly least at D = 0. With the others fixed, all samples of a class see the same field F(x) = sum over other classes of their
pairs' terms. Moving the whole class to its member with the least F doesn't raise the sum of F and strictly lowers every within-class pair
that was apart. So no embedding with a spread class is a minimiser.

Margin with a fixed b <= a. D - b + a >= 0 always, so s (D - b + a) + (1 - s)[b + a - D]_+ has slope 2s - 1, then s: the same proof, in every m.
With b > a a pair with 1/2 < s < 1 wants D = b - a > 0.

Squared. s D^2 + (1 - s)[a - D]_+^2 has slope -2 (1 - s) a < 0 at D = 0: splitting a point by +-h lowers the loss in first order, the distances to
other points change in second order (those to a point in the same place lower it, too): no minimiser is collapsed, in any m, if s_AA < 1. A pair's
least is at D = (1 - s) a, which all pairs reach together for m >= n - 1 (there with the right distances between classes).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import (
    Claim,
    CounterExample,
    Outcome,
    Setting,
    agreement,
    collapse_verdict,
    opposite,
    part_of_cases,
    two_classes,
)
from sim.theory.minimise import minimise, within_between
from sim.verdict import Verdict, together

ALPHA = 1.0
Case = tuple[Verdict, dict[str, Any]]


def meets_condition(transition: Any) -> bool:
    """Whether two samples of any class have the same label more often than not: every s_AA > 1/2.

    Examples
    --------
    >>> meets_condition(noise.symmetric(3, 0.8)), meets_condition(noise.symmetric(3, 0.6))
    (True, False)
    """
    matrix = noise.asymmetric(transition)
    return bool((matrix * matrix).sum(1).min() > 0.5)


def case(classes: np.ndarray, transition: Any, dim: int, setting: Setting, **loss: Any) -> Case:
    """Minimise one case: are all minimisers found collapsed? The evidence tells the within-class distances of the best."""
    found = minimise(classes, transition, alpha=ALPHA, dim=dim, restarts=setting.restarts, seed=setting.seed, **loss)
    verdict, evidence = collapse_verdict(found, classes, ALPHA)
    within = within_between(found.distances(), classes)[0]
    of_best = [float(f(within)) for f in (np.min, np.mean, np.max)] if evidence["minimisers"] else None
    return verdict, {**evidence, "within of the best": of_best}


LINEAR = "linear, s_AA > 1/2, every m: collapsed"
MARGIN = "margin, fixed beta <= alpha, s_AA > 1/2, every m: collapsed"
MARGIN_ABOVE = "margin, fixed beta > alpha, s_AA > 1/2: not collapsed"
OWN_BEST = "squared, m = n - 1: within-class distances are (1 - s_in) alpha"
SQUARED = "squared, every m: not collapsed"
SKEWED = [[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.05, 0.05, 0.9]]


def check(setting: Setting) -> Outcome:
    """Three classes of two in m = 1, 2 and n - 1, linear and margin; two classes of four, squared."""
    six, eight = np.repeat([0, 1, 2], 2), two_classes(4)
    n = len(six)
    p, dimensions = 0.8, (1, 2, n - 1)
    clear, faint = noise.symmetric(3, p), noise.symmetric(3, 0.6)
    linear: dict[str, Any] = {"loss": "contrastive"}
    of_linear = {f"p = {p}, m = {m}": case(six, clear, m, setting, **linear) for m in dimensions}
    of_linear[f"T = {SKEWED}, m = 2"] = case(six, np.array(SKEWED), 2, setting, **linear)
    weak = case(six, faint, n - 1, setting, **linear)
    of_margin = {
        f"beta = {b:g} alpha, m = {m}": case(six, clear, m, setting, loss="margin", beta=b * ALPHA)
        for b, m in ((1, 1), (1, 2), (0.5, 2), (-2, 2), (1, n - 1))
    }
    of_high = {"beta = 2 alpha, m = 2": case(six, clear, 2, setting, loss="margin", beta=2 * ALPHA)}
    levels = (0.95, 0.9, 0.8, 0.7)
    squared = {
        (q, m): case(eight, noise.symmetric(2, q), m, setting, loss="contrastive", squared=True)
        for q in levels
        for m in (1, 2, 7)
    }
    own_best: dict[float, Verdict] = {
        q: _equal(squared[q, 7][1]["within of the best"], (1 - agreement(2, q)[0]) * ALPHA) for q in levels
    }
    parts = {
        LINEAR: part_of_cases([v for v, _ in of_linear.values()]),
        MARGIN: part_of_cases([v for v, _ in of_margin.values()]),
        MARGIN_ABOVE: part_of_cases([opposite(v) for v, _ in of_high.values()]),
        OWN_BEST: part_of_cases(list(own_best.values())),
        SQUARED: part_of_cases([opposite(v) for v, _ in squared.values()]),
    }
    return Outcome(
        hypotheses={
            "linear and margin: every s_AA > 1/2": all(meets_condition(t) for t in (clear, SKEWED)),
            "squared: every s_AA < 1": all(agreement(2, q)[0] < 1 for q in levels),
        },
        verdict=together(part.verdict for part in parts.values()),
        bound=None,
        best=of_linear[f"p = {p}, m = 2"][1]["best"],
        evidence={
            LINEAR: _readable(of_linear),
            MARGIN: _readable(of_margin),
            MARGIN_ABOVE: _readable(of_high),
            SQUARED: {f"p = {q}, m = {m}": {"verdict": v, **e} for (q, m), (v, e) in squared.items()},
            "squared: (1 - s_in) alpha": {str(q): (1 - agreement(2, q)[0]) * ALPHA for q in levels},
        },
        counter_example=CounterExample(
            f"linear, p = 0.6 (s_in = {agreement(3, 0.6)[0]:.2f} < 1/2) in m = n - 1", weak[0], "fails"
        ),
        parts=parts,
    )


def _equal(within: list[float] | None, wanted: float) -> Verdict:
    """Least, mean and greatest distance, where a minimiser was found, against the predicted one."""
    if within is None:
        return "inconclusive"
    error = max(abs(x - wanted) for x in within)
    return "holds" if error < 1e-5 else "fails" if error > 1e-3 else "inconclusive"


def _readable(cases: dict[str, Case]) -> dict[str, Any]:
    return {where: {"verdict": verdict, **evidence} for where, (verdict, evidence) in cases.items()}


CLAIMS.register("C5")(
    Claim(
        "contrastive, noisy: linear, and margin with fixed beta <= alpha, collapse for s_AA > 1/2 in every m; squared keeps (1 - s_in) alpha",
        "holds",
        check,
        parts=dict.fromkeys((LINEAR, MARGIN, MARGIN_ABOVE, OWN_BEST, SQUARED), "holds"),
    )
)
