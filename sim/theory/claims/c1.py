"""C1. Contrastive loss, clean labels: the minimisers are exactly the collapsed embeddings with centres >= alpha apart.

Proof. Without noise the loss is sum of D (or D^2) over pairs of one class plus [alpha - D]_+ (squared) over the others; both are
>= 0 and vanish together exactly when D = 0 inside classes and D >= alpha between them, which centres far apart allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, collapse_verdict, minimisers, two_classes
from sim.theory.minimise import minimise, within_between
from sim.verdict import Verdict

ALPHA, PER_CLASS, DIM = 1.0, 4, 2


def _verdict(p: float, squared: bool, setting: Setting) -> tuple[Verdict, dict[str, Any]]:
    classes = two_classes(PER_CLASS)
    found = minimise(
        classes,
        noise.symmetric(2, p),
        loss="contrastive",
        alpha=ALPHA,
        squared=squared,
        dim=DIM,
        bound=0.0 if p == 1 else None,
        restarts=setting.restarts,
        seed=setting.seed,
    )
    verdict, evidence = collapse_verdict(found, classes, ALPHA)
    apart = [within_between(found.distances(k), classes)[1].min() for k in minimisers(found)]
    if verdict == "holds" and np.min(apart) < ALPHA * (1 - 1e-3):
        verdict = "fails"
    return verdict, evidence


def check(setting: Setting) -> Outcome:
    """Linear and squared, four samples a class in the plane; against noisy squared loss."""
    linear, squared = (_verdict(1.0, s, setting) for s in (False, True))
    verdict: Verdict = linear[0] if linear[0] == squared[0] else "inconclusive"
    noisy = _verdict(0.9, True, setting)
    return Outcome(
        hypotheses={"labels are clean (p = 1)": True},
        verdict=verdict,
        bound=0.0,
        best=linear[1]["best"],
        evidence={"linear": linear[1], "squared": squared[1], "noisy squared": noisy[1]},
        counter_example=CounterExample("squared loss with noise 0.1 (p = 0.9)", noisy[0], "fails"),
    )


CLAIMS.register("C1")(Claim("contrastive, clean: minimisers are exactly the collapsed embeddings", "holds", check))
