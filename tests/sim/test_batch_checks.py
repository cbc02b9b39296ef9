"""What losses, samplers and theory do with labels and numbers that they can't take as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sim import distances, noise
from sim.catalogue import LOSSES
from sim.config import RunConfig, parse
from sim.errors import InvalidInput
from sim.losses import Loss, make
from sim.problems import build
from sim.samplers import Memory, select
from sim.samplers.batches import Batches
from sim.theory import expected_loss
from sim.theory.batch import batch_loss
from sim.theory.minimise import minimise
from sim.training import Trainer

NAMES = [name for name in LOSSES if name != "pml"]
OF_CLASSES = ("softmax", "normalized_softmax", "proxy_nca", "softtriple", "proxy_anchor")
HALF = [torch.float16, torch.bfloat16]


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 12, 4, generator=generator)
    return torch.nn.functional.normalize(x, dim=-1).to(dtype), torch.arange(12).remainder(3).expand(2, 12)


def built(name: str) -> Loss:
    return make(name, runs=2, classes=3, dim=4)


def refused(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("name", NAMES)
def test_no_label_is_dropped_without_a_word(name: str) -> None:
    """-1 is what other libraries drop; a label beyond the classes has no class vector."""
    x, labels = batch()
    allowed = "0 to 2, as there are 3 classes" if name in OF_CLASSES else "whole numbers >= 0"
    below = labels.clone()
    below[1, 5] = -1
    refused(f"labels: got -1; allowed: {allowed}", lambda: built(name)(x, below))
    beyond = labels.clone()
    beyond[0, 0] = 3
    if name in OF_CLASSES:
        refused(f"labels: got 3; allowed: {allowed}", lambda: built(name)(x, beyond))
    else:
        assert torch.isfinite(built(name)(x, beyond)).all()


def test_a_learnt_boundary_of_each_class_and_a_peers_loss_know_their_classes() -> None:
    x, labels = batch()
    learnt = make("margin", learn_beta="class", runs=2, classes=2)
    peer = make("pml", loss="NormalizedSoftmaxLoss", runs=2, classes=2, dim=4)
    for loss in (learnt, peer):
        refused("labels: got 2; allowed: 0 to 1, as there are 2 classes", lambda loss=loss: loss(x, labels))
    assert torch.isfinite(make("margin", runs=2, classes=2)(x, labels)).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.bool, torch.complex64])
def test_labels_are_whole_numbers(kind: torch.dtype) -> None:
    x, labels = batch()
    message = f"labels: got {kind}; allowed: a tensor of whole numbers, int64"
    refused(message, lambda: make("triplet")(x, labels.to(kind)))
    refused(message, lambda: built("softmax")(x, labels.to(kind)))
    refused(message, lambda: select(x, labels.to(kind), positive="easy", negative="hard"))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
@pytest.mark.parametrize("name", NAMES)
def test_narrow_whole_numbers_are_labels(kind: torch.dtype, name: str) -> None:
    x, labels = batch()
    assert torch.equal(built(name)(x, labels.to(kind)), built(name)(x, labels))


def test_samplers_refuse_what_losses_refuse() -> None:
    x, labels = batch()
    policies = {"positive": "easy", "negative": "hard"}
    refused("labels: got -1; allowed: whole numbers >= 0", lambda: select(x, labels - 1, **policies))
    refused(
        "labels: got (2, 11); allowed: (R, B) of embeddings (R, B, m) (2, 12, 4)",
        lambda: select(x, labels[:, 1:], **policies),
    )
    refused(
        "embeddings: got (12, 4); allowed: shape (R, B, m): runs, samples, dimensions",
        lambda: select(x[0], labels[0], **policies),
    )
    refused(
        "embeddings: got <class 'list'>; allowed: a tensor of float16, bfloat16, float32 or float64",
        lambda: select(x.tolist(), labels, **policies),
    )
    refused(
        "labels: got -2; allowed: whole numbers >= 0 to balance batches over",
        lambda: Batches([0], [np.array([0, 0, -2, 1])], classes=2, per_class=1),
    )


def test_a_memory_has_empty_places_but_no_other_labels_below_zero() -> None:
    x, labels = batch()
    stored = torch.zeros(2, 3, 4)

    def value(memory: Memory, name: str = "triplet") -> Tensor:
        return built(name)(x, labels, positive="easy", negative="memory", memory=memory)

    assert torch.isfinite(value(Memory(stored, torch.tensor([[0, -1, 1]] * 2)))).all()
    refused(
        "memory.labels: got -2; allowed: whole numbers >= -1",
        lambda: value(Memory(stored, torch.tensor([[0, -2, 1]] * 2))),
    )
    refused(
        "memory.labels: got (2, 2); allowed: (R, Q) of its embeddings (2, 3, 4)",
        lambda: value(Memory(stored, torch.zeros(2, 2, dtype=torch.int64))),
    )
    refused(
        "memory.embeddings: got (2, 3, 5); allowed: (R, Q, m) beside embeddings (R, B, m) (2, 12, 4)",
        lambda: value(Memory(torch.zeros(2, 3, 5), labels[:, :3])),
    )
    for name in ("triplet", "ntxent"):
        wide, narrow = (
            value(Memory(x[:, :3].to(kind), labels[:, :3]), name) for kind in (torch.float64, torch.float32)
        )
        torch.testing.assert_close(wide, narrow)
        assert wide.dtype == torch.float32


def test_noise_counts_no_label_for_another_class() -> None:
    """-1 counted as the last class before."""
    classes = np.array([0, 0, 1])
    refused("labels: got -1; allowed: 0 to 1", lambda: noise.empirical_transition(classes, np.array([0, -1, 1]), 2))
    refused("classes: got 2; allowed: 0 to 1", lambda: noise.empirical_transition(classes + 1, classes, 2))
    refused(
        "labels: got dtype('float64'); allowed: whole numbers",
        lambda: noise.empirical_transition(classes, classes / 2, 2),
    )
    rows = noise.symmetric(2, 0.8)[classes]
    refused("classes: got -1; allowed: 0 to 1", lambda: noise.static_labels(rows, classes - 1, seed=0))
    refused(
        "probabilities: got (2, 2); allowed: (3, t), a row for each sample",
        lambda: noise.static_labels(rows[:2], classes, seed=0),
    )


class Forbid(TorchDispatchMode):
    """Refuse what makes the host wait for a device: numbers taken out of a tensor, the range of a tensor looked at."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = ("_local_scalar_dense", "aminmax", "nonzero")
        assert not any(name in str(func) for name in waits), f"{func} makes the host wait"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_a_training_looks_at_no_label(name: str) -> None:
    """The trainer's labels are right by construction: checking them would wait for the device at every step."""
    negative = LOSSES[name].published_negative if name != "margin" else "semihard"
    positive = "all" if LOSSES[name].takes_only_all else "easy"
    fields = {"loss": {"name": name}, "positive": positive, "negative": negative, "batch": {"per_class": 8}}
    trainer = Trainer([parse(RunConfig, fields).check()], [build("gaussian_mixture", 0, samples_per_mode=10)])
    trainer.step()
    with Forbid():
        trainer.step()
    with Forbid(), pytest.raises(AssertionError, match="makes the host wait"):
        trainer.loss(torch.zeros(1, 2, 2), torch.tensor([[0, 1]]))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    x, labels = batch(dtype)
    narrow, wide = x.requires_grad_(), x.detach().float().requires_grad_()
    value, expected = (built(name)(leaf, labels) for leaf in (narrow, wide))
    assert value.dtype == dtype
    assert torch.equal(value, expected.to(dtype))
    (gradient,), (exact,) = torch.autograd.grad(value.sum(), narrow), torch.autograd.grad(expected.sum(), wide)
    assert gradient.dtype == dtype and torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient.float(), exact, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_has_finite_gradients_where_embeddings_coincide(name: str, dtype: torch.dtype) -> None:
    labels = torch.arange(12).remainder(3).expand(2, 12)
    x = torch.full((2, 12, 4), 0.5, dtype=dtype, requires_grad=True)
    value = built(name)(x, labels)
    assert torch.isfinite(value).all() and torch.isfinite(torch.autograd.grad(value.sum(), x)[0]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_what_a_loss_learns_is_taken_in_the_embeddings_precision(name: str, dtype: torch.dtype) -> None:
    x, labels = batch(torch.float64)
    loss = built(name)
    expected = built(name).double()(x, labels)
    torch.testing.assert_close(loss(x, labels), expected)
    value = loss.to(dtype)(x.float(), labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected.float(), rtol=2e-2, atol=1e-2)
    assert all(g.dtype == dtype for g in torch.autograd.grad(value.sum(), list(loss.parameters())))


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64, torch.bool])
@pytest.mark.parametrize("name", NAMES)
def test_embeddings_that_are_not_floating_are_refused_by_name(name: str, kind: torch.dtype) -> None:
    x, labels = batch()
    message = f"got {kind}; allowed: a tensor of float16, bfloat16, float32 or float64"
    refused(f"embeddings: {message}", lambda: built(name)(x.to(kind), labels))
    refused(f"x: {message}", lambda: distances.pairwise(x.to(kind)))
    refused(f"x: {message}", lambda: distances.to_columns(x.to(kind), torch.zeros(2, 12, 1, dtype=torch.int64)))
    refused(f"y: {message}", lambda: distances.between(x, x.to(kind)))


