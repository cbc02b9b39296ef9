"""Exact expectations of the similarity losses against all labellings, the training losses, differences and bounds."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import distances, kernels, losses
from sim.errors import InvalidInput
from sim.theory import integrals
from sim.theory.nodes import FINE, error_bound
from sim.theory.similarity import DEFAULTS, OF_CLASSES, expected_similarity_loss

PAIRS = [name for name in DEFAULTS if name not in OF_CLASSES]


def problem(seed: int, n: int, t: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Points on the sphere (n, 3), some of them on one, classes, and a transition matrix with zeros and ones."""
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(n, 3))
    if n > 3 and seed % 3 == 0:
        x[1] = x[2]
    whole = draws.integers(0, 4, (t, t)) * (draws.random((t, t)) < 0.8) + np.eye(t, dtype=int)
    transition = whole / whole.sum(1, keepdims=True)
    classes = draws.integers(0, t, n)
    return torch.nn.functional.normalize(torch.from_numpy(x), dim=-1), classes, transition


def enumerated(
    x: torch.Tensor, classes: np.ndarray, transition: np.ndarray, loss: losses.Loss, positive: str
) -> torch.Tensor:
    """The training loss, averaged over every labelling."""
    labellings = torch.tensor(list(itertools.product(range(len(transition)), repeat=len(x))))
    chance = torch.from_numpy(transition)[torch.from_numpy(classes), labellings].prod(-1)  # (labellings,)
    labellings, chance = labellings[chance > 0], chance[chance > 0]
    value = loss(x.expand(len(labellings), -1, -1), labellings, positive=positive, negative="all")
    return (chance * value).sum()


