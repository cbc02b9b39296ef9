"""C2. Triplet and margin loss, clean labels: zero loss doesn't force collapse.

Proof. Without noise a triplet costs nothing when D_ij + alpha <= D_ik, a pair of the margin loss when D_in <= beta - alpha and
D_out >= beta + alpha. Two balls of positive diameter, far enough apart, satisfy both.
"""

from __future__ import annotations

import numpy as np
import torch

from sim import noise
from sim.catalogue import CLAIMS
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, embed, two_classes
from sim.theory.expected import expected_loss, lower_bound
from sim.theory.minimise import within_between
from sim.verdict import Verdict

ALPHA, BETA, PER_CLASS = 0.5, 2.0, 4


def _spread() -> tuple[torch.Tensor, np.ndarray]:
    """Distances (n, n) of two classes spread over unit intervals, five apart, and the classes."""
    line = np.linspace(0, 1, PER_CLASS)
    return embed(np.concatenate([line, line + 5.0])[:, None]), two_classes(PER_CLASS)


def _losses(p: float) -> dict[str, tuple[float, float]]:
    """Loss of a spread-out embedding and the least loss possible, for both losses."""
    spread, classes = _spread()
    transition = noise.symmetric(2, p)
    triplet = float(expected_loss(spread, classes, transition, alpha=ALPHA))
    margin = float(expected_loss(spread, classes, transition, loss="margin", alpha=ALPHA, beta=BETA))
    return {
        "triplet": (triplet, lower_bound(classes, transition, alpha=ALPHA)),
        "margin": (margin, lower_bound(classes, transition, loss="margin", alpha=ALPHA)),
    }


def _verdict(losses: dict[str, tuple[float, float]]) -> Verdict:
    """The spread-out embedding is a minimiser of both losses, or of neither."""
    least = [abs(value - bound) <= 1e-12 * max(bound, 1) for value, bound in losses.values()]
    return "holds" if all(least) else "fails" if not any(least) else "inconclusive"


def check(setting: Setting) -> Outcome:
    """Two classes of four points spread over unit intervals, five apart: zero loss without noise, not least with noise."""
    p = 1.0
    clean, noisy = _losses(p), _losses(0.9)
    spread, classes = _spread()
    within, between = within_between(spread.numpy(), classes)
    return Outcome(
        hypotheses={
            "labels are clean (T is the identity)": bool((noise.symmetric(2, p) == np.eye(2)).all()),
            "no class is on a point": bool(within.min() > 0),
            "triplet: D_in + alpha <= D_out": bool(within.max() + ALPHA <= between.min()),
            "margin: D_in <= beta - alpha, D_out >= beta + alpha": bool(
                within.max() <= BETA - ALPHA and between.min() >= BETA + ALPHA
            ),
        },
        verdict=_verdict(clean),
        bound=0.0,
        best=max(value for value, _ in clean.values()),
        evidence={"clean (value, bound)": clean, "p = 0.9 (value, bound)": noisy},
        counter_example=CounterExample("the same embedding with noise 0.1 (p = 0.9)", _verdict(noisy), "fails"),
    )


CLAIMS.register("C2")(Claim("triplet and margin, clean: zero loss doesn't force collapse", "holds", check))
