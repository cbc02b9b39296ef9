"""Noise-robust baselines are weights on tuples; each is held to its paper's formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sim.catalogue import LOSSES, WEIGHTINGS
from sim.config import RunConfig, parse
from sim.errors import InvalidInput
from sim.losses import make, weighting
from sim.noise import symmetric
from sim.problems import build
from sim.samplers import RunDraws
from sim.training import Trainer, train

R, B, T, M = 3, 12, 3, 4


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(R, B, M, generator=generator, dtype=torch.float64)
    return x, torch.arange(B).remainder(T).expand(R, B)


def softmax(weights: weighting.Weighting | None = None) -> torch.nn.Module:
    return make("softmax", weighting=weights, runs=R, classes=T, dim=M).double()


def log_p(loss: torch.nn.Module, x: Tensor) -> Tensor:
    return (x @ loss.proxies.mT + loss.bias).log_softmax(-1)


def value_and_gradient(loss: torch.nn.Module, x: Tensor, labels: Tensor, **policies: str) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    value = loss(leaf, labels, **policies)
    return value, torch.autograd.grad(value.sum(), leaf)[0]


def test_forward_correction_has_the_corrected_loss_gradient() -> None:
    x, labels = batch()
    # Neither symmetric nor the same in all runs: its transpose, or a neighbour's, is another matrix.
    transition = torch.tensor(
        [[[0.7, 0.3, 0.0], [0.1, 0.6, 0.3], [0.5, 0.0, 0.5]], [[0.8, 0.1, 0.1]] * 3, [[0.2, 0.3, 0.5]] * 3]
    )
    transition = transition.double()
    weights = weighting.make("forward", transition=transition)
    loss = softmax(weights)
    _, ours = value_and_gradient(loss, x, labels)
    leaf = x.clone().requires_grad_()
    corrected = (log_p(loss, leaf).exp() @ transition).gather(2, labels.unsqueeze(-1)).log()
    (expected,) = torch.autograd.grad(-corrected.mean((1, 2)).sum(), leaf)
    torch.testing.assert_close(ours, expected)


def test_forward_correction_survives_certainty() -> None:
    x, labels = batch()
    weights = weighting.make("forward", transition=torch.eye(T).expand(R, T, T))
    value, gradient = value_and_gradient(softmax(weights), x * 1e6, labels)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


def test_bootstrap_mixes_labels_with_predictions() -> None:
    x, labels = batch()
    loss = softmax(weighting.make("bootstrap", beta=0.8))
    value, _ = value_and_gradient(loss, x, labels)
    p = log_p(loss, x)
    target = 0.8 * torch.nn.functional.one_hot(labels, T) + 0.2 * p.exp()
    torch.testing.assert_close(value, -(target * p).sum(-1).mean(-1))


@pytest.mark.parametrize("keep", [0.25, 0.5, 1.0])
def test_trimmed_keeps_the_smallest_terms(keep: float) -> None:
    x, labels = batch()
    plain, trimmed = softmax(), softmax(weighting.make("trimmed", keep=keep))
    terms = -log_p(plain, x).gather(2, labels.unsqueeze(-1)).squeeze(-1)
    expected = terms.sort(1).values[:, : round(keep * B)].mean(1)
    torch.testing.assert_close(trimmed(x, labels), expected)


def test_trimmed_counts_tuples_that_exist() -> None:
    terms, mask = torch.tensor([[3.0, 1.0, 2.0, 0.0]]), torch.tensor([[True, True, True, False]])
    assert weighting.smallest(terms, mask, 0.5).tolist() == [[0.0, 1.0, 1.0, 0.0]]
    assert weighting.smallest(terms, mask & False, 0.5).tolist() == [[0.0] * 4]


def test_curriculum_ramps() -> None:
    weights = weighting.make("curriculum", keep=0.5, ramp=0.5)
    terms, mask = torch.arange(8.0).unsqueeze(0), torch.ones(1, 8, dtype=torch.bool)
    counts = [int(weights.weights(terms, mask, p).sum()) for p in (0.0, 0.25, 0.5, 0.9)]
    assert counts == [8, 6, 4, 4]


def test_disagreement_counts_samples_that_twins_tell_apart() -> None:
    x, labels = batch()
    loss = make("softmax", weighting=weighting.make("disagreement"), runs=4, classes=T, dim=M).double()
    twice = x[:2].repeat(2, 1, 1)
    value = loss(twice, labels[:1].expand(4, B))
    p = log_p(loss, twice)
    differ = (p[:2].argmax(-1) != p[2:].argmax(-1)).repeat(2, 1)
    assert 0 < differ.sum() < differ.numel()
    terms = -p.gather(2, labels[:1].expand(4, B).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(value, (terms * differ).sum(1) / differ.sum(1))


@pytest.mark.parametrize("name", [n for n in LOSSES if LOSSES[n].weighable])
def test_keeping_everything_changes_nothing(name: str) -> None:
    x, labels = batch()
    for policy in ("all",) if name in [n for n in LOSSES if LOSSES[n].of_classes] else ("all", "easy"):
        everything = weighting.make("trimmed", keep=1.0)
        plain, trimmed = (make(name, weighting=w, runs=R, classes=T, dim=M).double() for w in (None, everything))
        for a, b in zip(
            value_and_gradient(plain, x, labels, positive=policy, negative="all"),
            value_and_gradient(trimmed, x, labels, positive=policy, negative="all"),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


def config(name: str, loss: str = "softmax", **more: object) -> RunConfig:
    policy = {"positive": "all", "negative": "all"}
    fields = {"loss": {"name": loss}, "robust": {"name": name}, "steps": 30, "checkpoints": 1, **policy, **more}
    return parse(RunConfig, {**fields, "noise": {"level": 0.2}, "batch": {"per_class": 8}}).check()


@pytest.mark.parametrize("name", list(WEIGHTINGS))
def test_every_baseline_trains_alone_as_among_others(name: str) -> None:
    configs = [config(name).model_copy(update={"seed": s}) for s in range(3)]
    problems = [build("gaussian_mixture", c.seed, samples_per_mode=10) for c in configs]
    together = train(configs, problems)
    assert len(together) == 3
    alone = train(configs[1:2], problems[1:2])[0]
    assert together[1].rows[-1]["loss"] == pytest.approx(alone.rows[-1]["loss"], rel=1e-3)
    assert together[1].rows[-1]["within_mean"] == pytest.approx(alone.rows[-1]["within_mean"], rel=1e-3)


def test_forward_correction_is_given_the_runs_own_noise() -> None:
    trainer = Trainer([config("forward")], [build("gaussian_mixture", 0, samples_per_mode=10)])
    expected = torch.from_numpy(symmetric(2, 0.8)).float().unsqueeze(0)
    torch.testing.assert_close(trainer.loss.weighting.transition, expected)


def test_forward_correction_is_given_rows_of_classes_averaged_over_all_samples() -> None:
    """One mode of three is noisy: a class's row is the average over its samples, neither the first one's nor a transpose."""
    noisy = {"level": 0.6, "kind": "one_mode", "params": {"mode": 0, "classes": [0]}}
    fields = {
        "loss": {"name": "softmax"},
        "robust": {"name": "forward"},
        "positive": "all",
        "negative": "all",
        "noise": noisy,
    }
    config = parse(RunConfig, {**fields, "batch": {"per_class": 8}}).check()
    trainer = Trainer([config], [build("gaussian_mixture", 0, samples_per_mode=10, modes_per_class=3)])
    torch.testing.assert_close(trainer.loss.weighting.transition, torch.tensor([[[0.8, 0.2], [0.0, 1.0]]]))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidInput, match="robust.name: got 'cleaned'; allowed: one of trimmed"):
        config("cleaned")
    with pytest.raises(InvalidInput, match="loss.name: got 'triplet'; allowed: with forward: one of .*softmax"):
        config("forward", loss="triplet")
    with pytest.raises(InvalidInput, match="robust.params.keep: got 0; allowed"):
        config("trimmed").model_copy(update={"robust": {"name": "x"}}) and weighting.make("trimmed", keep=0)
    with pytest.raises(InvalidInput, match=r"robust.params: got \{'keep': 1\}"):
        parse(RunConfig, {"robust": {"params": {"keep": 1}}}).check()
    with pytest.raises(InvalidInput, match="loss.name: got 'proxy_anchor'; allowed: with this weighting: one of "):
        make("proxy_anchor", weighting=weighting.make("trimmed"), runs=R, classes=T, dim=M)


@pytest.mark.parametrize("name", ["name", "runs", "classes", "dim", "keys", "weighting"])
def test_what_the_trainer_knows_is_not_a_loss_parameter(name: str) -> None:
    """A message before anything is built, not an argument given twice in the middle of it."""
    with pytest.raises(InvalidInput, match=f"loss.{name}: got 3; allowed: triplet takes alpha"):
        parse(RunConfig, {"loss": {"params": {name: 3}}}).check()


@pytest.mark.parametrize("robust", ["forward", "trimmed"])
@pytest.mark.parametrize("name", ["name", "transition"])
def test_what_the_trainer_knows_is_not_a_baselines_parameter(robust: str, name: str) -> None:
    fields = {"loss": {"name": "softmax"}, "positive": "all", "negative": "all"}
    with pytest.raises(InvalidInput, match=f"robust.params.{name}: got 3; allowed: no such parameter"):
        parse(RunConfig, {**fields, "robust": {"name": robust, "params": {name: 3}}}).check()


def test_fields_left_alone_keep_a_runs_name() -> None:
    # The name that this default run would have without `memory` and `robust`.
    assert parse(RunConfig, {}).key() == "3e768c5f670e52a3"
    assert parse(RunConfig, {"robust": {"name": "trimmed"}}).key() != parse(RunConfig, {}).key()


def test_draws_are_the_same_with_a_twin() -> None:
    problem = build("gaussian_mixture", 0, samples_per_mode=10)
    plain, twin = (Trainer([config(name)], [problem]) for name in ("trimmed", "disagreement"))
    assert torch.equal(plain.batches.next(), twin.batches.next()[:1])
    assert torch.equal(plain.net.weights[0], twin.net.weights[0][:1])
    assert not torch.equal(twin.net.weights[0][0], twin.net.weights[0][1])
    assert isinstance(twin.draws, RunDraws)
