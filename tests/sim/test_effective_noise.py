"""The share of wrong labels in batches: formulas against enumeration and against drawn batches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from sim import noise
from sim.config import Noise, RunConfig, parse
from sim.effective_noise import in_words, wrong_labels
from sim.generators import Sample
from sim.labels import Labels
from sim.problems import Problem
from sim.samplers import RunDraws
from sim.samplers.batches import Batches


def sample(sizes: tuple[int, ...]) -> Sample:
    classes = np.repeat(np.arange(len(sizes)), sizes)
    return Sample(np.zeros((len(classes), 1)), classes, classes)


def test_the_seen_case() -> None:
    """Groups of 5 : 1 : 3 : 1 (Fashion-MNIST's): "noise 0.2" means 43 % in the small ones, 0.4 means 67 %."""
    sizes = torch.tensor([5.0, 1, 3, 1], dtype=torch.float64)
    for level, small in ((0.2, 3 / 7), (0.4, 2 / 3)):
        of_label, _ = wrong_labels(sizes, torch.from_numpy(noise.symmetric(4, 1 - level)), balanced_over="labels")
        assert of_label[1].item() == of_label[3].item() == pytest.approx(small)


def test_runs_are_independent_and_edges_are_defined() -> None:
    sizes = torch.tensor([[2.0, 1], [1, 0], [3, 3]], dtype=torch.float64)
    transition = torch.stack([torch.from_numpy(noise.symmetric(2, 1 - p)) for p in (0.0, 0.0, 0.4)])
    of_label, of_batch = wrong_labels(sizes, transition, balanced_over="labels")
    assert of_label[0].tolist() == [0, 0] and of_batch[0] == 0
    assert of_label[1, 0] == 0 and of_label[1, 1].isnan() and of_batch[1] == 0  # nobody bears label 1
    assert of_label[2].tolist() == pytest.approx([0.4, 0.4])
    alone = wrong_labels(sizes[2], transition[2], balanced_over="labels")
    assert alone[0].equal(of_label[2]) and alone[1].equal(of_batch[2])


def test_enumeration() -> None:
    """All labellings of three samples, uniform draws: the share among those that bear a label, as a ratio of expectations."""
    transition = torch.tensor([[0.7, 0.3], [0.1, 0.9]], dtype=torch.float64)
    classes = [0, 0, 1]
    bear, wrong = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for labels in itertools.product((0, 1), repeat=3):
        p = float(torch.stack([transition[c, label] for c, label in zip(classes, labels, strict=True)]).prod())
        for c, label in zip(classes, labels, strict=True):
            bear[label] += p
            wrong[label] += p * (c != label)
    of_label, of_batch = wrong_labels(torch.tensor([2.0, 1], dtype=torch.float64), transition, balanced_over="nothing")
    torch.testing.assert_close(of_label, wrong / bear)
    assert of_batch.item() == pytest.approx(wrong.sum().item() / 3)


@pytest.mark.parametrize("mode", ["static", "resampled"])
@pytest.mark.parametrize("classes", [2, 0])
def test_against_drawn_batches(mode: str, classes: int) -> None:
    """Counted over many batches: within 5 standard errors of what is said, and clearly not what the level says where sizes matter."""
    made = sample((500, 100, 300, 100))
    settings = Noise(level=0.4, mode=mode)  # type: ignore[arg-type]
    labels = Labels([settings], [made], [0])
    batches = Batches([0], labels.balanced_over, classes=classes, per_class=20)
    draws = RunDraws([0])
    bear, wrong = np.zeros(4), np.zeros(4)
    for _ in range(1500):
        index = batches.next()
        drawn = labels.draw(index, draws)[0].numpy()
        bear += np.bincount(drawn, minlength=4)
        wrong += np.bincount(drawn[drawn != made.classes[index[0].numpy()]], minlength=4)
    over = "nothing" if not classes else "labels" if mode == "static" else "classes"
    sizes = torch.tensor([500.0, 100, 300, 100], dtype=torch.float64)
    of_label, of_batch = wrong_labels(sizes, torch.from_numpy(noise.symmetric(4, 0.6)), balanced_over=over)
    # Static labels are drawn once: their own counts vary from seed to seed, about n_l of them.
    n = sizes.numpy() if mode == "static" else bear
    error = 5 * np.sqrt(of_label.numpy() * (1 - of_label.numpy()) / n)
    assert (np.abs(wrong / bear - of_label.numpy()) < error).all()
    assert abs(wrong.sum() / bear.sum() - of_batch.item()) < (0.05 if mode == "static" else 0.02)


def test_a_run_says_it_where_it_matters() -> None:
    from sim.catalogue import PROBLEMS

    made = sample((50, 10, 30, 10))
    with PROBLEMS.replaced("unequal", lambda seed: Problem(made, made)):
        fields = {"data": {"name": "unequal"}, "noise": {"level": 0.2, "mode": "static"}, "batch": {"per_class": 4}}
        said = in_words(parse(RunConfig, fields))
        assert said == (
            "noise 0.2: 27% of a batch's labels are wrong (of those that bear label 0, 1, ...: 8%, 43%, 16%, 43%)"
        )
        assert in_words(parse(RunConfig, {**fields, "noise": {"level": 0.2}})) is None
