"""C6. EPS triplet loss, clean labels: zero iff each nearest same-class sample is nearer by alpha than every other class.

Proof. Without noise the positive of i is its nearest same-class sample, at distance d_i; the loss of i is the sum over other classes
of [d_i - D_ik + a]_+, which vanishes iff d_i + a <= D_ik for all k. C2's zero set demands this of every same-class sample. With two
samples a class that is the same: there is one. With three or more in some class the set is strictly larger: put them on a line, 2a from one to
the next, and the other classes at the first one's end, 3a from it (`chain`): the first sample's farthest is farther than they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import noise
from sim.catalogue import CLAIMS
from sim.streams import stream
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, embed, two_classes
from sim.theory.expected import expected_loss
from sim.verdict import Verdict

ALPHA, PER_CLASS = 0.5, 4


def condition(points: np.ndarray, classes: np.ndarray) -> bool:
    """C6's condition, read off the distances of points (n, m), two or more a class.

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


def strictly_larger(sizes: Any) -> bool:
    """Whether EPS has more zero-loss embeddings than all positives: some class has three samples or more, and isn't the only one.

    Examples
    --------
    >>> strictly_larger([2, 3]), strictly_larger([2, 2])
    (True, False)
    """
    counts = np.asarray(sizes)
    return bool(counts.max() >= 3 and (counts > 0).sum() >= 2)


def chain(sizes: Any) -> tuple[np.ndarray, np.ndarray]:
    """The largest class on a line, 2 alpha from one sample to the next, the other classes on points before it: ((n, 1) points, classes).

    Examples
    --------
    >>> points, classes = chain([3, 2])
    >>> points.ravel().tolist(), classes.tolist()
    ([0.0, 1.0, 2.0, -1.5, -1.5], [0, 0, 0, 1, 1])
    """
    counts = np.asarray(sizes)
    classes = np.repeat(np.arange(len(counts)), counts)
    largest = int(counts.argmax())
    others = -3 * ALPHA * (1 + np.arange(len(counts)) - (np.arange(len(counts)) > largest))
    points = others[classes]
    points[classes == largest] = 2 * ALPHA * np.arange(counts[largest])
    return points[:, None], classes


def losses(points: np.ndarray, classes: np.ndarray, p: float) -> dict[str, float]:
    """Expected triplet loss of points (n, m) with easy and with all positives, symmetric noise.

    Examples
    --------
    >>> losses(*chain([3, 2]), p=1.0)
    {'easy': 0.0, 'all': 2.0}
    """
    transition = noise.symmetric(int(classes.max()) + 1, p)
    return {
        positive: float(expected_loss(embed(points), classes, transition, positive=positive, alpha=ALPHA))
        for positive in ("easy", "all")
    }


def _agreements(p: float, trials: int, per_class: int = 6) -> dict[str, int]:
    """How often condition and zero loss agree over random clustered embeddings, about half of which meet it."""
    classes = two_classes(per_class)
    rng = stream(0, "C6")
    tally = {"condition met": 0, "zero loss": 0, "disagree": 0}
    for _ in range(trials):
        centres = rng.uniform(0, rng.choice([2.0, 12.0]), size=(2, per_class // 2, 2))
        pairs = centres[:, np.arange(per_class) // 2]  # (2, per_class, 2): two samples at each centre
        points = (pairs + 0.1 * rng.normal(size=pairs.shape)).reshape(-1, 2)
        met = condition(points, classes)
        zero = losses(points, classes, p)["easy"] < 1e-12
        tally["condition met"] += met
        tally["zero loss"] += zero
        tally["disagree"] += met != zero
    return tally


def _verdict(tally: dict[str, int], larger: bool) -> Verdict:
    if not tally["condition met"]:
        return "inconclusive"
    return "holds" if tally["disagree"] == 0 and larger else "fails"


def check(setting: Setting) -> Outcome:
    """Equivalence on random embeddings; a class on a chain with zero EPS loss and positive plain loss; both equal with two a class."""
    trials = 400 if setting.size == "quick" else 4000
    p = 1.0
    sizes = [PER_CLASS, PER_CLASS]
    of_chain, of_pairs = (losses(*chain(s), p) for s in (sizes, [2, 2]))
    tally, noisy = _agreements(p, trials), _agreements(0.9, trials)
    larger = of_chain["easy"] == 0 < of_chain["all"] and of_pairs["easy"] == of_pairs["all"]
    return Outcome(
        hypotheses={
            "labels are clean (T is the identity)": bool((noise.symmetric(2, p) == np.eye(2)).all()),
            "every class has two samples or more": min(sizes) >= 2,
            "strictly larger: a class has three samples or more": strictly_larger(sizes),
        },
        verdict=_verdict(tally, larger),
        bound=0.0,
        best=of_chain["easy"],
        evidence={
            "random embeddings": tally,
            f"chain, classes of {PER_CLASS}": of_chain,
            "chain, classes of 2": of_pairs,
            "p = 0.9": noisy,
        },
        counter_example=CounterExample("noise 0.1 (p = 0.9)", _verdict(noisy, larger), "fails"),
    )


CLAIMS.register("C6")(
    Claim(
        "EPS triplet, clean: zero loss iff each nearest same-class sample is nearer by alpha; with three a class a strictly larger set than C2's",
        "holds",
        check,
    )
)
