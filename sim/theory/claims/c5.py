"""C5. Contrastive loss, noisy labels: linear collapses for s_in > 1/2 in every m; squared never does exactly.

Proof. Linear, a pair with s > 1/2: s D + (1 - s)[a - D]_+ has slope 2s - 1 > 0 below a and s > 0 above: least at D = 0. Pairs with
s < 1/2 are least at D = a; so collapse with centres a apart is least for every pair, wherever it exists (m >= t - 1).
Squared: s D^2 + (1 - s)(a - D)^2 is least at D = (1 - s) a > 0, a pair's own optimum, which all within-class pairs reach
together for m >= n - 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, agreement, collapse_verdict, two_classes
from sim.theory.minimise import minimise, within_between
from sim.verdict import Verdict, together

ALPHA = 1.0


def case(
    classes: np.ndarray, p: float, squared: bool, dim: int, setting: Setting
) -> tuple[Verdict, dict[str, Any], np.ndarray]:
    """Minimise one case: (are minimisers collapsed, evidence, within-class distances of the best)."""
    found = minimise(
        classes,
        noise.symmetric(int(classes.max()) + 1, p),
        loss="contrastive",
        squared=squared,
        alpha=ALPHA,
        dim=dim,
        restarts=setting.restarts,
        seed=setting.seed,
    )
    verdict, evidence = collapse_verdict(found, classes, ALPHA)
    return verdict, evidence, within_between(found.distances(), classes)[0]


def check(setting: Setting) -> Outcome:
    """n = 8: linear in m = 1, 2, 7; squared at m = n - 1 against (1 - s_in) a, and its spread below."""
    classes = two_classes(4)
    n = len(classes)
    linear = {m: case(classes, 0.9, False, m, setting) for m in (1, 2, n - 1)}
    levels = (0.95, 0.9, 0.8, 0.7)
    squared = {p: case(classes, p, True, n - 1, setting)[2] for p in levels}
    predicted = {p: (1 - agreement(2, p)[0]) * ALPHA for p in levels}
    error = max(float(np.abs(squared[p] - predicted[p]).max()) for p in levels)
    below = {p: float(case(classes, p, True, 2, setting)[2].mean()) for p in levels}
    weak = case(np.repeat([0, 1, 2], 2), 0.6, False, 5, setting)
    keeps_distance: Verdict = (
        "holds" if error < 1e-5 and min(below.values()) > 0.01 else "fails" if error > 1e-3 else "inconclusive"
    )
    verdict = together([*(v for v, _, _ in linear.values()), keeps_distance])
    return Outcome(
        hypotheses={"s_in > 1/2": agreement(2, 0.9)[0] > 0.5},
        verdict=verdict,
        bound=None,
        best=linear[2][1]["best"],
        evidence={
            "linear (p = 0.9), over m": {str(m): {"verdict": v, **e} for m, (v, e, _) in linear.items()},
            "squared, m = n - 1: within-class distance": {str(p): float(d.mean()) for p, d in squared.items()},
            "squared, m = n - 1: predicted (1 - s_in) a": {str(p): v for p, v in predicted.items()},
            "squared, m = 2: mean within-class distance": {str(p): v for p, v in below.items()},
        },
        counter_example=CounterExample(
            f"linear, t = 3, p = 0.6 (s_in = {agreement(3, 0.6)[0]:.2f} < 1/2), m = n - 1", weak[0], "fails"
        ),
    )


CLAIMS.register("C5")(
    Claim("contrastive, noisy: linear collapses for s_in > 1/2; squared keeps (1 - s_in) a", "holds", check)
)
