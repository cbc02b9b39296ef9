"""Minimisers reach known minima, and stay where they are when the problem is only moved or renamed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sim import noise
from sim.errors import InvalidInput
from sim.theory import expected_loss, lower_bound
from sim.theory.descent import Search
from sim.theory.minimise import minimise, within_between

CLASSES = np.repeat([0, 1], 4)
NOISY = noise.symmetric(2, 0.9)


def test_the_bound_is_reached_where_it_is_attained() -> None:
    """C3: to 1e-6 relative and better, collapsed in the plane, spread out in n - 1 dimensions."""
    bound = lower_bound(CLASSES, NOISY, alpha=0.5)
    for dim, collapsed in ((2, True), (7, False)):
        found = minimise(CLASSES, NOISY, alpha=0.5, dim=dim, bound=bound, restarts=6)
        assert 0 <= found.gap + 1e-12 < 1e-9
        within, between = within_between(found.distances(), CLASSES)
        assert np.allclose(between, within.mean() + 0.5, atol=1e-6)
        assert np.ptp(within) < 1e-6
        if collapsed:
            assert within.max() < 1e-9


def test_collapse_is_found_along_the_flat_valley() -> None:
    """C3 at m = n - 2, where the loss grows only with the square of the spread."""
    bound = lower_bound(CLASSES, NOISY, alpha=0.5)
    found = minimise(CLASSES, NOISY, alpha=0.5, dim=6, bound=bound, restarts=3)
    assert found.gap < 1e-9
    assert within_between(found.distances(), CLASSES)[0].max() < 1e-3


def test_learnt_and_fixed_beta() -> None:
    """C4: collapse with centres 2 alpha apart and beta = alpha; at beta = 1.2 a mean spread of 0.58."""
    learnt = minimise(CLASSES, NOISY, loss="margin", alpha=0.2, beta="learn", restarts=6,
                      bound=lower_bound(CLASSES, NOISY, loss="margin", alpha=0.2))  # fmt: skip
    within, between = within_between(learnt.distances(), CLASSES)
    assert learnt.gap < 1e-9
    assert float(learnt.betas[0]) == pytest.approx(0.2, abs=1e-6)
    assert within.max() < 1e-6
    assert np.allclose(between, 0.4, atol=1e-6)
    fixed = minimise(CLASSES, NOISY, loss="margin", alpha=0.2, beta=1.2, restarts=12)
    assert within_between(fixed.distances(), CLASSES)[0].mean() == pytest.approx(0.58, abs=0.005)


def test_squared_contrastive_keeps_its_predicted_distance() -> None:
    """C5: (1 - s_in) alpha inside classes for m >= n - 1."""
    found = minimise(CLASSES, NOISY, loss="contrastive", squared=True, alpha=1.0, dim=7, restarts=3)
    assert np.allclose(within_between(found.distances(), CLASSES)[0], 0.18, atol=1e-6)


def test_sphere_keeps_its_points_on_the_sphere() -> None:
    found = minimise(
        CLASSES, NOISY, alpha=0.5, dim=3, geometry="sphere", restarts=4, bound=lower_bound(CLASSES, NOISY, alpha=0.5)
    )
    torch.testing.assert_close(found.embeddings.norm(dim=-1), torch.ones(4, 8, dtype=torch.float64))
    assert found.gap < 1e-6


def test_values_are_those_of_the_embeddings_in_order() -> None:
    found = minimise(CLASSES, NOISY, positive="easy", alpha=0.5, restarts=5, search=Search(steps=100, polish=50))
    values = expected_loss(torch.cdist(found.embeddings, found.embeddings, compute_mode="donot_use_mm_for_euclid_dist"),
                           CLASSES, NOISY, positive="easy", alpha=0.5)  # fmt: skip
    torch.testing.assert_close(found.values, values)
    assert (found.values.diff() >= 0).all()
    again = minimise(CLASSES, NOISY, positive="easy", alpha=0.5, restarts=5, search=Search(steps=100, polish=50))
    assert torch.equal(found.embeddings, again.embeddings)


def test_a_rotated_start_ends_rotated() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 8, 3, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    runs = [minimise(CLASSES, NOISY, loss="contrastive", squared=True, alpha=1.0, dim=3, start=s, search=Search(steps=40, polish=0))
            for s in (start, start @ rotation)]  # fmt: skip
    torch.testing.assert_close(runs[0].embeddings @ rotation, runs[1].embeddings, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim: got 0; allowed: an integer >= 1"),
        ({"restarts": 0}, "restarts: got 0"),
        ({"geometry": "torus"}, "geometry: got 'torus'; allowed: one of plane, sphere"),
        ({"loss": "margin", "beta": "learned"}, "beta: got 'learned'; allowed: a number, 'learn' or None"),
        ({"alpha": -1.0}, "alpha: got -1.0"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        minimise(CLASSES, NOISY, **{"alpha": 0.5, **change})