@st.composite
def settings_of_losses(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    name = draw(st.sampled_from(PAIRS))
    temperature = st.sampled_from([0.05, 0.07, 0.2, 0.5, 1.0])
    if name == "multi_similarity":
        params = {"alpha": draw(st.sampled_from([0.5, 2.0])), "beta": draw(st.sampled_from([2.0, 50.0])), "base": 0.5}
    else:
        params = {"alpha": 2.5} if name == "lifted" else {"temperature": draw(temperature)}
    return name, draw(st.sampled_from(["all", "easy"])), params


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(1, 2), (2, 2), (3, 3), (5, 3), (6, 2), (8, 2)]), settings_of_losses())
def test_they_are_the_training_losses_over_all_labellings(
    compiled: bool, seed: int, size: tuple[int, int], setting: tuple[str, str, dict[str, Any]]
) -> None:
    if compiled and not kernels.AVAILABLE:
        pytest.skip("without Numba")
    name, positive, params = setting
    x, classes, transition = problem(seed, *size)
    own = {"reduction": "sum", **params, **({} if name == "lifted" else {"cosine": True})}
    x.requires_grad_()
    expected = enumerated(x, classes, transition, losses.make(name, **own), positive)
    values = distances.pairwise(x) if name == "lifted" else x @ x.T
    given_ = params if name == "lifted" else {**params, "cosine": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "AVAILABLE", compiled)
        found = expected_similarity_loss(values, classes, transition, loss=name, positive=positive, **given_)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    if found.requires_grad and expected.requires_grad:
        slopes = [torch.autograd.grad(value, x)[0] for value in (found, expected)]
        if name != "lifted":  # training losses normalise: what points away from the sphere isn't seen there
            slopes = [s - (s * x).sum(-1, keepdim=True) * x for s in slopes]
        torch.testing.assert_close(*slopes, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize("name", ["ntxent", "multi_similarity", "lifted"])
def test_twice_the_nodes_change_no_more_than_the_bound(
    name: str, positive: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 40 samples, where rounding is far below it; the terms are those of the anchors, or of the pairs."""
    if compiled and not kernels.AVAILABLE:
        pytest.skip("without Numba")
    monkeypatch.setattr(kernels, "AVAILABLE", compiled)
    x, classes, transition = problem(1, 40, 3)
    values = distances.pairwise(x) if name == "lifted" else x @ x.T
    params = {"alpha": 2.5} if name == "lifted" else {}
    found = {}
    for fine in (FINE, 2 * FINE, 1):
        for function in ("all_positives", "easy_positives", "log_of_sum"):
            monkeypatch.setattr(f"sim.theory.similarity.{function}", partial(getattr(integrals, function), fine=fine))
        found[fine] = expected_similarity_loss(
            values, classes, transition, loss=name, positive=positive, **params
        ).item()
    pairs = float((transition[classes] @ transition[classes].T).sum())
    terms = pairs if (name, positive) == ("ntxent", "all") else 2 * 40
    rounding = 1e-13 * abs(found[FINE])
    assert abs(found[FINE] - found[2 * FINE]) <= terms * error_bound(FINE) + rounding
    assert terms * error_bound(1) + rounding >= abs(found[1] - found[2 * FINE]) > terms * error_bound(FINE)


def test_the_bound_is_that_of_one_value() -> None:
    """E log X for a certain X = r: the nodes give log(r) but for at most the bound, and for some r nearly as much."""
    worst = {}
    for fine in (1, 2):
        h, errors = math.log(2) / fine, []
        for ratio in np.linspace(1, 2, 17):
            v = h * np.arange(-200 * fine, 20 * fine)
            errors.append(abs(h * (np.exp(-np.exp(v)) - np.exp(-ratio * np.exp(v))).sum() - math.log(ratio)))
        worst[fine] = max(errors)
        assert worst[fine] <= error_bound(fine)
    assert worst[1] > 0.5 * error_bound(1)


def test_batches_and_dtypes() -> None:
    x, classes, transition = problem(2, 9, 3)
    one = x @ x.T
    many = torch.stack([one, 0.5 * one, -one]).view(3, 1, 9, 9)
    for name in PAIRS[:-1]:
        found = expected_similarity_loss(many, classes, transition, loss=name)
        assert found.shape == (3, 1)
        alone = [expected_similarity_loss(s, classes, transition, loss=name) for s in many[:, 0]]
        torch.testing.assert_close(found[:, 0], torch.stack(alone), rtol=1e-13, atol=1e-13)
        single = expected_similarity_loss(many.float(), classes, transition, loss=name)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single, found.float(), rtol=1e-4, atol=1e-4)


def test_the_softmax_family_is_linear_in_the_label() -> None:
    _, classes, transition = problem(4, 7, 3)
    logits = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = torch.from_numpy(transition[classes])
    found = expected_similarity_loss(logits, classes, transition, loss="softmax", reduction="mean")
    soft = torch.nn.functional.cross_entropy(logits.transpose(1, 2), p.T.expand(2, -1, -1), reduction="none").mean(1)
    torch.testing.assert_close(found, soft)
    cosines = logits.clamp(-1, 1)
    normalised = expected_similarity_loss(cosines, classes, transition, loss="normalized_softmax", temperature=0.5)
    plain = expected_similarity_loss(cosines / 0.5, classes, transition, loss="softmax")
    torch.testing.assert_close(normalised, plain)


def test_with_easy_positives_supcon_is_ntxent() -> None:
    x, classes, transition = problem(5, 12, 3)
    found = [
        expected_similarity_loss(x @ x.T, classes, transition, loss=name, positive="easy", temperature=0.1).item()
        for name in ("supcon", "ntxent")
    ]
    assert found[0] == found[1]


def test_defaults_are_those_of_the_training_losses() -> None:
    for name, defaults in DEFAULTS.items():
        own = losses.parameters_of(name)
        for parameter, value in defaults.items():
            assert own[parameter].default == value, (name, parameter)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"loss": "triplet"}, "loss"),
        ({"loss": "ntxent", "positive": "hard"}, "positive"),
        ({"loss": "softmax", "positive": "easy"}, "positive"),
        ({"loss": "ntxent", "temperature": 0.0}, "temperature"),
        ({"loss": "ntxent", "temperature": "hot"}, "temperature"),
        ({"loss": "ntxent", "alpha": 1.0}, "alpha"),
        ({"loss": "ntxent", "reduction": "mean"}, "reduction"),
        ({"loss": "ntxent", "reduction": "avg_nonzero"}, "reduction"),
        ({"loss": "supcon", "similarities": [[1.0, 1.5], [1.5, 1.0]]}, "similarities"),
        ({"loss": "npair", "similarities": [[1.0, np.nan], [0.0, 1.0]]}, "similarities"),
        ({"loss": "npair", "similarities": [[1.0, 0.0, 0.0]]}, "similarities"),
        ({"loss": "npair", "similarities": "near"}, "similarities"),
        ({"loss": "lifted", "similarities": [[0.0, -1.0], [-1.0, 0.0]]}, "distances"),
        ({"loss": "npair", "classes": [0, 2]}, "classes"),
    ],
)
def test_what_has_no_exact_form_is_refused(changed: dict[str, Any], field: str) -> None:
    arguments = {"similarities": np.eye(2), "classes": [0, 1], "transition": np.eye(2), **changed}
    with pytest.raises(InvalidInput, match=f"^{field}: got ") as error:
        expected_similarity_loss(**arguments)
    assert "\n" not in str(error.value)


def test_a_hinge_that_acts_is_refused() -> None:
    line = np.abs(np.subtract.outer([0.0, 1.0, 3.0], [0.0, 1.0, 3.0]))
    with pytest.raises(InvalidInput, match="alpha: got 0.5; allowed: at least 2, the most by which"):
        expected_similarity_loss(line, [0, 0, 1], np.eye(2), loss="lifted", alpha=0.5)
    assert expected_similarity_loss(line, [0, 0, 1], np.eye(2), loss="lifted", alpha=2.0) > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize("name", PAIRS)
def test_on_cuda(name: str, positive: str) -> None:
    x, classes, transition = problem(7, 20, 3)
    values = distances.pairwise(x) if name == "lifted" else x @ x.T
    params = {"alpha": 2.5} if name == "lifted" else {}
    here, there = (
        expected_similarity_loss(v, classes, transition, loss=name, positive=positive, **params)
        for v in (values, values.cuda())
    )
    torch.testing.assert_close(here, there.cpu(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize("name", PAIRS)
def test_how_a_matrix_lies_in_memory_changes_nothing(
    name: str, positive: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code wrote the gradient of a transposed matrix into a copy: it was 0."""
    if compiled and not kernels.AVAILABLE:
        pytest.skip("without Numba")
    monkeypatch.setattr(kernels, "AVAILABLE", compiled)
    x, classes, transition = problem(7, 6, 3)
    s = distances.pairwise(x) if name == "lifted" else x @ x.T
    given = {"alpha": 2.5} if name == "lifted" else {}
    found = []
    for laid_out in (s, s.mT.contiguous().mT, torch.stack([s, s], -1)[..., 0]):
        leaf = laid_out.detach().requires_grad_()
        value = expected_similarity_loss(leaf, classes, transition, loss=name, positive=positive, **given)
        value.backward()
        assert leaf.grad is not None
        found.append((value.detach(), leaf.grad))
    assert found[0][1].abs().max() > 0
    for value, gradient in found[1:]:
        torch.testing.assert_close(value, found[0][0], rtol=1e-14, atol=0)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("positive", ["all", "easy"])
def test_integrals_end_whatever_rounding_leaves(positive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lifted loss took P(none is taken) from a product that came near it: what rounding left never fell to 0, and the sum went on to NaN."""
    for seed in range(30):
        x, classes, transition = problem(seed, 4 + seed % 9, 2 + seed % 3)
        d = distances.pairwise(x)
        found = []
        for compiled in (False, True) if kernels.AVAILABLE else (False,):
            monkeypatch.setattr(kernels, "AVAILABLE", compiled)
            leaf = d.clone().requires_grad_()
            # Sums of rows are 1 but for rounding, another one each time.
            given = (transition * (1 + 1e-16 * np.arange(-3, 4)[seed % 7])).clip(0, 1)
            value = expected_similarity_loss(leaf, classes, given, loss="lifted", positive=positive, alpha=2.5)
            value.backward()
            assert leaf.grad is not None
            found.append((value.detach(), leaf.grad))
        for value, gradient in found:
            torch.testing.assert_close(value, found[0][0], rtol=1e-11, atol=1e-11)
            torch.testing.assert_close(gradient, found[0][1], rtol=1e-9, atol=1e-11)
