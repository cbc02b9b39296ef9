"""Which losses are one under several names: what is declared holds in values and gradients, and nothing else does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from sim.catalogue import LOSSES, NEGATIVES, POSITIVES, STUDIES
from sim.errors import InvalidInput
from sim.losses import make
from sim.losses.base import ProxyLoss, Setting
from sim.losses.equal import canonical, distinct, identity
from sim.sweeps.grid import grid

RUNS, BATCH, CLASSES, DIM = 3, 24, 3, 4
NAMES = [name for name in LOSSES if name != "pml"]  # which stands for any loss of another library
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "npair": [{"temperature": 0.1}, {"temperature": 0.1, "l2": 0.02}],
    "ntxent": [{"temperature": 0.1}],
    "supcon": [{"temperature": 0.1}],
    "lifted": [{"alpha": 0.7}],
    "triplet": [{"alpha": 0.7, "reduction": "mean"}],
    "contrastive": [{"alpha": 1.2, "reduction": "mean"}],
    "margin": [{"alpha": 0.6, "beta": 0.6, "count": "pairs", "reduction": "mean"}],
    "normalized_softmax": [{"temperature": 0.25}],
    "proxy_nca": [{"temperature": 0.5}],
    "softtriple": [{"centres": 1, "delta": 0.0, "scale": 4.0}, {"centres": 2, "delta": 0.0, "scale": 4.0}],
}
CASES = [(name, params) for name in NAMES for params in SETTINGS.get(name, [{}])]


def batch(unit: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (R, B, m) of which some coincide, and labels of unequal sizes, one of a single sample."""
    x = torch.randn(RUNS, BATCH, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, 5] = x[:, 2]
    labels = torch.arange(BATCH).remainder(CLASSES - 1)
    labels[-1] = CLASSES - 1
    return torch.nn.functional.normalize(x, dim=-1) if unit else x, labels.expand(RUNS, -1)


def found(name: str, params: dict[str, Any], positive: str, negative: str, unit: bool) -> torch.Tensor | None:
    """Values and gradients of a loss on one batch, (R, 1 + B m); None if it doesn't take these policies."""
    x, labels = batch(unit)
    loss = make(name, **params, runs=RUNS, classes=CLASSES, dim=DIM, keys=range(RUNS)).double()
    policies = {} if isinstance(loss, ProxyLoss) else {"positive": positive, "negative": negative}
    moved = x.clone().requires_grad_()
    try:
        values = loss(moved, labels, **policies, generator=torch.Generator().manual_seed(0))
    except InvalidInput:
        return None
    (gradient,) = torch.autograd.grad(values.sum(), moved)
    if unit:  # what an embedding on the sphere can follow
        gradient = gradient - (gradient * x).sum(-1, keepdim=True) * x
    return torch.cat([values.detach()[:, None], gradient.flatten(1)], 1)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(
    "negative", ["all", "semihard", "hard", "semihard_all"]
)  # with semi-hard ones some anchors have none
@pytest.mark.parametrize("positive", ["easy", "random", "hard", "all"])
def test_losses_are_equal_where_they_say_so_and_nowhere_else(positive: str, negative: str, unit: bool) -> None:
    setting = Setting(POSITIVES[positive].single, NEGATIVES[negative].single, unit)
    taken = [
        (name, values, canonical(name, params, setting))
        for name, params in CASES
        if (values := found(name, params, positive, negative, unit)) is not None
    ]
    equal, names = set(), {name for name, *_ in taken}
    for (name, a, form), (other, b, other_form) in itertools.combinations(taken, 2):
        same = bool(torch.isclose(a, b, rtol=2e-12, atol=2e-12).all())
        assert same == _same(form, other_form), (name, other, float((a - b).abs().max()))
        if same:
            equal.add(frozenset((name, other)))
    for pair, where in (
        (("normalized_softmax", "proxy_nca"), True),
        (("proxy_nca", "softtriple"), True),
        (("supcon", "ntxent"), setting.one_positive),
        (("ntxent", "npair"), unit),
        (("lifted", "triplet"), setting.one_positive and setting.one_negative),
        (("contrastive", "margin"), True),
    ):
        assert (frozenset(pair) in equal) == (where and set(pair) <= names), pair


def _same(one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]) -> bool:
    return (
        one[0] == other[0]
        and one[1].keys() == other[1].keys()
        and all(
            other[1][k] == pytest.approx(v) if isinstance(v, float) else other[1][k] == v for k, v in one[1].items()
        )
    )


def test_one_loss_is_run_once() -> None:
    base = {"net.normalize": True, "negative": "all", "loss.params": {"temperature": 0.1}}
    runs = grid(
        base, {"loss.name": ["supcon", "npair", "ntxent"], "positive": ["easy", "random", "all"], "seed": range(2)}
    )
    kept, others = distinct(runs)
    assert {(c.loss.name, c.positive) for c in kept} == {
        ("supcon", "easy"), ("supcon", "random"), ("supcon", "all"), ("npair", "all"),
    }  # fmt: skip
    assert len(kept) == 8 and others == {"supcon": ["npair", "ntxent"], "npair": ["ntxent"]}


def test_dot_products_off_the_sphere_are_not_cosines() -> None:
    runs = grid({"negative": "all", "loss.params": {"temperature": 0.1}}, {"loss.name": ["npair", "ntxent"]})
    assert len({identity(c) for c in runs}) == 2


def test_the_zoo_trains_and_counts_them_once() -> None:
    """Three of its columns were equal."""
    study = STUDIES["zoo"]
    names = {c.loss.name for c in study.runs("quick")}
    assert "npair" in names and not names & {"ntxent", "supcon"}
    assert len(study.runs("quick")) == len(study.configs("quick")) - 2 * 3 * 3 * 3  # losses, positives, levels, seeds
    for name in STUDIES:
        runs = STUDIES[name].runs("quick")
        assert len({identity(c) for c in runs}) == len(runs)
