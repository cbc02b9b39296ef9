"""Values and slopes for minimisers are those of `expected_loss` and autograd, compiled or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sim import distances, kernels, noise
from sim.theory import expected_loss, slopes
from sim.theory.descent import OfDistances

LOSSES = [("triplet", False), ("margin", False), ("contrastive", False), ("contrastive", True)]


def points(n: int, *, tied: bool) -> torch.Tensor:
    """Three embeddings (3, n, 2); tied: on a grid, some of them on one point."""
    x = torch.randn(3, n, 2, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    return x.round() if tied else x


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize(("loss", "squared"), LOSSES)
@pytest.mark.parametrize(("n", "t", "tied"), [(2, 2, False), (9, 3, False), (9, 3, True), (70, 2, False)])
def test_slopes_are_those_of_autograd(
    n: int, t: int, tied: bool, loss: str, squared: bool, positive: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiled and not kernels.AVAILABLE:
        pytest.skip("without Numba")
    monkeypatch.setattr(kernels, "AVAILABLE", compiled)
    classes, transition = np.arange(n) % t, noise.symmetric(t, 0.8)
    d = distances.pairwise(points(n, tied=tied)).requires_grad_()
    beta = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64, requires_grad=True) if loss == "margin" else None
    setting = {"loss": loss, "positive": positive, "alpha": 1.0 if tied else 0.5, "squared": squared}
    value = expected_loss(d, classes, transition, beta=beta, **setting)
    expected = torch.autograd.grad(value.sum(), [d] if beta is None else [d, beta])
    found = slopes.slopes(
        d.detach(), torch.from_numpy(transition[classes]), beta=None if beta is None else beta.detach(), **setting
    )
    torch.testing.assert_close(found.value, value.detach(), rtol=1e-12, atol=1e-12)
    off_diagonal = ~torch.eye(n, dtype=torch.bool)
    torch.testing.assert_close(found.distances * off_diagonal, expected[0] * off_diagonal, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        found.beta, torch.zeros(3).double() if beta is None else expected[1], rtol=1e-12, atol=1e-11
    )


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("geometry", ["plane", "sphere"])
@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize(("loss", "squared"), LOSSES)
def test_gradients_in_the_points_are_those_of_autograd(
    loss: str, squared: bool, positive: str, geometry: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiled and not kernels.AVAILABLE:
        pytest.skip("without Numba")
    monkeypatch.setattr(kernels, "AVAILABLE", compiled)
    classes, transition = np.arange(8) % 2, noise.symmetric(2, 0.9)
    objective = OfDistances(classes, transition, geometry, False, loss, positive, 0.5, squared, loss == "margin")
    x = points(8, tied=False)
    x[:, 3] = x[:, 5]  # two points on one
    x.requires_grad_()
    beta = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    given = beta if loss == "margin" else None
    placed = torch.nn.functional.normalize(x, dim=-1) if geometry == "sphere" else x
    d = distances.pairwise(placed)
    expected = expected_loss(
        d, classes, transition, loss=loss, positive=positive, alpha=0.5, beta=given, squared=squared
    )
    wanted = torch.autograd.grad(expected.sum(), [x] if given is None else [x, beta])
    value, gradient, of_beta = map(torch.from_numpy, objective.evaluate(x.detach().numpy(), beta.detach().numpy()))
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, wanted[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(of_beta, torch.zeros(3).double() if given is None else wanted[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize(("loss", "squared"), LOSSES)
def test_how_distances_lie_in_memory_changes_nothing(
    loss: str, squared: bool, positive: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiled and not kernels.AVAILABLE:
        pytest.skip("without Numba")
    monkeypatch.setattr(kernels, "AVAILABLE", compiled)
    d = distances.pairwise(points(7, tied=False))
    p = torch.from_numpy(noise.symmetric(2, 0.8)[np.arange(7) % 2])
    setting = {"loss": loss, "positive": positive, "alpha": 0.5, "squared": squared}
    beta = torch.ones(3, dtype=torch.float64) if loss == "margin" else None
    expected = slopes.slopes(d, p, beta=beta, **setting)
    for laid_out in (d.mT.contiguous().mT, torch.stack([d, d], -1)[..., 0]):
        assert not laid_out.is_contiguous()
        found = slopes.slopes(laid_out, p, beta=beta, **setting)
        for part in ("value", "distances", "beta"):
            assert torch.equal(getattr(found, part), getattr(expected, part))
