"""The compiled step against the tensor program, which is the reference: losses, gradients, draws, independence of neighbours."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from sim import kernels
from sim.catalogue import LOSSES, NEGATIVES, POSITIVES
from sim.config import RunConfig, parse
from sim.fused import program
from sim.fused.net import ACTIVATIONS
from sim.losses.triplet import Triplet
from sim.problems import build
from sim.training import CHECK_EVERY, Trainer

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason="needs Numba")

LIMITS = {"float32": 1e-6, "float64": 1e-12}
PAIRS = ("triplet", "margin", "contrastive", "lifted")
SIMILARITIES = ("ntxent", "npair", "supcon", "multi_similarity")
CHOICES = ("random", "easy", "hard", "semihard", "all")
PARAMS: dict[str, tuple[dict[str, Any], ...]] = {
    "triplet": (
        {},
        {"soft": True},
        {"squared_distances": True, "reduction": "sum"},
        {"alpha": 3.0, "reduction": "mean"},
    ),
    "margin": (
        {},
        {"beta": 0.7, "learn_beta": "global"},
        {"beta": 0.7, "learn_beta": "class", "count": "pairs", "reduction": "mean"},
    ),
    "contrastive": ({}, {"squared": True, "reduction": "mean"}, {"squared": True}),
    "lifted": ({}, {"reduction": "avg_nonzero"}),
    "npair": ({}, {"cosine": True}),
    "ntxent": ({"temperature": 0.5}, {"temperature": 0.5, "cosine": False, "reduction": "mean"}),
    "supcon": ({"temperature": 0.5}, {"temperature": 0.5, "cosine": False}),
    "multi_similarity": ({}, {"cosine": False, "beta": 5.0, "reduction": "sum"}),
}


def trainers(count: int = 2, runs: int = 3, **fields: Any) -> list[Trainer]:
    """Trainers of the same runs, 3 classes of 2 modes; their steps are plain gradient steps unless said."""
    first = parse(
        RunConfig,
        {
            "data": {
                "name": "gaussian_mixture",
                "params": {"classes": 3, "modes_per_class": 2, "samples_per_mode": 12},
            },
            "batch": {"classes": 3, "per_class": 5},
            "noise": {"level": 0.3},
            "net": {"dim": 3, "params": {"width": 20, "depth": 1}},
            "optimizer": {"name": "sgd", "lr": 0.01},
            **fields,
        },
    )
    configs = [first.model_copy(update={"seed": seed}) for seed in range(runs)]
    problems = [build(c.data.name, c.seed % 2, **c.data.params) for c in configs]
    return [Trainer(configs, problems) for _ in range(count)]


def assert_same_step(fused: Trainer, plain: Trainer, limit: float) -> None:
    assert not fused.why_not_fused
    plain.step()
    fused.advance(1)
    scale = max(1.0, float(plain.meter.total.abs().max()))
    # The reference sums up to thousands of terms in its own precision.
    assert (fused.meter.total - plain.meter.total).abs().max() <= 4 * limit * scale
    scale = max(1.0, *(float(p.detach().abs().max()) for p in plain.parameters))
    for a, b in zip(fused.parameters, plain.parameters, strict=True):
        assert (a - b).detach().abs().max() <= limit * scale


def choices() -> list[tuple[str, str]]:
    """Every pair of policies that makes sense."""
    pairs = itertools.product(CHOICES, (*CHOICES, "distance_weighted"))
    return [(p, n) for p, n in pairs if p != "semihard" or n not in ("semihard", "all")]


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("loss", PARAMS)
def test_a_step_is_that_of_the_tensor_program(loss: str, real: str) -> None:
    """Every pair of policies, with the losses' parameters in turn."""
    for (positive, negative), params in zip(choices(), itertools.cycle(PARAMS[loss]), strict=False):
        fields: dict[str, Any] = {"loss": {"name": loss, "params": params}, "positive": positive, "negative": negative}
        net = {"dim": 3, "normalize": negative == "distance_weighted", "params": {"width": 20, "depth": 1}}
        fused, plain = trainers(**fields, net=net, dtype=real)
        assert_same_step(fused, plain, LIMITS[real])


