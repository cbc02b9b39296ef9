"""C6. EPS triplet loss, clean labels: zero iff each nearest same-class sample is nearer by alpha than every other class.

Proof. Without noise the positive of i is its nearest same-class sample, at distance d_i; the loss of i is the sum over other classes
of [d_i - D_ik + a]_+, which vanishes iff d_i + a <= D_ik for all k. C2's zero set demands this of every same-class
sample: a strictly smaller set, as a class of two clusters on either side of another class shows.
"""

from __future__ import annotations

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.streams import stream
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, embed, two_classes
from sim.theory.expected import expected_loss
from sim.verdict import Verdict

ALPHA = 0.5


def condition(points: np.ndarray, classes: np.ndarray) -> bool:
    """C6's condition, read off the distances of points (n, m).

    Examples
    --------
    Two classes of two, in turn on a line: each sample's own class is nearer by more than alpha, or not.

    >>> condition(np.array([[0.0], [0.1], [2.0], [2.1]]), np.array([0, 0, 1, 1]))
    True
    >>> condition(np.array([[0.0], [0.1], [2.0], [2.1]]), np.array([0, 1, 0, 1]))
    False
    """
    d = embed(points).numpy()
    same = (classes[:, None] == classes) & ~np.eye(len(classes), dtype=bool)
    nearest = np.where(same, d, np.inf).min(1)
    other = np.where(classes[:, None] != classes, d, np.inf).min(1)
    return bool((nearest + ALPHA <= other).all())


def _agreements(p: float, trials: int) -> dict[str, int]:
    """How often condition and zero loss agree over random clustered embeddings, about half of which meet it."""
    classes = two_classes(6)
    rng = stream(0, "C6")
    tally = {"condition met": 0, "zero loss": 0, "disagree": 0}
    for _ in range(trials):
        centres = rng.uniform(0, rng.choice([2.0, 12.0]), size=(2, 3, 2))
        points = (centres[:, [0, 0, 1, 1, 2, 2]] + 0.1 * rng.normal(size=(2, 6, 2))).reshape(12, 2)
        met = condition(points, classes)
        zero = float(expected_loss(embed(points), classes, noise.symmetric(2, p), positive="easy", alpha=ALPHA)) < 1e-12
        tally["condition met"] += met
        tally["zero loss"] += zero
        tally["disagree"] += met != zero
    return tally


def _verdict(tally: dict[str, int], larger: bool) -> Verdict:
    if not tally["condition met"]:
        return "inconclusive"
    return "holds" if tally["disagree"] == 0 and larger else "fails"


def check(setting: Setting) -> Outcome:
    """Equivalence on random embeddings; an interleaved embedding with zero EPS loss and positive plain loss."""
    size = setting.size
    trials = 400 if size == "quick" else 4000
    classes = two_classes(4)
    interleaved = embed(np.array([0, 0.1, 6, 6.1, 3, 3.1, 9, 9.1])[:, None])
    clean = noise.symmetric(2, 1.0)
    easy = float(expected_loss(interleaved, classes, clean, positive="easy", alpha=ALPHA))
    plain = float(expected_loss(interleaved, classes, clean, alpha=ALPHA))
    tally, noisy = _agreements(1.0, trials), _agreements(0.9, trials)
    larger = easy == 0 < plain
    return Outcome(
        hypotheses={"labels are clean (p = 1)": True},
        verdict=_verdict(tally, larger),
        bound=0.0,
        best=easy,
        evidence={"random embeddings": tally, "interleaved clusters": {"easy": easy, "all": plain}, "p = 0.9": noisy},
        counter_example=CounterExample("noise 0.1 (p = 0.9)", _verdict(noisy, larger), "fails"),
    )


CLAIMS.register("C6")(
    Claim("EPS triplet, clean: zero loss iff the nearest same-class sample is nearer by alpha", "holds", check)
)
