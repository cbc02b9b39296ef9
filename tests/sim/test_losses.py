"""Losses and samplers against plain loops and against pytorch-metric-learning, value and gradient, in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning.distances import LpDistance
from torch import Tensor

from sim.catalogue import NEGATIVES, POSITIVES
from sim.errors import InvalidInput
from sim.losses import make

COUNTED = ("contrastive", "margin", "triplet")
IN_BATCH = [n for n in NEGATIVES if not NEGATIVES[n].memory]
EUCLIDEAN = LpDistance(normalize_embeddings=False)


def batches(runs: int = 3, size: int = 12, dim: int = 3, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(runs, size, dim, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (runs, size), generator=generator)
    return x.requires_grad_(), labels


def loop_triplets(
    d: np.ndarray, labels: np.ndarray, positive: str, negative: str, alpha: float
) -> list[tuple[int, int, int]]:
    """The triplets that the policies' own definitions in plain Python name."""
    pos, neg = POSITIVES[positive], NEGATIVES[negative]
    found = []
    for a in range(len(labels)):
        row = d[a].tolist()
        same = [j for j in range(len(labels)) if j != a and labels[j] == labels[a]]
        other = [k for k in range(len(labels)) if labels[k] != labels[a]]
        if pos.reads_other_side:
            for k in neg.reference(row, other, math.nan, alpha):
                found += [(a, p, k) for p in pos.reference(row, same, row[k], alpha)]
        else:
            for p in pos.reference(row, same, math.nan, alpha):
                found += [(a, p, k) for k in neg.reference(row, other, row[p], alpha)]
    return found


def loop_loss(name: str, x: Tensor, labels: Tensor, positive: str, negative: str, alpha: float, beta: float) -> Tensor:
    d = (x[:, None] - x[None]).square().sum(-1).add(torch.eye(len(x))).sqrt()
    triplets = loop_triplets(d.detach().numpy(), labels.numpy(), positive, negative, alpha)
    if name == "triplet":
        terms = [(d[a, p] - d[a, n] + alpha).clamp_min(0) for a, p, n in triplets]
    else:
        terms = [(d[a, p] - beta + alpha).clamp_min(0) for a, p, _ in triplets]
        terms += [(beta + alpha - d[a, n]).clamp_min(0) for a, _, n in triplets]
    active = [t for t in terms if t > 0]
    return torch.stack(active).sum() / len(active) if active else x.sum() * 0


def pairs_that_make_sense() -> list[tuple[str, str]]:
    """All pairs of policies with a definition in plain Python, families among them."""
    positives = [p for p in [*POSITIVES, "k_easy:2", "easy_within:1.0"] if POSITIVES[p].reference is not None]
    negatives = [n for n in NEGATIVES if NEGATIVES[n].reference is not None]
    return [(p, n) for p, n in itertools.product(positives, negatives) if accepts("triplet", p, n)]


