"""The trainer: runs don't see each other, nets and optimisers equal torch's own, diverged runs harm nobody."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from sim import optim
from sim.catalogue import NETS, OPTIMIZERS
from sim.config import RunConfig, dotted, parse
from sim.errors import InvalidInput
from sim.generators import Sample, generate
from sim.nets.conv import Conv
from sim.nets.mlp import MLP
from sim.problems import Problem, build
from sim.splits import Split
from sim.sweeps.grid import grid
from sim.training import Trainer, train

TINY = {
    "data.params": {"samples_per_mode": 12, "modes_per_class": 3},
    "batch.per_class": 6,
    "net.params": {"width": 16, "depth": 1},
    "steps": 30,
    "checkpoints": 2,
    "dtype": "float64",
}


def run(configs: list[RunConfig]) -> Trainer:
    trainer = Trainer(configs, [build(c.data.name, c.seed, **c.data.params) for c in configs])
    for _ in range(configs[0].steps):
        trainer.step()
    return trainer


@pytest.mark.parametrize("mode", ["static", "resampled"])
@pytest.mark.parametrize(("positive", "negative"), [("easy", "semihard"), ("random", "random"), ("all", "all")])
@pytest.mark.parametrize("loss", ["triplet", "margin"])
def test_a_run_is_the_same_alone_and_among_others(mode: str, positive: str, negative: str, loss: str) -> None:
    base = {**TINY, "noise.mode": mode, "positive": positive, "negative": negative, "loss.name": loss}
    if loss == "margin":
        base["loss.params.learn_beta"] = "class"
    configs = grid(base, {"loss.params.alpha": [0.2, 0.5], "noise.level": [0.0, 0.3], "seed": [0, 5]})
    together = run(configs).embed("test")
    for r in (0, 3, 6):
        alone = run([configs[r]]).embed("test")
        torch.testing.assert_close(alone[0], together[r], rtol=1e-7, atol=1e-9)
    assert len({str(e) for e in together}) == len(configs)


def test_results_repeat_exactly_on_one_machine() -> None:
    configs = grid({**TINY, "noise.level": 0.2, "negative": "random"}, {"seed": [0, 1]})
    assert torch.equal(run(configs).embed("test"), run(configs).embed("test"))


def test_gradient_of_one_run_equals_plain_autograd() -> None:
    """Run r's slice of the batched MLP is an ordinary MLP."""
    net = MLP([0, 1, 2], (4,), dim=3, width=5, depth=2).double()
    x = torch.randn(3, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = net(x, torch.zeros(3, 7, dtype=torch.int64))
    layers: list[torch.nn.Module] = []
    for i, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[2]).double()
        linear.weight.data, linear.bias.data = weight.data[1].T.clone(), bias.data[1, 0].clone()
        layers += [linear, torch.nn.ReLU()] if i < 2 else [linear]
    plain = torch.nn.Sequential(*layers)
    torch.testing.assert_close(out[1], plain(x[1]))
    ours = torch.autograd.grad(out[1].square().sum(), list(net.weights))
    theirs = torch.autograd.grad(plain(x[1]).square().sum(), [m.weight for m in layers if hasattr(m, "weight")])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a[1], b.T)
        assert not a[[0, 2]].any()


def test_conv_runs_equal_separate_convolutions() -> None:
    net = Conv([0, 1], (1, 8, 8), dim=3, width=4).double()
    x = torch.rand(2, 5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = net(x, torch.zeros(2, 5, dtype=torch.int64))
    for r in range(2):
        hidden = x[r]
        for kernel, bias in zip(net.kernels, net.kernel_biases, strict=True):
            hidden = torch.nn.functional.max_pool2d(
                torch.relu(torch.nn.functional.conv2d(hidden, kernel[r], bias[r], padding=1)), 2
            )
        torch.testing.assert_close(out[r], hidden.flatten(1) @ net.weight[r] + net.bias[r])


@pytest.mark.parametrize("kind", list(NETS))
def test_nets_start_from_their_own_stream_and_normalise(kind: str) -> None:
    options = {"samples": 6} if kind == "table" else {}
    x, index = torch.rand(2, 6, 1, 8, 8), torch.arange(6).expand(2, -1)
    net = NETS[kind]([3, 4], (1, 8, 8), dim=3, normalize=True, **options)
    out = net(x, index)
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(2, 6))
    other = NETS[kind]([4], (1, 8, 8), dim=3, normalize=True, **options)
    torch.testing.assert_close(other(x[1:], index[1:])[0], out[1])


