"""Expected losses where a boundary lies below the margin, samples coincide, or an anchor has no mate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sim.theory import expected_loss


def enumerated(d: np.ndarray, classes: np.ndarray, t: np.ndarray, alpha: float, beta: float, positive: str) -> float:
    """The margin loss's definition, labelling by labelling, pair by pair."""
    total, n = 0.0, len(classes)
    for labels in itertools.product(range(len(t)), repeat=n):
        chance = np.prod([t[c, y] for c, y in zip(classes, labels, strict=True)])
        for i in range(n):
            same = [j for j in range(n) if j != i and labels[j] == labels[i]]
            pulled = same if positive == "all" else sorted(same, key=lambda j, i=i: d[i, j])[:1]
            value = sum(max(d[i, j] - beta + alpha, 0) for j in pulled)
            value += sum(max(beta + alpha - d[i, k], 0) for k in range(n) if labels[k] != labels[i])
            total += chance * value
    return total


@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.2), (0.7, 0.7), (0.2, 0.7)])
def test_a_sample_is_never_its_own_positive(positive: str, alpha: float, beta: float) -> None:
    """A boundary below the margin makes a distance of 0 cost alpha - beta: an anchor paired with itself would pay it."""
    d = np.abs(np.subtract.outer([0.0, 0.0, 0.4, 1.0], [0.0, 0.0, 0.4, 1.0]))
    classes, t = np.array([0, 0, 1, 1]), np.array([[0.8, 0.2], [0.3, 0.7]])
    ours = expected_loss(d, classes, t, loss="margin", positive=positive, alpha=alpha, beta=beta)
    assert float(ours) == pytest.approx(enumerated(d, classes, t, alpha, beta, positive), rel=1e-12)


@pytest.mark.parametrize("positive", ["all", "easy"])
def test_a_triplet_at_its_margin_counts_alike_from_both_sides(positive: str) -> None:
    """On a grid of halves, margin a half: many negatives are exactly at positive + alpha, where the hinge is 0."""
    x = [0.0, 0.5, 0.5, 1.0, 1.5, 0.0]
    d = np.abs(np.subtract.outer(x, x))
    classes, t, total = np.array([0, 0, 1, 1, 0, 1]), np.array([[0.8, 0.2], [0.3, 0.7]]), 0.0
    for labels in itertools.product(range(2), repeat=6):
        chance = np.prod([t[c, y] for c, y in zip(classes, labels, strict=True)])
        for i in range(6):
            same = [j for j in range(6) if j != i and labels[j] == labels[i]]
            pulled = same if positive == "all" else sorted(same, key=lambda j, i=i: d[i, j])[:1]
            other = [k for k in range(6) if labels[k] != labels[i]]
            total += chance * sum(max(d[i, j] - d[i, k] + 0.5, 0) for j in pulled for k in other)
    assert float(expected_loss(d, classes, t, positive=positive, alpha=0.5)) == pytest.approx(total, rel=1e-12)


def test_an_anchor_without_a_mate_pays_for_its_negatives_only() -> None:
    value = expected_loss(
        [[0, 0.5], [0.5, 0]], [0, 1], [[1, 0], [0, 1]], loss="margin", positive="easy", alpha=0.5, beta=0.2
    )
    assert float(value) == pytest.approx(2 * 0.2)
