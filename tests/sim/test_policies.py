"""Families of positives, and negatives from a memory."""

from __future__ import annotations

import warnings

import pytest
import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor

from sim.catalogue import LOSSES, NEGATIVES, POSITIVES
from sim.config import RunConfig, parse
from sim.errors import InvalidInput
from sim.losses import make
from sim.problems import build
from sim.registry import Families
from sim.samplers import Memory, select
from sim.training import Trainer, train


def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 12, 3, generator=generator, dtype=dtype), torch.arange(12).remainder(3).expand(2, 12)


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_k_easy_are_the_k_nearest(k: int) -> None:
    x, labels = batch()
    tuples = select(x, labels, positive=f"k_easy:{k}", negative="hard")
    for r in range(2):
        for i in range(12):
            same = [j for j in range(12) if labels[r, j] == labels[r, i] and j != i]
            nearest = sorted(float((x[r, i] - x[r, j]).norm()) for j in same)[:k]
            ours = sorted(tuples.positive[r, i][tuples.pos_mask[r, i]].tolist())
            assert ours == pytest.approx(nearest)


def test_k_easy_between_easy_and_all() -> None:
    x, labels = batch()
    for name in ("triplet", "margin", "ntxent", "supcon", "multi_similarity", "lifted"):
        loss = make(name)
        for k, same in ((1, "easy"), (11, "all")):
            a, b = (loss(x, labels, positive=p, negative="all") for p in (f"k_easy:{k}", same))
            torch.testing.assert_close(a, b)


def test_easy_within_drops_anchors_whose_nearest_is_far() -> None:
    x, labels = batch()
    easy = select(x, labels, positive="easy", negative="hard")
    limit = float(easy.positive.flatten().sort().values[11:13].mean())
    within = select(x, labels, positive=f"easy_within:{limit}", negative="hard")
    assert torch.equal(within.pos_mask, easy.positive <= limit)
    assert torch.equal(within.positive[within.pos_mask], easy.positive[within.pos_mask])


@pytest.mark.parametrize(
    "name", ["k_easy:0", "k_easy:²", "k_easy:", "k_easy:1.5", "easy_within:-1", "easy_within:x", "easy_within:inf"]
)
def test_bad_numbers_are_named(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"positive: got '{name}'; allowed: {name.split(':')[0]}"):
        parse(RunConfig, {"positive": name}).check()


def test_unknown_policies_list_the_families() -> None:
    with pytest.raises(InvalidInput, match="positive: got 'nearest'; allowed: .*k_easy:K, easy_within:D"):
        parse(RunConfig, {"positive": "nearest"}).check()


def test_memory_negatives_are_its_samples_of_other_labels() -> None:
    x, labels = batch()
    memory = Memory(torch.randn(2, 5, 3, dtype=torch.float64), torch.tensor([[0, 1, 2, -1, 0], [1, 1, 1, 1, -1]]))
    tuples = select(x, labels, positive="easy", negative="memory", memory=memory)
    for r in range(2):
        for i in range(12):
            expected = [
                float((x[r, i] - memory.embeddings[r, q]).norm())
                for q in range(5)
                if memory.labels[r, q] >= 0 and memory.labels[r, q] != labels[r, i]
            ]
            assert tuples.negative[r, i, 0][tuples.neg_mask[r, i, 0]].tolist() == pytest.approx(expected)
    with pytest.raises(InvalidInput, match="memory: got None"):
        select(x, labels, positive="easy", negative="memory")


@pytest.mark.parametrize("name", ["triplet", "margin", "contrastive", "ntxent", "supcon", "multi_similarity", "npair"])
@pytest.mark.parametrize("positive", ["easy", "all", "random"])
def test_a_memory_of_the_batch_is_the_batch(name: str, positive: str) -> None:
    x, labels = batch()
    loss = make(name)
    values = []
    for negative, memory in (("all", None), ("memory", Memory(x, labels))):
        leaf = x.clone().requires_grad_()
        generator = torch.Generator().manual_seed(1)
        values.append(loss(leaf, labels, positive=positive, negative=negative, generator=generator, memory=memory))
    torch.testing.assert_close(*values)


