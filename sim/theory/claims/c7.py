"""C7. EPS triplet loss, noisy labels: no minimiser is collapsed.

Proof by certificate (`sim.theory.certificates`): a finite list of breakpoints bounds every collapsed embedding from below in exact
rational arithmetic, and an embedding on a line lies strictly below the bound; an independent program re-checks it. Classes
need four samples or more: for two or three no embedding on a line is better (for two none was found in any dimension).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from sim import noise
from sim.theory.certificates import certify_c7
from sim.theory.claims.base import CLAIMS, Claim, CounterExample, Outcome, two_classes
from sim.theory.expected import expected_loss, lower_bound
from sim.theory.minimise import minimise
from sim.theory.verifier import verify
from sim.verdict import Verdict

ALPHA = 0.5
SAME_POINT = 0.1
"""Linking distance, in units of alpha, within which points count as one sub-cluster."""


def subclusters(points: np.ndarray, classes: np.ndarray) -> float:
    """Mean number of sub-clusters of a class: single linkage at `SAME_POINT`."""
    counts = [
        fcluster(linkage(points[classes == c], "single"), SAME_POINT * ALPHA, "distance").max()
        for c in np.unique(classes)
    ]
    return float(np.mean(counts))


def best_free(p: float, per_class: int, restarts: int, t: int = 2) -> dict[str, Any]:
    """The best free embedding found in the plane: value and number of sub-clusters a class."""
    classes = np.repeat(np.arange(t), per_class)
    found = minimise(classes, noise.symmetric(t, p), positive="easy", alpha=ALPHA, dim=2, restarts=restarts)
    return {"value": found.best, "subclusters": subclusters(found.embeddings[0].numpy(), classes)}


def check(size: str) -> Outcome:
    """Certificates for t = 2 and twelve samples a class over p; the best free embeddings; the phase diagram in full."""
    restarts = 12 if size == "quick" else 60
    levels = ("19/20", "9/10", "4/5", "7/10", "3/5")
    rows: dict[str, Any] = {}
    refused: list[str] = []
    for p in levels:
        certificate = certify_c7(p, 12, "1/2")
        refused += verify(certificate.to_dict())
        assert certificate.better is not None
        rows[p] = {
            "best collapsed (exact)": float(certificate.collapsed.value),
            "better on a line (exact)": float(certificate.better.value),
            "difference (exact)": str(certificate.collapsed.value - certificate.better.value),
        }
        if size == "full" or p == "9/10":
            rows[p]["best free, m = 2"] = best_free(float(Fraction(p)), 12, restarts)
    proven = not refused and all(r["better on a line (exact)"] < r["best collapsed (exact)"] for r in rows.values())
    # Plain triplets: the collapsed embedding attains the lower bound, nothing can lie below it.
    classes = two_classes(12)
    apart = ALPHA * (classes[:, None] != classes).astype(float)
    plain = float(expected_loss(apart, classes, noise.symmetric(2, 0.9), alpha=ALPHA))
    bound = lower_bound(classes, noise.symmetric(2, 0.9), alpha=ALPHA)
    counter: Verdict = "fails" if plain <= bound * (1 + 1e-12) else "holds"
    evidence: dict[str, Any] = {"t = 2, twelve a class, alpha = 1/2": rows, "verifier": refused or "accepts all"}
    if size == "full":
        evidence["phase diagram (sub-clusters a class, m = 2)"] = {
            f"t = {t}, {k} a class": {
                str(p): best_free(p, k, restarts, t)["subclusters"] for p in (0.95, 0.9, 0.8, 0.7, 0.6)
            }
            for t in (2, 3)
            for k in (3, 6, 12)
        }
    verdict: Verdict = "holds" if proven else "fails" if refused else "inconclusive"
    return Outcome(
        hypotheses={"positives are easy": True, "q > 0": True, "four or more samples a class": True},
        verdict=verdict,
        bound=rows["9/10"]["best collapsed (exact)"],
        best=rows["9/10"]["best free, m = 2"]["value"],
        evidence=evidence,
        counter_example=CounterExample("all positives instead of easy ones (p = 0.9)", counter, "fails"),
    )


CLAIMS.register("C7")(Claim("EPS triplet, noisy: no minimiser is collapsed (certificates)", "holds", check))
