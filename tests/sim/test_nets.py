"""The net's hand-ordered program against the plain one, value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sim.nets import affine_relu, mlp
from sim.nets.mlp import MLP


@pytest.mark.parametrize(("depth", "width", "dim"), [(2, 8, 2), (1, 24, 20), (0, 1, 3), (3, 5, 17)])
@pytest.mark.parametrize("needs_x", [True, False])
@pytest.mark.parametrize("cache", [1, 2**19])
def test_layers_equal_the_plain_program(
    depth: int, width: int, dim: int, needs_x: bool, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affine_relu, "CACHE_BYTES", cache)
    net = MLP(range(5), (3,), dim=dim, width=width, depth=depth).double()
    x = torch.randn(5, 7, 3, dtype=torch.float64, requires_grad=needs_x)
    upstream = torch.randn(5, 7, dim, dtype=torch.float64)
    wanted = [*net.parameters(), *([x] if needs_x else [])]
    found: list[tuple[Tensor, tuple[Tensor, ...]]] = []
    for many in (1, 6):
        monkeypatch.setattr(mlp, "MANY_RUNS", many)
        embeddings = net(x, torch.zeros(5, 7, dtype=torch.int64))
        found.append((embeddings, torch.autograd.grad(embeddings, wanted, upstream)))
    (ours, ours_gradients), (plain, plain_gradients) = found
    torch.testing.assert_close(ours, plain)
    for a, b in zip(ours_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_a_run_does_not_depend_on_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    net = MLP(range(40), (2,), width=16)
    x = torch.randn(40, 9, 2)
    index = torch.zeros(40, 9, dtype=torch.int64)
    whole = net(x, index)
    monkeypatch.setattr(affine_relu, "CACHE_BYTES", 1)
    torch.testing.assert_close(net(x, index), whole, rtol=1e-6, atol=1e-7)
