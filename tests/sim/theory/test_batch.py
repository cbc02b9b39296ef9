"""Batch-level expectations against the training losses on drawn batches, and the boundary u = v."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sim import noise
from sim.errors import InvalidInput
from sim.losses import make
from sim.theory import expected_loss
from sim.theory.batch import _drawn_batches, _estimate, batch_loss, pair_use

CLASSES = np.array([0] * 5 + [1] * 4 + [2] * 6)
TRANSITION = [[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]]
POINTS = torch.randn(15, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
DISTANCES = torch.cdist(POINTS, POINTS)


@pytest.mark.parametrize(
    ("loss", "squared", "choice"),
    [
        ("margin", False, "random"),
        ("contrastive", False, "random"),
        ("contrastive", True, "random"),
        ("contrastive", False, "all"),
        ("contrastive", True, "all"),
    ],
)
@pytest.mark.parametrize("per_class", [2, 3])
def test_exact_equals_the_mean_over_batches(choice: str, loss: str, squared: bool, per_class: int) -> None:
    beta = 1.0 if loss == "margin" else None
    options = {"loss": loss, "positive": choice, "negative": choice, "per_class": per_class, "alpha": 0.6, "beta": beta}
    exact = batch_loss(DISTANCES, CLASSES, TRANSITION, squared=squared, **options)
    assert exact.standard_error == 0
    own = {"margin": {"beta": beta}, "contrastive": {"squared": squared}}.get(loss, {})
    pools = [(np.flatnonzero(c == CLASSES), per_class) for c in range(3)]
    batches = _drawn_batches(CLASSES, np.array(TRANSITION), pools, 20_000, 1)
    drawn = _estimate(make(loss, alpha=0.6, reduction="sum", **own), POINTS, batches, choice, choice)
    assert abs(exact.value - drawn.value) < 4 * drawn.standard_error
    assert drawn.standard_error < 0.01 * exact.value


def test_estimates_state_their_error() -> None:
    """With the whole set in the batch the estimate is that of the full expected loss."""
    classes = np.repeat([0, 1], 4)
    x, transition = POINTS[:8], noise.symmetric(2, 0.8)
    for positive in ("all", "easy"):
        found = batch_loss(
            torch.cdist(x, x), classes, transition, loss="triplet", positive=positive, negative="all", per_class=4,
            alpha=0.5, points=x,
        )  # fmt: skip
        exact = float(expected_loss(torch.cdist(x, x), classes, transition, positive=positive, alpha=0.5))
        assert found.draws == 4000
        assert abs(found.value - exact) < 4 * found.standard_error


def test_uses_by_hand() -> None:
    """Two classes of two, no noise: the one other sample is the positive, each of two others the negative half of the time."""
    u, v = pair_use(np.eye(2), 2)
    np.testing.assert_allclose(u, np.eye(2))
    np.testing.assert_allclose(v, (1 - np.eye(2)) / 2)


@pytest.mark.parametrize("t", [2, 3, 5])
@pytest.mark.parametrize("per_class", [2, 4, 8])
def test_one_positive_and_one_negative_put_the_boundary_at_chance(t: int, per_class: int) -> None:
    """u = v at p = 1/t exactly; above it a within-class pair is more often a positive, even where s_in < 1/2."""
    u, v = pair_use(noise.symmetric(t, 1 / t), per_class)
    np.testing.assert_allclose(u, v, rtol=1e-12)
    for p in (1 / t + 0.02, 0.6, 0.95):
        u, v = pair_use(noise.symmetric(t, p), per_class)
        assert u[0, 0] > v[0, 0]
        assert u[0, 1] < v[0, 1]


def test_bad_input_is_named() -> None:
    options = {"loss": "margin", "alpha": 0.5, "beta": 1.0}
    with pytest.raises(InvalidInput, match="per_class: got 5; allowed: an integer, 2 to 4"):
        batch_loss(DISTANCES, CLASSES, TRANSITION, per_class=5, **options)
    with pytest.raises(InvalidInput, match="negative: got 'easy'; allowed: one of all, random"):
        batch_loss(DISTANCES, CLASSES, TRANSITION, per_class=2, negative="easy", **options)
    with pytest.raises(InvalidInput, match="points: got None"):
        batch_loss(DISTANCES, CLASSES, TRANSITION, per_class=2, positive="easy", **options)


@pytest.mark.parametrize("loss", ["triplet", "contrastive"])
def test_uniform_batches_are_exact_and_agree_with_drawn_ones(loss: str) -> None:
    points = torch.randn(9, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    classes, transition = np.repeat([0, 1, 2], 3), noise.symmetric(3, 0.8)
    exact = batch_loss(
        torch.cdist(points, points),
        classes,
        transition,
        loss=loss,
        positive="all",
        negative="all",
        batch_size=6,
        alpha=0.5,
    )
    assert exact.draws == 0
    rng = np.random.default_rng(0)
    index = torch.from_numpy(np.stack([rng.permutation(9)[:6] for _ in range(20_000)]))
    matrix = torch.from_numpy(transition)
    flipped = torch.multinomial(
        matrix[torch.from_numpy(classes)[index].flatten()], 1, generator=torch.Generator().manual_seed(2)
    )
    values = make(loss, alpha=0.5, reduction="sum")(points[index], flipped.view(-1, 6), positive="all", negative="all")
    assert abs(float(values.mean()) - exact.value) < 4 * float(values.std()) / 20_000**0.5


def test_uniform_batches_with_easy_positives_are_estimated() -> None:
    points = torch.randn(8, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    classes = np.repeat([0, 1], 4)
    found = batch_loss(
        None,
        classes,
        noise.symmetric(2, 1.0),
        loss="triplet",
        positive="easy",
        negative="all",
        batch_size=8,
        alpha=0.5,
        points=points,
        draws=4,
    )
    # The batch is the whole set and labels are clean: nothing is random, and the expected loss is the answer.
    whole = expected_loss(torch.cdist(points, points), classes, noise.symmetric(2, 1.0), positive="easy", alpha=0.5)
    assert found.value == pytest.approx(float(whole), rel=1e-6) and found.standard_error < 1e-6
    with pytest.raises(InvalidInput, match="^per_class: "):
        batch_loss(None, classes, noise.symmetric(2, 1.0), loss="triplet", alpha=0.5)
