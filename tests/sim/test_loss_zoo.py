"""The similarity and proxy losses against pytorch-metric-learning and the papers' formulas, value and gradient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.reducers import AvgNonZeroReducer
from pytorch_metric_learning.regularizers import SparseCentersRegularizer
from torch import Tensor

from sim.catalogue import LOSSES, NEGATIVES, POSITIVES
from sim.config import RunConfig, parse
from sim.errors import InvalidInput
from sim.losses import make, parameters_of
from sim.losses.base import ProxyLoss
from sim.problems import build
from sim.training import train

EUCLIDEAN = LpDistance(normalize_embeddings=False)
READY = [n for n in LOSSES if all(p.default is not p.empty for p in parameters_of(n).values())]
"""Losses that need no parameter."""
PROXIES = [name for name in LOSSES if issubclass(LOSSES[name], ProxyLoss)]
TUPLES = [name for name in LOSSES if name not in PROXIES and name != "pml"]
PEERS = {
    "ntxent": pml.NTXentLoss(0.07, reducer=AvgNonZeroReducer()),
    "supcon": pml.SupConLoss(0.1),
    "multi_similarity": pml.MultiSimilarityLoss(alpha=2, beta=50, base=0.5),
    "lifted": pml.GeneralizedLiftedStructureLoss(neg_margin=1, pos_margin=0, distance=EUCLIDEAN),
}


def batches(runs: int = 2, size: int = 16, dim: int = 4, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(runs, size, dim, generator=generator, dtype=torch.float64)
    labels = torch.stack([torch.randperm(size, generator=generator) % classes for _ in range(runs)])
    return x.requires_grad_(), labels


def agree(ours: Tensor, peer: Tensor, x: Tensor) -> None:
    torch.testing.assert_close(ours, peer, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(torch.autograd.grad(ours, x)[0], torch.autograd.grad(peer, x)[0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", list(PEERS))
def test_all_pairs_equal_pytorch_metric_learning(name: str) -> None:
    x, labels = batches()
    ours = make(name)(x, labels, positive="all", negative="all")
    agree(ours.sum(), sum(PEERS[name](x[r], labels[r]) for r in range(2)), x)


@pytest.mark.parametrize("name", ["ntxent"])
@pytest.mark.parametrize(("positive", "negative"), [("easy", "hard"), ("easy", "semihard"), ("hard", "hard")])
def test_mined_pairs_equal_pytorch_metric_learning(name: str, positive: str, negative: str) -> None:
    x, labels = batches(runs=1)
    mined = pml_miners.BatchEasyHardMiner(positive, negative)(x[0], labels[0])
    # One positive and one negative an anchor: the peer pairs every mined positive of an anchor with its mined negatives.
    agree(make(name)(x, labels, positive=positive, negative=negative)[0], PEERS[name](x[0], labels[0], mined), x)


@pytest.mark.parametrize("positive", ["all", "easy"])
def test_soft_margin_equals_pytorch_metric_learning(positive: str) -> None:
    x, labels = batches(runs=1)
    peer = pml.TripletMarginLoss(margin=0.3, smooth_loss=True, distance=EUCLIDEAN)
    mined = (
        None
        if positive == "all"
        else pml_miners.BatchEasyHardMiner("easy", "hard", distance=EUCLIDEAN)(x[0], labels[0])
    )
    negative = "all" if positive == "all" else "hard"
    ours = make("triplet", alpha=0.3, soft=True)(x, labels, positive=positive, negative=negative)[0]
    agree(ours, peer(x[0], labels[0], mined), x)


def loop(name: str, x: Tensor, labels: Tensor, positive: str) -> Tensor:
    """The papers' formulas, anchor by anchor, with all or the nearest positives and all negatives."""
    if name != "lifted" and name != "npair":
        x = torch.nn.functional.normalize(x, dim=-1)
    s = x @ x.mT
    d = (x[:, None] - x[None]).square().sum(-1).add(torch.eye(len(x))).sqrt()
    terms = []
    for a in range(len(x)):
        same = [j for j in range(len(x)) if j != a and labels[j] == labels[a]]
        other = [k for k in range(len(x)) if labels[k] != labels[a]]
        if positive == "easy":
            same = [min(same, key=lambda j: float(d[a, j].detach()))]
        if name in ("npair", "ntxent"):
            t = 1.0 if name == "npair" else 0.07
            terms += [torch.log1p(sum(((s[a, k] - s[a, p]) / t).exp() for k in other)) for p in same]
        elif name == "supcon":
            total = sum((s[a, k] / 0.1).exp() for k in same + other)
            terms.append(-sum((s[a, p] / 0.1).exp().div(total).log() for p in same) / len(same))
        elif name == "multi_similarity":
            pull = torch.log1p(sum((-2 * (s[a, p] - 0.5)).exp() for p in same)) / 2
            terms.append(pull + torch.log1p(sum((50 * (s[a, k] - 0.5)).exp() for k in other)) / 50)
        else:
            pull = sum(d[a, p].exp() for p in same).log()
            terms.append((pull + sum((1 - d[a, k]).exp() for k in other).log()).clamp_min(0))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize("name", ["npair", "ntxent", "supcon", "multi_similarity", "lifted"])