def test_the_queue_holds_the_latest_batches_of_the_slow_net() -> None:
    config = parse(
        RunConfig,
        {"negative": "memory", "memory": {"size": 48, "momentum": 0.9}, "batch": {"per_class": 8}, "positive": "easy"},
    ).check()
    trainer = Trainer([config], [build("gaussian_mixture", 0, samples_per_mode=10)])
    first = trainer.slow_net.weights[0].clone()
    for step in range(5):
        assert int((trainer.memory.labels >= 0).sum()) == min(48, 16 * step)
        trainer.step()
    assert not torch.equal(trainer.slow_net.weights[0], first)
    assert not torch.equal(trainer.slow_net.weights[0], trainer.net.weights[0])
    # Five steps wrote 80 samples, half of them of each class: those of the last three are there.
    assert trainer.memory.labels.shape == (1, 48)
    assert int((trainer.memory.labels == 0).sum()) == 24


@pytest.mark.parametrize("name", ["ntxent", "npair"])
def test_an_anchor_whose_memory_holds_its_own_class_only_is_no_term(name: str) -> None:
    x, labels = batch()
    loss = make(name, reduction="mean")
    memory = Memory(x[:, :3], torch.zeros(2, 3, dtype=torch.int64))
    value = loss(x, labels, positive="easy", negative="memory", memory=memory)
    own = loss(x, labels, positive="easy", negative="memory", memory=Memory(x[:, :3], labels[:, :3]))
    assert (value > 0).all() and (own > 0).all()
    # Two of three anchors are of another class; as a sum over terms it is that share of a mean over all anchors.
    total = make(name, reduction="sum")(x, labels, positive="easy", negative="memory", memory=memory)
    torch.testing.assert_close(value, total / 8)


def test_the_slow_net_follows_and_the_queue_holds_the_labels_that_were_trained_on() -> None:
    config = parse(
        RunConfig,
        {
            "negative": "memory",
            "memory": {"size": 48, "momentum": 0.9},
            "batch": {"per_class": 8},
            "noise": {"level": 0.4, "mode": "static"},
        },
    ).check()
    trainer = Trainer([config], [build("gaussian_mixture", 0, samples_per_mode=20)])
    seen, draw = [], trainer.batches.next

    def drawn() -> Tensor:
        seen.append(draw())
        return seen[-1]

    trainer.batches.next = drawn
    for step in range(5):
        slow = [p.clone() for p in trainer.slow_net.parameters()]
        trainer.step()
        for old, new, fast in zip(slow, trainer.slow_net.parameters(), trainer.net.parameters(), strict=True):
            torch.testing.assert_close(new, 0.9 * old + 0.1 * fast)
        place = torch.arange(16) + 16 * step % 48
        assert torch.equal(trainer.memory.labels[0, place], trainer.labels.flipped[0, seen[-1][0]])
        torch.testing.assert_close(
            trainer.memory.embeddings[:, place], trainer.slow_net(trainer.splits["train"].rows(seen[-1]), seen[-1])
        )
    assert not torch.equal(trainer.labels.flipped, trainer.labels.classes)


def test_a_run_with_a_memory_alone_equals_it_among_others() -> None:
    config = parse(
        RunConfig,
        {
            "negative": "memory",
            "memory": {"size": 64},
            "batch": {"per_class": 8},
            "steps": 20,
            "loss": {"name": "ntxent"},
        },
    )
    configs = [config.model_copy(update={"seed": s}) for s in range(3)]
    problems = [build("gaussian_mixture", s, samples_per_mode=10) for s in range(3)]
    together, alone = train(configs, problems)[2], train(configs[2:], problems[2:])[0]
    assert together.rows[-1]["loss"] == pytest.approx(alone.rows[-1]["loss"], rel=1e-4)


def test_memory_settings_that_make_no_sense() -> None:
    for fields in ({"negative": "memory"}, {"memory": {"size": 8}}):
        with pytest.raises(InvalidInput, match="memory.size: got .*> 0 with negative = memory, 0 without"):
            parse(RunConfig, fields).check()
    with pytest.raises(InvalidInput, match="negative: got 'memory'"):
        parse(RunConfig, {"negative": "memory", "memory": {"size": 8}, "positive": "semihard"}).check()