def test_the_lists_above_are_whole() -> None:
    """What has a compiled form is compared."""
    assert {n for n in LOSSES if "terms" in vars(LOSSES[n])} == set(PARAMS)
    assert {n for n in POSITIVES if POSITIVES[n].kernel is not None} == set(CHOICES)
    assert {n for n in NEGATIVES if NEGATIVES[n].kernel is not None} == {*CHOICES, "distance_weighted"}


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("width", "depth", "dim"), [(1, 1, 1), (7, 3, 2), (33, 2, 9), (64, 0, 20)])
def test_nets(width: int, depth: int, dim: int, activation: str, real: str) -> None:
    if width == 1 and activation == "relu":
        activation = "softplus"  # a single ReLU may be off for all samples
    for normalize in (False, True):
        params = {"width": width, "depth": depth, "activation": activation}
        net = {"dim": dim, "normalize": normalize and dim > 1, "params": params}
        fused, plain = trainers(net=net, positive="all", negative="all", dtype=real)
        for trainer in (fused, plain):
            # Else samples for which all ReLUs are off lie at 0, where normalisation has no derivative.
            for bias in trainer.net.biases:
                bias.data.fill_(0.3)
        assert_same_step(fused, plain, LIMITS[real])


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_batches_and_inputs_of_any_size(real: str) -> None:
    for batch in ({"classes": 2, "per_class": 2}, {"classes": 0, "per_class": 9}, {"classes": 3, "per_class": 24}):
        fused, plain = trainers(batch=batch, positive="all", negative="all", dtype=real)
        assert_same_step(fused, plain, LIMITS[real])
    fused, plain = trainers(data={"name": "digits"}, batch={"classes": 2, "per_class": 7}, dtype=real)
    assert_same_step(fused, plain, LIMITS[real])


@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_many_steps(name: str, schedule: str) -> None:
    """Moments, weight decay, learning rates of their own, labels drawn afresh: all are where the tensor program has them."""
    fields: dict[str, Any] = {
        "optimizer": {"name": name, "lr": 1e-2, "loss_lr": 3e-3, "weight_decay": 0.1, "schedule": schedule},
        "loss": {"name": "margin", "params": {"learn_beta": "class"}},
        # On the sphere, or the last bias would have no gradient but rounding, which Adam makes steps of.
        "net": {"dim": 3, "normalize": True, "params": {"width": 20, "depth": 1, "activation": "tanh"}},
        "positive": "all",
        "negative": "all",
        "steps": 40,
        "dtype": "float64",
    }
    fused, plain = trainers(**fields)
    for _ in range(30):
        plain.step()
    fused.advance(30)
    assert fused.steps == plain.steps == 30
    for a, b in zip(
        [*fused.parameters, *fused.optimizer.moments], [*plain.parameters, *plain.optimizer.moments], strict=True
    ):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-9)
    assert torch.allclose(fused.meter.total, plain.meter.total, rtol=1e-9)