def test_tuple_losses_equal_the_formula(name: str, positive: str) -> None:
    x, labels = batches()
    ours = make(name)(x, labels, positive=positive, negative="all")
    agree(ours.sum(), loop(name, x[0], labels[0], positive) + loop(name, x[1], labels[1], positive), x)


def test_norm_penalty_of_npair() -> None:
    x, labels = batches()
    free, held = (make("npair", l2=l2)(x, labels, positive="easy", negative="all") for l2 in (0.0, 0.02))
    torch.testing.assert_close(held - free, 0.02 * x.square().sum(-1).mean(-1))


def proxy_peer(name: str, dim: int, classes: int) -> Any:
    """The peer, and a function that gives it class vectors (t * centres, m)."""
    if name == "normalized_softmax":
        peer = pml.NormalizedSoftmaxLoss(classes, dim, temperature=0.05)
        return peer, lambda w: setattr(peer, "W", torch.nn.Parameter(w.T.clone()))
    if name == "proxy_anchor":
        peer = pml.ProxyAnchorLoss(classes, dim, margin=0.1, alpha=32)
        return peer, lambda w: setattr(peer, "proxies", torch.nn.Parameter(w.clone()))
    if name == "proxy_nca":
        peer = pml.ProxyNCALoss(classes, dim, softmax_scale=9)
        return peer, lambda w: setattr(peer, "proxies", torch.nn.Parameter(w.clone()))
    peer = pml.SoftTripleLoss(classes, dim, centers_per_class=10, la=20, gamma=0.1, margin=0.01)
    return peer, lambda w: setattr(peer, "fc", torch.nn.Parameter(w.T.clone()))


@pytest.mark.parametrize("name", ["normalized_softmax", "proxy_anchor", "proxy_nca", "softtriple"])
def test_proxy_losses_equal_pytorch_metric_learning(name: str) -> None:
    x, labels = batches(runs=1)
    ours = make(name, runs=1, classes=3, dim=4).double()
    peer, give = proxy_peer(name, 4, 3)
    give(ours.proxies.detach()[0])  # type: ignore[union-attr,operator]
    agree(ours(x, labels, positive="all", negative="all")[0], peer(x[0], labels[0]), x)


@pytest.mark.parametrize("labels", [[0, 0, 2, 2, 2], [1, 1, 1, 1, 1]])
def test_proxy_anchor_counts_the_proxies_that_have_a_positive(labels: list[int]) -> None:
    """Kim et al. 2020, eq. 4: the pull is a mean over proxies with a positive in the batch, the push over all proxies."""
    x, _ = batches(runs=1, size=5)
    y = torch.tensor(labels)
    ours = make("proxy_anchor", runs=1, classes=4, dim=4).double()
    s = (torch.nn.functional.normalize(x[0], dim=-1) @ ours.proxies[0].T).tolist()  # type: ignore[index,union-attr]
    pull = [
        math.log1p(sum(math.exp(-32 * (s[i][c] - 0.1)) for i in range(5) if y[i] == c)) for c in sorted(set(labels))
    ]
    push = [math.log1p(sum(math.exp(32 * (s[i][c] + 0.1)) for i in range(5) if y[i] != c)) for c in range(4)]
    assert float(ours(x, y[None])[0].detach()) == pytest.approx(sum(pull) / len(pull) + sum(push) / 4)


def test_each_anchor_is_held_to_the_boundary_of_its_own_class() -> None:
    loss = make("margin", alpha=0.5, learn_beta="class", runs=1, classes=2, reduction="sum", count="pairs")
    loss.beta.data[:] = torch.tensor([[1.0, 3.0]])  # type: ignore[union-attr,operator]
    x, labels = torch.tensor([[[0.0], [2.0], [10.0], [12.0]]]), torch.tensor([[0, 0, 1, 1]])
    # Class 0: 2 - 1 + .5, both ways; class 1: 2 is below 3 - .5; negatives are 8 and more apart.
    assert float(loss(x, labels).detach()) == pytest.approx(2 * 1.5)
    assert loss.learnt()["beta"].tolist() == [2.0]


@pytest.mark.parametrize(("points", "expected"), [([0.0, 0.1, 9.0], 0.0), ([0.0, 1.0, 0.5], (0.5 + 1) / 1)])
def test_lifted_has_a_hinge_and_counts_whole_anchors(points: list[float], expected: float) -> None:
    """D_ap + alpha - D_an, if above 0, over the two anchors that have a positive: the third sample is alone in its class."""
    value = make("lifted", alpha=1.0)(torch.tensor(points).view(1, 3, 1), torch.tensor([[0, 0, 1]]))
    assert float(value) == pytest.approx(expected)