@pytest.mark.parametrize(
    ("name", "peer", "settings"),
    [
        ("adam", torch.optim.AdamW, {}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9}),
    ],
)
def test_optimisers_equal_torchs_with_a_rate_for_each_run(name: str, peer: type, settings: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    rates = torch.tensor([0.1, 0.01], dtype=torch.float64)
    decay = torch.tensor([0.3, 0.0], dtype=torch.float64) if name == "adam" else torch.zeros(2, dtype=torch.float64)
    ours = start.clone()
    optimizer = OPTIMIZERS[name]([ours], [rates], decay)
    theirs = [start[r].clone().requires_grad_() for r in range(2)]
    peers = [peer([p], lr=float(rates[r]), weight_decay=float(decay[r]), **settings) for r, p in enumerate(theirs)]
    for _ in range(10):
        gradient = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
        optimizer.step([gradient], 1.0)
        for r in range(2):
            theirs[r].grad = gradient[r].clone()
            peers[r].step()
    torch.testing.assert_close(ours, torch.stack([p.detach() for p in theirs]))


def test_schedules() -> None:
    assert [optim.schedule("constant", p) for p in (0, 0.9)] == [1, 1]
    assert [optim.schedule("step", p) for p in (0, 0.5, 0.75)] == pytest.approx([1, 0.1, 0.01])
    assert [optim.schedule("cosine", p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


def test_a_diverged_run_is_named_and_harms_nobody() -> None:
    configs = grid({**TINY, "steps": 75, "positive": "all", "negative": "all"}, {"seed": [0, 1, 2]})
    healthy = run(configs).embed("test")
    trainer = Trainer(configs, [build(c.data.name, c.seed, **c.data.params) for c in configs])
    for step in range(75):
        if step == 10:
            with torch.no_grad():
                trainer.net.weights[0][1] = torch.nan
        trainer.step()
    assert trainer.diverged_at == [None, 25, None]
    assert trainer.active == [0, 2]
    embeddings = trainer.embed("test")
    torch.testing.assert_close(embeddings[[0, 2]], healthy[[0, 2]])
    assert torch.isfinite(embeddings).all()
    assert set(trainer.evaluate("test", heavy=False)) == {0, 2}


def test_a_rate_that_explodes_ends_as_diverged_and_the_others_finish() -> None:
    base = {
        **TINY,
        "steps": 60,
        "net.kind": "linear",
        "optimizer.name": "sgd",
        "loss.name": "contrastive",
        "loss.params.squared": True,
        "positive": "all",
        "negative": "all",
        "net.params": {},
        "dtype": "float32",
    }
    configs = grid(base, {"optimizer.lr": [1e-2, 1e6]})
    good, bad = train(configs, [build(c.data.name, c.seed, **c.data.params) for c in configs])
    assert (good.status, bad.status) == ("done", "diverged")
    assert bad.diverged_at is not None
    assert [row["step"] for row in good.rows] == [0, 30, 60]
    assert all(np.isfinite(v) for row in bad.rows for k, v in row.items() if k == "global_spread")


def test_training_learns() -> None:
    """Clean labels, a margin that can be met: the loss falls and classes are told apart on new samples."""
    configs = grid(
        {**TINY, "steps": 400, "positive": "easy", "negative": "all", "optimizer.lr": 0.01}, {"seed": [0, 1]}
    )
    for result in train(configs, [build(c.data.name, c.seed, **c.data.params) for c in configs]):
        assert result.rows[-1]["class_recall_at_1"] > 0.95
        assert result.rows[-1]["loss"] < result.rows[1]["loss"] / 2
        assert "subclusters_linkage" in result.rows[-1]
        assert "subclusters_linkage" not in result.rows[0]


def test_free_positions_reach_the_theory_of_clean_contrastive_loss() -> None:
    """C1: the minimisers are the collapsed embeddings with centres at least alpha apart."""
    base = {
        **TINY,
        "net.kind": "table",
        "net.params": {},
        "evaluate": ("train",),
        "loss.name": "contrastive",
        "loss.params": {"alpha": 0.5, "reduction": "mean"},
        "positive": "all",
        "negative": "all",
        "steps": 600,
        "optimizer.lr": 0.05,
        "optimizer.schedule": "cosine",
        "batch.per_class": 18,
    }
    (result,) = train(grid(base, {"seed": [0]}), [build("gaussian_mixture", 0, **TINY["data.params"])])
    assert result.rows[-1]["within_max"] < 0.02
    assert result.rows[-1]["between_mean"] > 0.5 - 0.02


def test_labels_are_static_or_fresh() -> None:
    for mode in ("static", "resampled"):
        configs = grid({**TINY, "noise.mode": mode, "noise.level": 0.4}, {"seed": [0]})
        trainer = Trainer(configs, [build("gaussian_mixture", 0, **TINY["data.params"])])
        index = torch.arange(40)[None]
        a, b = (trainer.labels.draw(index, trainer.draws) for _ in range(2))
        assert torch.equal(a, b) == (mode == "static")
        clean = torch.from_numpy(trainer.splits["train"].samples[0].classes)[:40]
        assert 0.1 < float((a[0] != clean).double().mean()) < 0.7


def test_the_first_step_is_at_the_start_of_the_schedule_and_the_last_before_its_end() -> None:
    """Step k of K is at progress k/K for the rate and for the loss's weighting alike."""
    robust = {"robust.name": "curriculum", "robust.params": {"keep": 0.5, "ramp": 1.0}}
    config = grid({**TINY, **robust, "steps": 4, "optimizer.schedule": "cosine"}, {"seed": [0]})
    trainer = Trainer(config, [build("gaussian_mixture", 0, **TINY["data.params"])])
    progress, factors, step = [], [], trainer.optimizer.step
    weights = trainer.loss.weighting.weights

    def weigh(terms: torch.Tensor, mask: torch.Tensor, share: float) -> torch.Tensor:
        progress.append(share)
        return weights(terms, mask, share)

    def advance(gradients: list[torch.Tensor], factor: float) -> None:
        factors.append(factor)
        step(gradients, factor)

    trainer.loss.weighting.weights, trainer.optimizer.step = weigh, advance
    for _ in range(4):
        trainer.step()
    assert progress == [0.0, 0.25, 0.5, 0.75]
    assert factors == pytest.approx([(1 + np.cos(np.pi * p)) / 2 for p in progress])


def test_a_rows_loss_is_the_mean_since_the_row_before() -> None:
    """Not since the start, and not the last step's."""
    (config,) = grid({**TINY, "steps": 6, "checkpoints": 3}, {"seed": [0]})
    problem = build("gaussian_mixture", 0, **TINY["data.params"])
    trainer, means = Trainer([config], [problem]), []
    for _ in range(3):
        trainer.meter.restart()
        trainer.step()
        first = trainer.meter.mean(0)
        trainer.meter.restart()
        trainer.step()
        means.append((first + trainer.meter.mean(0)) / 2)
    (result,) = train([config], [problem])
    assert [row["step"] for row in result.rows] == [0, 2, 4, 6]
    assert [row["loss"] for row in result.rows[1:]] == pytest.approx(means)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_frozen_run_keeps_no_moment(name: str) -> None:
    """A moment that isn't finite times a rate of 0 would still be NaN."""
    weights = torch.ones(2, 3, dtype=torch.float64)
    optimizer = OPTIMIZERS[name]([weights], [torch.full((2,), 0.1)], torch.zeros(2))
    optimizer.step([torch.tensor([[torch.inf] * 3, [1.0] * 3]).double()], 1.0)
    optimizer.freeze(0)
    optimizer.step([torch.tensor([[0.0] * 3, [1.0] * 3]).double()], 1.0)
    assert weights[0].tolist() == [0.0] * 3 and (weights[1] < 1).all()


def test_both_splits_are_standardised_by_the_training_samples() -> None:
    """A test set of one's own mean and scale would hide that it lies elsewhere."""
    x, y = np.array([[0.0, 0.0], [2.0, 6.0]]), np.array([[10.0, 0.0], [20.0, 4.0], [30.0, 8.0]])
    train_set = Sample(x, np.array([0, 1]), np.array([0, 1]))
    test_set = Sample(y, np.array([0, 1, 1]), np.array([0, 1, 1]))
    like = (torch.device("cpu"), torch.float64)
    scale = 5**0.5  # deviations 1, 1, 3, 3: a root mean square of sqrt(20 / 4)
    for own, expected in ((train_set, (x - [1, 3]) / scale), (test_set, (y - [1, 3]) / scale)):
        split = Split([own, own], [train_set, train_set], *like)
        rows = split.rows(torch.arange(own.n).expand(2, -1))
        torch.testing.assert_close(rows, torch.from_numpy(expected).expand(2, -1, -1))
    problem = build("rings", 0, samples_per_mode=10)
    moved = Problem(problem.train, Sample(problem.test.x + 100, problem.test.classes, problem.test.modes))
    trainer = Trainer(grid({**TINY, "data.name": "rings", "data.params": {}}, {"seed": [0]}), [moved])
    assert float(trainer.splits["test"].x.mean()) > 10 and abs(float(trainer.splits["train"].x.mean())) < 1e-9


def test_what_cannot_be_trained_is_refused() -> None:
    def refuse(message: str, **assignments: object) -> None:
        with pytest.raises(InvalidInput, match=message):
            config = parse(
                RunConfig, dotted({**TINY, **{k.replace("__", "."): v for k, v in assignments.items()}})
            ).check()
            Trainer([config], [build(config.data.name, config.seed, **config.data.params)])

    refuse("loss: got 'tripet'", loss__name="tripet")
    refuse("positive: got 'near'", positive="near")
    refuse("net.kind: got 'cnn'", net__kind="cnn")
    refuse("data.name: got 'blobs'", data__name="blobs")
    refuse("noise: got 1.0; allowed: 0 <= noise < 1", noise__level=1.0)
    refuse("noise.kind: got 'flip'", noise__kind="flip")
    refuse("noise.level: got nan", noise__level=float("nan"))
    refuse("steps: got 0; allowed: input should be greater than or equal to 1", steps=0)
    refuse("batch.size: got 1; allowed: no such field; there are classes, per_class", batch__size=1)
    refuse("batch.per_class: got 37; allowed: at most 36", batch__per_class=37)
    refuse("batch.classes: got 1", batch__classes=1)
    refuse("net.normalize: got False; allowed: true with negative='distance_weighted'", negative="distance_weighted")
    refuse("evaluate: got .* as net.kind = table", net__kind="table", net__params={})
    refuse(
        "net.params.hidden: got 3; allowed: no such parameter; there are width, depth, activation",
        net__params={"hidden": 3},
    )
    refuse("net.params.activation: got 'sin'", net__params={"activation": "sin"})
    refuse("x: got .*images", net__kind="conv", net__params={})
    refuse("optimizer.name: got 'lion'", optimizer__name="lion")
    refuse("optimizer.schedule: got 'linear'", optimizer__schedule="linear")
    with pytest.raises(InvalidInput, match="configs: got 2; allowed: one or more runs of one program"):
        Trainer(grid(TINY, {"positive": ["easy", "all"]}), [])
    small, large = (generate("rings", samples_per_mode=k) for k in (10, 12))
    with pytest.raises(InvalidInput, match="data: got .* one shape"):
        Trainer(grid(TINY, {"seed": [0, 1]}), [Problem(small, small), Problem(large, large)])


def test_eps_with_two_samples_a_class_warns() -> None:
    with pytest.warns(UserWarning, match=r"batch\.per_class: with 2 samples a class"):
        grid({**TINY, "batch.per_class": 2}, {"positive": ["easy"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid({**TINY, "batch.per_class": 3}, {"positive": ["easy"]})


def test_draws_taken_ahead_change_nothing() -> None:
    """Neither how many at the start, nor a change in mid-run."""
    configs = grid({**TINY, "noise.level": 0.3, "positive": "random", "negative": "random"}, {"seed": [0, 1]})
    problems = [build(c.data.name, c.seed, **c.data.params) for c in configs]
    expected = run(configs).embed("test")
    few, changed = (Trainer(configs, problems, ahead=n) for n in (1, 7))
    for step in range(configs[0].steps):
        if step == 10:
            changed.draw_ahead(3)
        few.step()
        changed.step()
    assert torch.equal(few.embed("test"), expected)
    assert torch.equal(changed.embed("test"), expected)


def test_a_trainer_goes_on_from_another_if_shapes_agree() -> None:
    def trainer(**fields: object) -> Trainer:
        (config,) = grid({**TINY, **fields}, {"seed": [0]})
        return Trainer([config], [build(config.data.name, 0, **config.data.params)])

    old = trainer()
    for _ in range(5):
        old.step()
    new = trainer(positive="random")
    assert new.carry_over(old)
    assert (new.steps, new.optimizer.steps) == (5, 5)
    assert torch.equal(new.embed("test"), old.embed("test"))
    for mine, its in zip(new.optimizer.moments, old.optimizer.moments, strict=True):
        assert torch.equal(mine, its) and its.any()
    before = old.embed("test")
    new.step()
    assert torch.equal(old.embed("test"), before)  # nothing is shared
    for other in (trainer(**{"net.params": {"width": 8, "depth": 1}}), trainer(**{"optimizer.name": "sgd"})):
        start = other.embed("test")
        assert not other.carry_over(old)
        assert other.steps == 0 and torch.equal(other.embed("test"), start)