def accepts(name: str, positive: str, negative: str) -> bool:
    try:
        make(name).sampling(positive, negative)
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize("name", ["triplet", "margin"])
@pytest.mark.parametrize(("positive", "negative"), pairs_that_make_sense())
def test_value_and_gradient_equal_the_loop(name: str, positive: str, negative: str) -> None:
    x, labels = batches()
    alpha, beta = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64), 1.1
    loss = make(name, alpha=alpha, **({"beta": beta} if name == "margin" else {}))
    ours = loss(x, labels, positive=positive, negative=negative)
    loops = [loop_loss(name, x[r], labels[r], positive, negative, float(alpha[r]), beta) for r in range(len(x))]
    torch.testing.assert_close(ours, torch.stack(loops), rtol=1e-12, atol=1e-12)
    ours_gradient = torch.autograd.grad(ours.sum(), x)[0]
    loop_gradient = torch.autograd.grad(torch.stack(loops).sum(), x)[0]
    torch.testing.assert_close(ours_gradient, loop_gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("positive", ["all", "easy", "hard"])
@pytest.mark.parametrize("reduction", ["avg_nonzero", "mean", "sum"])
def test_contrastive_counts_each_pair_once(squared: bool, positive: str, reduction: str) -> None:
    x, labels = batches(runs=1)
    ours = make("contrastive", alpha=1.5, squared=squared, reduction=reduction)(
        x, labels, positive=positive, negative="all"
    )
    d = torch.cdist(x[0], x[0]).detach()
    pos, neg = [], []
    for a in range(len(d)):
        same = [j for j in range(len(d)) if j != a and labels[0, j] == labels[0, a]]
        if positive != "all" and same:
            same = [(min if positive == "easy" else max)(same, key=lambda j, a=a: float(d[a, j]))]
        pos += [float(d[a, j]) for j in same]
        neg += [max(1.5 - float(d[a, k]), 0) for k in range(len(d)) if labels[0, k] != labels[0, a]]
    if squared:
        pos, neg = [t**2 for t in pos], [t**2 for t in neg]
    expected = {
        "sum": sum(pos) + sum(neg),
        "mean": (sum(pos) + sum(neg)) / (len(pos) + len(neg)),
        "avg_nonzero": sum(pos) / sum(t > 0 for t in pos) + sum(neg) / sum(t > 0 for t in neg),
    }
    assert float(ours.detach()) == pytest.approx(expected[reduction], rel=1e-12)


PEERS = {
    "triplet": (make("triplet", alpha=0.3), pml_losses.TripletMarginLoss(margin=0.3, distance=EUCLIDEAN)),
    "margin": (make("margin", alpha=0.2, beta=1.2), pml_losses.MarginLoss(margin=0.2, beta=1.2, distance=EUCLIDEAN)),
    "contrastive": (
        make("contrastive", alpha=1.0),
        pml_losses.ContrastiveLoss(pos_margin=0, neg_margin=1, distance=EUCLIDEAN),
    ),
}


@pytest.mark.parametrize("name", list(PEERS))
@pytest.mark.parametrize(
    ("positive", "negative", "miner"),
    [
        ("all", "all", None),
        ("hard", "hard", pml_miners.BatchHardMiner(distance=EUCLIDEAN)),
        ("all", "semihard_all", pml_miners.TripletMarginMiner(0.3, type_of_triplets="semihard", distance=EUCLIDEAN)),
        *(
            (p, n, pml_miners.BatchEasyHardMiner(p, n, distance=EUCLIDEAN))
            for p, n in itertools.product(("easy", "hard", "all"), ("easy", "hard", "semihard", "all"))
            if "all" not in (p, n)
        ),
        ("semihard", "easy", pml_miners.BatchEasyHardMiner("semihard", "easy", distance=EUCLIDEAN)),
        ("semihard", "hard", pml_miners.BatchEasyHardMiner("semihard", "hard", distance=EUCLIDEAN)),
    ],
)
def test_equals_pytorch_metric_learning(name: str, positive: str, negative: str, miner: torch.nn.Module | None) -> None:
    if negative == "semihard_all" and name != "triplet":
        pytest.skip("the window is the triplet loss's margin")
    ours, peer = PEERS[name]
    x, labels = batches(runs=1, size=24, classes=4)
    value = ours(x, labels, positive=positive, negative=negative)[0]
    mined = None if miner is None else miner(x[0], labels[0])
    expected = peer(x[0], labels[0], mined)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(
        torch.autograd.grad(value, x)[0], torch.autograd.grad(expected, x)[0], rtol=1e-5, atol=1e-8
    )


def test_distance_weighted_draws_as_pytorch_metric_learning() -> None:
    """Frequencies of the drawn negatives against the peer's, cell by cell, within four standard errors."""
    generator = torch.Generator().manual_seed(3)
    # Close enough in distance and dimension that the peer's global maximum underflows nothing.
    x = torch.nn.functional.normalize(torch.randn(16, 6, generator=generator, dtype=torch.float64), dim=-1)
    labels = torch.arange(16) % 4
    draws = 4000
    batch = x.expand(draws, -1, -1)
    from sim.samplers import select

    tuples = select(batch, labels.expand(draws, -1), positive="all", negative="distance_weighted", generator=generator)
    d = torch.cdist(x, x)
    ours = torch.zeros(16, 16, dtype=torch.float64)
    drawn = tuples.negative.squeeze(-1)
    for a in range(16):
        chosen = (drawn[:, a, tuples.pos_mask[0, a]].flatten()[:, None] - d[a]).abs().argmin(-1)
        ours[a] = torch.bincount(chosen, minlength=16)
    torch.manual_seed(0)
    miner = pml_miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)
    peer = torch.zeros(16, 16, dtype=torch.float64)
    for _ in range(draws):
        a, _, n = miner(x, labels)
        peer.index_put_((a, n), torch.ones(len(a), dtype=torch.float64), accumulate=True)
    rows = peer.sum(1) > 0
    assert rows.sum() >= 12
    p, q = (t[rows] / t[rows].sum(1, keepdim=True) for t in (ours, peer))
    error = ((p * (1 - p) + q * (1 - q)) / ours[rows].sum(1, keepdim=True)).sqrt() + 1e-3
    assert ((p - q).abs() / error).max() < 4
    assert ours[labels[:, None] == labels].sum() == 0


