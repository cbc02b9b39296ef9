"""C4. Margin loss, noisy labels, beta learnt: for m <= n - 2 every minimiser is collapsed, centres 2 alpha apart, beta = alpha.

Proof. For a pair put x = D - beta: s [x + a]_+ + (1 - s)[a - x]_+ >= 2a min(s, 1 - s), with equality at x = -a for 1/2 < s < 1 and
at x = a for 0 < s < 1/2. With s_in > 1/2 > s_out a minimiser that attains the bound has D_in = b - a and D_out = b + a; as in C3
D_in > 0 needs m >= n - 1, so b = a. (D_in < 0 is impossible.)

Phase transition. s_in = p^2 + (1 - p)^2 / (t - 1) = 1/2 at p*(t) = (1 + sqrt((t - 1)(t - 2) / 2)) / t. Below it every pair wants
D = b + a, and b = -a lets D = 0: all classes fall onto ONE point.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, agreement, collapse_verdict, two_classes
from sim.theory.expected import lower_bound
from sim.theory.minimise import minimise, within_between
from sim.verdict import Verdict, together

ALPHA = 0.2


def critical(t: int) -> float:
    """p*(t): the probability of keeping a label at which s_in = 1/2 (the larger root).

    Examples
    --------
    >>> critical(2), round(critical(3), 3)
    (0.5, 0.667)
    """
    return (1 + math.sqrt((t - 1) * (t - 2) / 2)) / t


def case(
    classes: np.ndarray, p: float, beta: float | str, setting: Setting, dim: int = 2
) -> tuple[Verdict, dict[str, Any]]:
    """Minimise one case; evidence also tells the centres' distance, the mean spread and beta of the best."""
    transition = noise.symmetric(int(classes.max()) + 1, p)
    bound = lower_bound(classes, transition, loss="margin", alpha=ALPHA) if beta == "learn" else None
    found = minimise(
        classes,
        transition,
        loss="margin",
        alpha=ALPHA,
        beta=beta,
        dim=dim,
        bound=bound,
        restarts=setting.restarts,
        seed=setting.seed,
    )
    verdict, evidence = collapse_verdict(found, classes, ALPHA)
    within, between = within_between(found.distances(), classes)
    return verdict, {
        **evidence,
        "beta": float(found.betas[0]),
        "within_mean": float(within.mean()),
        "between_mean": float(between.mean()),
    }


def check(setting: Setting) -> Outcome:
    """Learnt against fixed beta for n = 8; the phase transition p*(t) for t = 2..100, tried on both sides for t = 3."""
    learnt = case(two_classes(4), 0.9, "learn", setting)
    fixed = case(two_classes(4), 0.9, 1.2, setting)
    stars = {t: critical(t) for t in range(2, 101)}
    exact = max(abs(agreement(t, p)[0] - 0.5) for t, p in stars.items())
    three = np.repeat([0, 1, 2], 3)
    above, below = (case(three, critical(3) + step, "learn", setting) for step in (0.05, -0.05))
    as_predicted = (
        abs(learnt[1]["between_mean"] - 2 * ALPHA) < 1e-3 * ALPHA
        and abs(learnt[1]["beta"] - ALPHA) < 1e-3 * ALPHA
        and above[1]["between_mean"] > ALPHA
        and below[1]["between_mean"] < 1e-3 * ALPHA
        and exact < 1e-12
    )
    verdict = together([learnt[0], above[0], "holds" if as_predicted else "inconclusive"])
    s_in, s_out = agreement(2, 0.9)
    return Outcome(
        hypotheses={"s_in > 1/2 > s_out": s_in > 0.5 > s_out, "beta is learnt": True, "t - 1 <= m <= n - 2": True},
        verdict=verdict,
        bound=learnt[1]["bound"],
        best=learnt[1]["best"],
        evidence={
            "beta learnt (n = 8, m = 2, p = 0.9)": learnt[1],
            "beta fixed at 1.2": fixed[1],
            "p*(t)": {str(t): p for t, p in stars.items()},
            "t = 3, p = p* + 0.05": {"verdict": above[0], **above[1]},
            "t = 3, p = p* - 0.05 (total collapse)": {"verdict": below[0], **below[1]},
        },
        counter_example=CounterExample("beta fixed at 1.2 > alpha", fixed[0], "fails"),
    )


CLAIMS.register("C4")(
    Claim(
        "margin, noisy, beta learnt: for m <= n - 2 every minimiser is collapsed; below p*(t) totally", "holds", check
    )
)
