"""C1. Contrastive loss, clean labels: the minimisers are exactly the collapsed embeddings with centres >= alpha apart.

Proof. Without noise the loss is sum of D (or D^2) over pairs of one class plus [alpha - D]_+ (squared) over the others; both are
>= 0 and vanish together exactly when D = 0 inside classes and D >= alpha between them, which centres far apart allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import (
    COLLAPSED,
    Claim,
    CounterExample,
    Outcome,
    Setting,
    collapse_verdict,
    embed,
    minimisers,
    two_classes,
)
from sim.theory.expected import expected_loss
from sim.theory.minimise import minimise, within_between
from sim.verdict import Verdict, together

ALPHA, PER_CLASS, DIM = 1.0, 4, 2


def _verdict(p: float, squared: bool, setting: Setting) -> tuple[Verdict, dict[str, Any]]:
    """Are the minimisers found collapsed, centres alpha or more apart?"""
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
    if verdict == "holds" and min(apart) < ALPHA * (1 - COLLAPSED):
        verdict = "fails"
    return verdict, evidence


def collapsed_loss(apart: float, squared: bool) -> float:
    """Clean loss of two collapsed classes of four at a distance.

    Examples
    --------
    >>> collapsed_loss(1.0, squared=True), collapsed_loss(0.75, squared=False)
    (0.0, 8.0)
    """
    classes = two_classes(PER_CLASS)
    points = apart * classes[:, None]
    clean = noise.symmetric(2, 1.0)
    return float(expected_loss(embed(points), classes, clean, loss="contrastive", alpha=ALPHA, squared=squared))


def check(setting: Setting) -> Outcome:
    """Linear and squared, four samples a class in the plane, and collapsed embeddings of given distance; against noisy squared loss."""
    p = 1.0
    linear, squared = (_verdict(p, s, setting) for s in (False, True))
    collapsed = {f"{d:g} alpha": [collapsed_loss(d * ALPHA, s) for s in (False, True)] for d in (0.9, 1.0, 3.0)}
    exactly = max(collapsed["1 alpha"] + collapsed["3 alpha"]) == 0 < min(collapsed["0.9 alpha"])
    noisy = _verdict(0.9, True, setting)
    return Outcome(
        hypotheses={"labels are clean (T is the identity)": bool((noise.symmetric(2, p) == np.eye(2)).all())},
        verdict=together([linear[0], squared[0], "holds" if exactly else "fails"]),
        bound=0.0,
        best=linear[1]["best"],
        evidence={
            "linear": linear[1],
            "squared": squared[1],
            "clean loss of collapsed embeddings (linear, squared), by the centres' distance": collapsed,
            "squared, p = 0.9": noisy[1],
        },
        counter_example=CounterExample("squared loss with noise 0.1 (p = 0.9)", noisy[0], "fails"),
    )


CLAIMS.register("C1")(
    Claim(
        "contrastive, clean: minimisers are exactly the collapsed embeddings with centres >= alpha apart",
        "holds",
        check,
    )
)