def test_softmax_equals_torch() -> None:
    x, labels = batches(runs=2)
    ours = make("softmax", runs=2, classes=3, dim=4).double()
    with torch.no_grad():
        ours.bias += torch.tensor([0.1, -0.2, 0.3])  # type: ignore[operator]
    proxies, bias = ours.proxies, ours.bias
    for r in range(2):
        value = ours(x, labels, positive="all", negative="all")[r]
        logits = x[r] @ proxies[r].T + bias[r, 0]  # type: ignore[index,union-attr]
        agree(value, torch.nn.functional.cross_entropy(logits, labels[r]), x)


def test_softtriple_merges_centres_as_pytorch_metric_learning() -> None:
    x, labels = batches()
    given: dict[str, Any] = {"runs": 2, "classes": 3, "dim": 4, "centres": 5}
    ours, free = (make("softtriple", tau=tau, **given).double() for tau in (0.2, 0.0))
    merging = ours(x, labels, positive="all", negative="all") - free(x, labels, positive="all", negative="all")
    peer = SparseCentersRegularizer(3, 5)
    # The peer keeps its roots away from zero by 1e-5.
    theirs = torch.stack([peer(ours.proxies[r].detach()) for r in range(2)])
    torch.testing.assert_close(merging.detach(), 0.2 * theirs.double(), rtol=1e-4, atol=0)
    ours.proxies.data[:, 1] = ours.proxies.data[:, 0]
    (gradient,) = torch.autograd.grad(ours(x, labels, positive="all", negative="all").sum(), ours.proxies)
    assert torch.isfinite(gradient).all()
    with pytest.raises(InvalidInput, match="tau: got -1"):
        make("softtriple", tau=-1, **given)


def test_softtriple_with_one_centre_and_no_margin_is_normalized_softmax() -> None:
    x, labels = batches()
    given = {"runs": 2, "classes": 3, "dim": 4, "keys": [5, 6]}
    one = make("softtriple", centres=1, delta=0.0, **given).double()(x, labels, positive="all", negative="all")
    plain = make("normalized_softmax", **given).double()(x, labels, positive="all", negative="all")
    torch.testing.assert_close(one, plain)


@pytest.mark.parametrize("name", TUPLES)
def test_every_positive_meets_every_negative_that_makes_sense(name: str) -> None:
    x, labels = batches()
    loss, met = make(name), 0
    for positive in POSITIVES:
        for negative in (n for n in NEGATIVES if not NEGATIVES[n].memory):
            try:
                loss.sampling(positive, negative)
            except InvalidInput:
                continue
            value = loss(x, labels, positive=positive, negative=negative, generator=torch.Generator().manual_seed(0))
            gradient = torch.autograd.grad(value.sum(), x)[0]
            assert value.shape == (2,) and torch.isfinite(value).all() and torch.isfinite(gradient).all()
            met += 1
    assert met >= 25


@pytest.mark.parametrize("name", READY)
@pytest.mark.parametrize("labels", [[[0, 0, 0, 0]], [[0, 1, 2, 3]], [[0, 0, 1, 1]]])
def test_collapsed_batches_and_missing_sides_stay_finite(name: str, labels: list[list[int]]) -> None:
    x = torch.ones(1, 4, 3, dtype=torch.float64, requires_grad=True)
    loss = make(name, runs=1, classes=4, dim=3).double()
    value = loss(x, torch.tensor(labels), positive="all", negative="all")
    assert torch.isfinite(value).all() and torch.isfinite(torch.autograd.grad(value.sum(), x)[0]).all()


@pytest.mark.parametrize("name", READY)
def test_a_run_is_the_same_alone_and_among_others(name: str) -> None:
    policies = {"positive": "all", "negative": "all"} if name in PROXIES else {"positive": "easy", "negative": "random"}
    base = {
        "loss": {"name": name},
        **policies,
        "steps": 6,
        "checkpoints": 1,
        "data": {"params": {"samples_per_mode": 20}},
    }
    configs = [parse(RunConfig, {**base, "seed": seed}).check() for seed in range(3)]
    problems = [build(c.data.name, c.seed, **c.data.params) for c in configs]
    together, alone = train(configs, problems)[2].rows[-1], train(configs[2:], problems[2:])[0].rows[-1]
    assert math.isclose(float(together["loss"]), float(alone["loss"]), rel_tol=1e-4)


def test_bad_input_is_named() -> None:
    x, labels = batches()
    for field, call in {
        "positive": lambda: make("softmax", runs=2, classes=3, dim=4).sampling("easy", "all"),
        "negative": lambda: make("supcon").sampling("easy", "semihard_all"),
        "classes": lambda: make("proxy_nca", runs=2, dim=4),
        "temperature": lambda: make("ntxent", temperature=0.0),
        "loss.margin": lambda: make("npair", margin=1.0),
        "labels": lambda: make("softmax", runs=2, classes=2, dim=4).double()(x, labels, positive="all", negative="all"),
        "centres": lambda: make("softtriple", centres=0, runs=1, classes=2, dim=2),
    }.items():
        with pytest.raises(InvalidInput, match=f"^{field}: "):
            call()
