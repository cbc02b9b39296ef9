"""The compiled kernels compute what the tensor programs beside them compute."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from sim import kernels as compiled
from sim.catalogue import NEGATIVES, OPTIMIZERS, POSITIVES
from sim.losses import make
from sim.samplers import RunDraws, select
from sim.samplers.tuples import Tuples, active_counts

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="Numba isn't installed (extra: fast)")

SINGLES = [
    (positive, negative)
    for positive, negative in itertools.product(POSITIVES, NEGATIVES)
    if all(k is not None and k.single for k in (POSITIVES[positive].kernel, NEGATIVES[negative].kernel))
    if not (POSITIVES[positive].reads_other_side and NEGATIVES[negative].reads_other_side)
]


def batches(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Three runs; in the last one label 3 has one sample, and label 0 none but its own in half of the rows."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 24, 3, generator=generator, dtype=dtype)
    labels = torch.randint(0, 3, (3, 24), generator=generator)
    labels[2, 5] = 3
    return x, labels


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", False)


@pytest.mark.parametrize(("positive", "negative"), SINGLES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_single_choices(
    positive: str, negative: str, dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels = batches(dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = select(x, labels, positive=positive, negative=negative, generator=RunDraws([1, 2, 3]))
    finally:
        torch.set_num_threads(before)
    without(monkeypatch)
    plain = select(x, labels, positive=positive, negative=negative, generator=RunDraws([1, 2, 3]))
    assert torch.equal(ours.pos_mask, plain.pos_mask)
    assert torch.equal(ours.neg_mask, plain.neg_mask)
    assert torch.equal(ours.positive * ours.pos_mask, plain.positive * plain.pos_mask)
    assert torch.equal(ours.negative * ours.neg_mask, plain.negative * plain.neg_mask)


@pytest.mark.parametrize("labels", [torch.zeros(2, 6, dtype=torch.int64), torch.arange(6).expand(2, 6)])
@pytest.mark.parametrize(("positive", "negative"), SINGLES)
def test_nothing_to_choose_from(positive: str, negative: str, labels: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(1))
    ours = select(x, labels, positive=positive, negative=negative, generator=RunDraws([1, 2]))
    without(monkeypatch)
    plain = select(x, labels, positive=positive, negative=negative, generator=RunDraws([1, 2]))
    assert torch.equal(ours.pos_mask, plain.pos_mask)
    assert torch.equal(ours.neg_mask, plain.neg_mask)


@pytest.mark.parametrize("inclusive", [False, True])
def test_active_counts_with_ties(inclusive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    # Quarters are exact, so that positive + alpha = negative happens often.
    d = torch.randint(0, 8, (4, 12, 12), generator=generator).float() / 4
    pos = torch.rand(4, 12, 12, generator=generator) < 0.4
    neg = ~pos & (torch.rand(4, 12, 12, generator=generator) < 0.8)
    tuples = Tuples(d, d.unsqueeze(2), pos, neg.unsqueeze(2))
    alpha = torch.tensor([0.0, 0.25, 0.5, 1.0])
    ours = active_counts(tuples, alpha, inclusive=inclusive)
    without(monkeypatch)
    plain = active_counts(tuples, alpha, inclusive=inclusive)
    for a, b in zip(ours, plain, strict=True):
        assert a.shape == b.shape
        assert torch.equal(a.long(), b)
    gap = (d + alpha.view(-1, 1, 1)).unsqueeze(3) - d.unsqueeze(2)
    active = (gap >= 0 if inclusive else gap > 0) & pos.unsqueeze(3) & neg.unsqueeze(2)
    assert torch.equal(ours[0].long(), active.sum(3))


@pytest.mark.parametrize(
    ("name", "positive", "negative"),
    [
        ("triplet", "all", "all"),
        ("triplet", "all", "semihard_all"),
        ("margin", "all", "all"),
        ("triplet", "all", "distance_weighted"),
        ("margin", "easy", "distance_weighted"),
        ("contrastive", "hard", "semihard"),
    ],
)
def test_losses_and_gradients(name: str, positive: str, negative: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = batches()
    x = torch.nn.functional.normalize(x, dim=-1)

    def value() -> tuple[Tensor, Tensor]:
        leaf = x.clone().requires_grad_()
        loss = make(name)(leaf, labels, positive=positive, negative=negative, generator=RunDraws([1, 2, 3]))
        return loss, torch.autograd.grad(loss.sum(), leaf)[0]

    ours = value()
    without(monkeypatch)
    for a, b in zip(ours, value(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        parameters = [torch.randn(3, *shape, generator=generator, dtype=dtype) for shape in ((4, 5), (1, 7))]
        optimizer = OPTIMIZERS["adam"](parameters, [torch.tensor([0.1, 0.01, 0.2])] * 2, torch.zeros(3))
        for _ in range(5):
            gradients = [torch.randn(p.shape, generator=generator, dtype=dtype).mT.contiguous().mT for p in parameters]
            optimizer.step(gradients, 0.5)
        return parameters

    ours = run()
    without(monkeypatch)
    for a, b in zip(ours, run(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-7)