@pytest.mark.parametrize(
    "noise", [{"mode": "static", "level": 0.3}, {"level": 0.4, "kind": "pair_flip"}, {"level": 0.0}]
)
def test_both_ways_of_stepping_take_the_same_draws(noise: dict[str, Any]) -> None:
    """In any order: each goes on where the other one has stopped."""
    fields = {"noise": noise, "positive": "random", "negative": "random", "dtype": "float64"}
    mixed, plain = trainers(optimizer={"name": "sgd", "lr": 1e-3}, **fields)
    for _ in range(12):
        plain.step()
    mixed.step()
    mixed.advance(3)
    mixed.step()
    mixed.advance(7)
    assert torch.allclose(mixed.meter.total, plain.meter.total, rtol=1e-10)
    assert torch.equal(mixed.batches.next(), plain.batches.next())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_is_the_same_alone_and_among_others(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        (many,) = trainers(1, runs=5, optimizer={"name": "adam"}, positive="random")
        many.advance(30)
        first = many.first
        (config, problem) = first.model_copy(update={"seed": 3}), build(first.data.name, 1, **first.data.params)
        alone = Trainer([config], [problem])
        alone.advance(11)
        alone.advance(19)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(many.parameters, alone.parameters, strict=True):
        assert torch.equal(a[3], b[0])


def test_collapsed_embeddings() -> None:
    """All samples at one place: distances 0, ties everywhere, gradients 0 where a distance has none."""
    for positive, negative in choices():
        if negative == "distance_weighted":
            continue
        fused, plain = trainers(positive=positive, negative=negative, dtype="float64")
        for trainer in (fused, plain):
            for p in trainer.parameters:
                p.data.zero_()
        assert_same_step(fused, plain, 1e-12)
        assert all(bool(torch.isfinite(p).all()) for p in fused.parameters)


@pytest.mark.parametrize("loss", PAIRS)
def test_ties(loss: str) -> None:
    """Inputs on a grid under the identity: exact ties, of distances and at the margin, are decided as in the tensor program."""
    fields: dict[str, Any] = {
        "net": {"kind": "linear", "dim": 2},
        "optimizer": {"name": "sgd", "lr": 0.25},
        "loss": {"name": loss, "params": {"alpha": 1.0}},
    }
    pairs = (("easy", "semihard"), ("hard", "hard"), ("semihard", "easy"), ("all", "semihard"), ("all", "all"))
    for positive, negative in pairs:
        fused, plain = trainers(positive=positive, negative=negative, **fields)
        for trainer in (fused, plain):
            trainer.splits["train"].x.mul_(2).round_()
            trainer.net.weights[0].data.copy_(torch.eye(2))
        assert_same_step(_rebuilt(fused), plain, 1e-6)


def _rebuilt(trainer: Trainer) -> Trainer:
    """With its program made anew, from the data that it has now."""
    trainer._program = program.Program(trainer, CHECK_EVERY)
    return trainer


def test_a_run_that_diverges_is_frozen_and_harms_nobody() -> None:
    first = parse(RunConfig, {"optimizer": {"name": "sgd"}, "batch": {"per_class": 6}, "steps": 200})
    problem = build("gaussian_mixture", 0, samples_per_mode=10)
    wild = first.model_copy(update={"optimizer": first.optimizer.model_copy(update={"lr": 1e30})})
    both, plain, alone = (Trainer(c, [problem] * len(c)) for c in ([wild, first], [wild, first], [first]))
    both.advance(CHECK_EVERY + 10)
    alone.advance(CHECK_EVERY + 10)
    for _ in range(CHECK_EVERY + 10):
        plain.step()
    assert both.diverged_at == plain.diverged_at == [CHECK_EVERY, None]
    assert not any(p[0].any() for p in both.parameters)
    for a, b in zip(both.parameters, alone.parameters, strict=True):
        assert torch.equal(a[1], b[0])


def test_what_is_not_covered_trains_as_a_tensor_program() -> None:
    cases: dict[str, dict[str, Any]] = {
        "net": {"net": {"kind": "table"}, "evaluate": ("train",)},
        "loss": {"loss": {"name": "npair", "params": {"l2": 0.1}}},
        "positives": {"positive": "k_easy:2"},
        "negatives": {"negative": "semihard_all", "positive": "all"},
        "weighting": {"robust": {"name": "trimmed"}},
    }
    for what, fields in cases.items():
        (trainer,) = trainers(1, runs=1, **fields)
        assert trainer.why_not_fused, what
        trainer.advance(2)
        assert trainer.steps == 2


def test_a_derived_loss_does_not_inherit_the_compiled_form() -> None:
    class Doubled(Triplet):
        def of_tuples(self, *arguments: Any) -> torch.Tensor:
            return 2 * super().of_tuples(*arguments)

    assert program.terms_of(Triplet()) is not None
    assert program.terms_of(Doubled()) is None


def test_without_numba_or_vectors_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "has_fma", lambda: False)
    (trainer,) = trainers(1, runs=1)
    assert "fused multiply-add" in trainer.why_not_fused
    monkeypatch.setattr(kernels, "AVAILABLE", False)
    (trainer,) = trainers(1, runs=1)
    assert "Numba" in trainer.why_not_fused