def test_distance_weighted_keeps_every_anchor_in_high_dimension() -> None:
    """One near-duplicate negative must not silence the other anchors (a global maximum leaves 2 of 64 alive)."""
    from sim.samplers import select

    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(1, 64, 512, generator=generator), dim=-1)
    x[0, 1] = torch.nn.functional.normalize(x[0, 0] + 1e-3 * x[0, 1], dim=-1)
    tuples = select(x, torch.arange(64)[None] % 8, positive="easy", negative="distance_weighted", generator=generator)
    assert tuples.neg_mask.all()
    assert torch.isfinite(tuples.negative).all()


def accepted() -> list[tuple[str, str, str]]:
    """Every (loss, positive, negative) that isn't refused."""
    return [c for c in itertools.product(COUNTED, POSITIVES, IN_BATCH) if accepts(*c)]


@pytest.mark.parametrize("name", COUNTED)
def test_only_what_makes_no_sense_is_refused(name: str) -> None:
    """Semi-hard positives with negatives that aren't single choices of their own, and pair losses with sets of triplets."""
    for positive, negative in itertools.product(POSITIVES, NEGATIVES):
        pos, neg = POSITIVES[positive], NEGATIVES[negative]
        waits = pos.reads_other_side and (neg.reads_other_side or not neg.single)
        assert accepts(name, positive, negative) != (waits or (neg.windowed and name == "contrastive"))


def test_a_step_looks_nothing_up(replace: Callable[..., None]) -> None:
    """Policies are resolved once: what is registered afterwards under their names plays no part."""
    x, labels = batches()
    loss = make("triplet")
    sampling = loss.sampling("easy", "semihard")
    before = loss.of_batch(x, labels, sampling)
    replace(POSITIVES, "easy", POSITIVES["hard"])
    assert torch.equal(loss.of_batch(x, labels, sampling), before)
    assert not torch.equal(loss(x, labels, positive="easy", negative="semihard"), before)