@pytest.mark.parametrize("dtype", HALF)
def test_distances_of_half_precision(dtype: torch.dtype) -> None:
    x = torch.tensor([[[0.0], [3.0], [300.0]]], dtype=dtype)
    index = torch.tensor([[[1], [2], [0]]])
    for found, expected in (
        (distances.pairwise(x), [[[0.0, 3.0, 300.0], [3.0, 0.0, 297.0], [300.0, 297.0, 0.0]]]),
        (distances.to_columns(x, index), [[[3.0], [297.0], [300.0]]]),
        (distances.between(x, x[:, :1]), [[[0.0], [3.0], [300.0]]]),
    ):
        assert found.dtype == dtype and torch.equal(
            found, torch.tensor(expected, dtype=dtype)
        )  # 300^2 is beyond float16
    tuples = select(x, torch.tensor([[0, 0, 1]]), positive="easy", negative="hard")
    assert tuples.positive.dtype == torch.float32 and tuples.positive.flatten()[:2].tolist() == [3.0, 3.0]


def test_theory_takes_half_precision_and_names_the_rest() -> None:
    d = torch.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
    clean = [[1, 0], [0, 1]]
    for dtype in HALF:
        found = expected_loss(d.to(dtype), [0, 0, 1], clean, alpha=1.5)
        assert found.dtype == torch.float32 and found.item() == 0.5
    allowed = "a tensor of float16, bfloat16, float32 or float64"
    for kind in (torch.complex64, torch.bool):
        message = f"distances: got {kind}; allowed: {allowed}"
        refused(message, lambda kind=kind: expected_loss(d.to(kind), [0, 0, 1], clean, alpha=1.5))
    with pytest.raises(InvalidInput, match="^distances: got <class 'str'>; allowed: an array of numbers"):
        expected_loss("near", [0, 0, 1], clean, alpha=1.5)
    refused(
        "classes: got -1; allowed: 0 to 1, the rows of the transition matrix",
        lambda: expected_loss(d, [0, -1, 1], clean, alpha=1.5),
    )
    with pytest.raises(InvalidInput, match="^classes: got .*allowed: a non-empty vector of integers"):
        expected_loss(d, [[0], [0, 1]], clean, alpha=1.5)
    refused(
        f"start: got torch.int64; allowed: {allowed}",
        lambda: minimise([0, 0, 1], clean, alpha=1.0, start=torch.zeros(1, 3, 2, dtype=torch.int64)),
    )
    estimate = {"loss": "triplet", "batch_size": 3, "alpha": 1.0}
    refused(
        "points: got (2, 1); allowed: (3, m), a point for each of the classes' entries",
        lambda: batch_loss(d, [0, 0, 1], clean, points=torch.zeros(2, 1), **estimate),
    )
    refused(
        f"points: got torch.int64; allowed: {allowed}",
        lambda: batch_loss(d, [0, 0, 1], clean, points=torch.zeros(3, 1).long(), **estimate),
    )