def test_the_adapter_gives_the_peers_values() -> None:
    x, labels = batch(torch.float32)
    loss = make(
        "pml",
        loss="TripletMarginLoss",
        loss_params={"margin": 0.3},
        miner="BatchEasyHardMiner",
        miner_params={"pos_strategy": "easy", "neg_strategy": "semihard"},
        runs=2,
    )
    ours = loss(x, labels, generator=torch.Generator().manual_seed(0))
    miner = miners.BatchEasyHardMiner(pos_strategy="easy", neg_strategy="semihard")
    for r in range(2):
        expected = losses.TripletMarginLoss(margin=0.3)(x[r], labels[r], miner(x[r], labels[r]))
        torch.testing.assert_close(ours[r], expected)


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "CircleLoss"},
        {"loss": "ArcFaceLoss"},
        {"loss": "TripletMarginLoss", "miner": "DistanceWeightedMiner"},
        {"loss": "ContrastiveLoss", "distance": "LpDistance", "distance_params": {"normalize_embeddings": False}},
    ],
)
def test_the_adapter_trains_each_run_by_itself(params: dict[str, object]) -> None:
    config = parse(
        RunConfig,
        {
            "loss": {"name": "pml", "params": params},
            "positive": "all",
            "negative": "all",
            "steps": 12,
            "checkpoints": 1,
            "batch": {"per_class": 8},
        },
    ).check()
    configs = [config.model_copy(update={"seed": s}) for s in range(2)]
    problems = [build("gaussian_mixture", s, samples_per_mode=10) for s in range(2)]
    together, alone = train(configs, problems)[1], train(configs[1:], problems[1:])[0]
    assert together.rows[-1]["loss"] == pytest.approx(alone.rows[-1]["loss"], rel=1e-3)
    assert together.rows[-1]["loss"] != together.rows[0]["loss"]


def test_the_adapter_names_what_it_does_not_know() -> None:
    with pytest.raises(InvalidInput, match="loss.params.loss: got 'NoLoss'; allowed: one of .*TripletMarginLoss"):
        make("pml", loss="NoLoss")
    with pytest.raises(InvalidInput, match="loss.params.loss_params: got .*what TripletMarginLoss takes"):
        make("pml", loss="TripletMarginLoss", loss_params={"alpha": 1})
    with pytest.raises(InvalidInput, match="positive: got 'easy'; allowed: all with loss.name = pml"):
        parse(RunConfig, {"loss": {"name": "pml", "params": {"loss": "CircleLoss"}}, "negative": "all"}).check()


def test_the_adapter_refuses_a_version_that_it_is_not_written_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.losses.pml.metadata.version", {"pytorch-metric-learning": "3.0.1"}.__getitem__)
    with pytest.raises(
        InvalidInput, match=r"loss.name: got 'pml'; .* install pytorch-metric-learning 2 \(here is 3.0.1"
    ):
        make("pml", loss="TripletMarginLoss")


def test_the_adapter_needs_a_loss() -> None:
    with pytest.raises(InvalidInput, match="loss.params.loss: got None; allowed: a value"):
        make("pml")


@pytest.mark.parametrize(
    "fields",
    [
        {"positive": "k_easy:2", "negative": "distance_weighted", "net": {"normalize": True}},
        {"positive": "easy", "negative": "semihard", "loss": {"name": "margin"}},
        {"positive": "easy", "negative": "memory", "memory": {"size": 16}, "loss": {"name": "ntxent"}},
        {"positive": "all", "negative": "all", "loss": {"name": "softmax"}},
    ],
)
def test_a_step_looks_no_policy_up(fields: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Policies are looked up and checked when a run is built; `Families` are the registries of policies, and no others."""
    config = parse(RunConfig, {"batch": {"per_class": 8}, **fields}).check()
    trainer = Trainer([config], [build("gaussian_mixture", 0, samples_per_mode=10)])

    def refuse(_: Families[object], name: str) -> None:
        raise AssertionError(f"{name} is looked up")

    monkeypatch.setattr(Families, "__getitem__", refuse)
    with pytest.raises(AssertionError, match="easy is looked up"):
        POSITIVES["easy"]
    for _ in range(2):
        trainer.step()


def test_two_samples_a_class_leave_nothing_to_choose_by_distance() -> None:
    fields = {"positive": "easy", "negative": "hard", "batch": {"per_class": 2}}
    with pytest.warns(UserWarning, match=r"batch\.per_class: with 2 samples a class"):
        parse(RunConfig, fields).check()


@pytest.mark.parametrize("positive", ["all", "random"])
def test_two_samples_a_class_are_enough_for_those_that_choose_otherwise(positive: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse(RunConfig, {"positive": positive, "batch": {"per_class": 2}}).check()


def test_every_loss_names_a_negative_that_it_takes() -> None:
    """`published_negative` goes with the positives that a loss takes, or a benchmark of it can't begin."""
    for name in (n for n in LOSSES if n != "pml"):
        loss = make(name, runs=1, classes=2, dim=2)
        assert loss.sampling("all", loss.published_negative).negative == NEGATIVES[loss.published_negative]