@pytest.mark.parametrize(("name", "positive", "negative"), accepted())
@pytest.mark.parametrize("at", ["one point", "two points"])
def test_gradients_are_finite_where_embeddings_coincide(name: str, positive: str, negative: str, at: str) -> None:
    labels = torch.arange(12)[None] % 2
    x = torch.zeros(1, 12, 2) if at == "one point" else (labels.float().unsqueeze(-1) * torch.ones(2))
    x = torch.nn.functional.normalize(x + 1.0, dim=-1).detach().requires_grad_()
    value = make(name)(x, labels, positive=positive, negative=negative, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(value).all()
    assert torch.isfinite(torch.autograd.grad(value.sum(), x)[0]).all()


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("labels", [torch.zeros(1, 6, dtype=torch.int64), torch.arange(6)[None]])
def test_no_tuples_give_zero_with_a_gradient(name: str, labels: Tensor) -> None:
    """Without positives or without negatives nothing is active at these distances; no NaN, and a gradient exists."""
    x = (10 * torch.eye(6, dtype=torch.float64)[None]).requires_grad_()
    value = make(name)(x, labels, positive="easy", negative="hard")
    if not (name == "contrastive" and (labels == 0).all()):
        assert float(value.detach()) == 0
    assert torch.isfinite(torch.autograd.grad(value.sum(), x)[0]).all()


@given(seed=st.integers(0, 10**6), positive=st.sampled_from(["all", "easy", "hard"]), name=st.sampled_from(COUNTED))
def test_invariances(seed: int, positive: str, name: str) -> None:
    """Order of samples, names of labels, rigid motions and company of other runs change nothing."""
    x, labels = batches(runs=2, size=10, seed=seed)
    x = x.detach()
    loss = make(name, reduction="mean")
    value = loss(x, labels, positive=positive, negative="hard")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(10))
    torch.testing.assert_close(value, loss(x[:, order], labels[:, order], positive=positive, negative="hard"))
    torch.testing.assert_close(value, loss(x, (labels + 1) % 3, positive=positive, negative="hard"))
    rotation = torch.linalg.qr(torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 3)))).Q
    torch.testing.assert_close(value, loss(x @ rotation + 5, labels, positive=positive, negative="hard"))
    torch.testing.assert_close(value[1:], loss(x[1:], labels[1:], positive=positive, negative="hard"))


def test_semihard_window_counts_no_ties() -> None:
    """On a collapsed batch no negative is strictly farther than a positive: no semi-hard triplet."""
    x = torch.zeros(1, 8, 2, requires_grad=True)
    value = make("triplet")(x, torch.arange(8)[None] % 2, positive="all", negative="semihard_all")
    assert float(value.detach()) == 0


@pytest.mark.parametrize("learn", ["global", "class"])
def test_learnt_beta_has_its_gradient(learn: str) -> None:
    x, labels = batches(runs=2)
    x = x.detach()
    loss = make("margin", learn_beta=learn, runs=2, classes=3, reduction="sum").double()
    step = 1e-6

    def total() -> Tensor:
        return loss(x, labels, positive="all", negative="all").sum()

    gradient = torch.autograd.grad(total(), loss.beta)[0]
    flat = loss.beta.data.view(-1)
    for i in range(len(flat)):
        flat[i] += step
        up = float(total().detach())
        flat[i] -= 2 * step
        down = float(total().detach())
        flat[i] += step
        assert float(gradient.view(-1)[i]) == pytest.approx((up - down) / (2 * step), abs=1e-4)


def test_bad_input_is_named() -> None:
    x, labels = batches()
    with pytest.raises(InvalidInput, match=r"loss: got 'tripet'; allowed: one of .*triplet"):
        make("tripet")
    with pytest.raises(InvalidInput, match=r"loss\.margin: got 0\.1; allowed: triplet takes alpha"):
        make("triplet", margin=0.1)
    with pytest.raises(InvalidInput, match=r"alpha: got -1.0; allowed: a finite number > 0"):
        make("triplet", alpha=-1.0)
    with pytest.raises(InvalidInput, match=r"alpha: got \(2,\); allowed: one number, or one for each of the 3 runs"):
        make("triplet", alpha=torch.ones(2))(x, labels, positive="easy", negative="hard")
    with pytest.raises(
        InvalidInput, match="positive: got 'nearest'; allowed: one of all, random, easy, semihard, hard"
    ):
        make("triplet")(x, labels, positive="nearest", negative="hard")
    with pytest.raises(InvalidInput, match="negative: got 'semihard'; allowed: one of random, easy, hard"):
        make("triplet")(x, labels, positive="semihard", negative="semihard")
    with pytest.raises(InvalidInput, match="with a loss that counts pairs"):
        make("contrastive")(x, labels, positive="easy", negative="semihard_all")
    with pytest.raises(InvalidInput, match=r"generator: got None; allowed: a torch.Generator"):
        make("triplet")(x, labels, positive="random", negative="hard")
    with pytest.raises(InvalidInput, match=r"labels: got \(3,\); allowed: \(R, B\)"):
        make("triplet")(x, labels[:, 0], positive="easy", negative="hard")
