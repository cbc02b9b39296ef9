"""Retrieval: ties against an average over all orders, other values against pytorch-metric-learning and closed forms."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from math import comb

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch import Tensor

from sim import metrics
from sim.metrics import Options, search


def over_all_orders(x: np.ndarray, labels: np.ndarray, ks: tuple[int, ...]) -> np.ndarray:
    """Recall at ks, R-precision and MAP@R: mean over queries and over all (n - 1)! orders of each query's database."""
    per_query = []
    for q in range(len(x)):
        relevant = int((labels == labels[q]).sum()) - 1
        if relevant == 0:
            continue
        squares = ((x - x[q]) ** 2).sum(1)
        scores = []
        for order in permutations([i for i in range(len(x)) if i != q]):
            ranking = sorted(order, key=lambda i: squares[i])  # stable: ties stay in the order given
            hit = (labels[ranking] == labels[q]).astype(float)
            precision = hit.cumsum() / np.arange(1, len(hit) + 1)
            scores.append([float(hit[:k].any()) for k in ks])
            scores[-1] += [hit[:relevant].mean(), (precision * hit)[:relevant].mean()]
        per_query.append(np.mean(scores, 0))
    return np.mean(per_query, 0) if per_query else np.full(len(ks) + 2, np.nan)


@settings(max_examples=25, deadline=None)
@given(
    x=hnp.arrays(np.int64, st.tuples(st.integers(3, 6), st.integers(1, 2)), elements=st.integers(0, 2)), data=st.data()
)
def test_ties_equal_the_mean_over_all_orders(x: np.ndarray, data: st.DataObject) -> None:
    n = len(x)
    classes = np.array([0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))])
    modes = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    options = Options(ks=(1, 2, 3, 8))
    measured = [
        *metrics.recall_at_k(x, classes, modes, options=options).tolist(),
        metrics.r_precision(x, classes, modes).item(),
        metrics.map_at_r(x, classes, modes).item(),
    ]
    np.testing.assert_allclose(measured, over_all_orders(x, 2 * classes + modes, options.ks), atol=1e-12)
    coarse = over_all_orders(x, classes, (1,))[0]
    np.testing.assert_allclose(metrics.class_recall_at_1(x, classes, modes).item(), coarse, atol=1e-12)


def test_against_pytorch_metric_learning() -> None:
    rng = np.random.default_rng(0)
    classes, modes = rng.integers(0, 3, 150), rng.integers(0, 4, 150)
    labels = 4 * classes + modes
    x = rng.normal(size=(150, 5)) + rng.normal(size=(12, 5))[labels]
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False)),
        device=torch.device("cpu"),
    )
    query = torch.from_numpy(x)
    expected = calculator.get_accuracy(query, torch.from_numpy(labels))
    values = metrics.evaluate(x, classes, modes, heavy=False)
    assert values["recall_at_1"] == pytest.approx(expected["precision_at_1"])
    assert values["r_precision"] == pytest.approx(expected["r_precision"])
    assert values["map_at_r"] == pytest.approx(expected["mean_average_precision_at_r"])
    coarse = calculator.get_accuracy(query, torch.from_numpy(classes))
    assert values["class_recall_at_1"] == pytest.approx(coarse["precision_at_1"])


@pytest.mark.parametrize("m", [2, 100])
def test_class_collapse_scores_chance_among_the_class(m: int) -> None:
    """Two classes of four balanced modes of 5: a query's 19 class mates are tied in front, 4 of them of its mode."""
    classes, modes = np.repeat([0, 1], 20), np.tile([0, 1, 2, 3], 10)
    x = np.random.default_rng(0).normal(size=(2, m))[classes]
    values = metrics.evaluate(x, classes, modes, heavy=False)
    for k in (1, 2, 4, 8):
        assert values[f"recall_at_{k}"] == pytest.approx(1 - comb(15, k) / comb(19, k), abs=1e-12)
    assert values["r_precision"] == pytest.approx(4 / 19, abs=1e-12)
    assert values["map_at_r"] == pytest.approx(
        np.mean([4 / 19 * (1 + i * 3 / 18) / (i + 1) for i in range(4)]), abs=1e-12
    )
    assert values["class_recall_at_1"] == 1


@pytest.mark.parametrize("m", [2, 100])
def test_total_collapse_scores_chance_among_all(m: int) -> None:
    classes, modes = np.repeat([0, 1], 20), np.tile([0, 1, 2, 3], 10)
    values = metrics.evaluate(np.full((40, m), 0.1), classes, modes, heavy=False)
    for k in (1, 2, 4, 8):
        assert values[f"recall_at_{k}"] == pytest.approx(1 - comb(35, k) / comb(39, k), abs=1e-12)
    assert values["r_precision"] == pytest.approx(4 / 39, abs=1e-12)
    assert values["class_recall_at_1"] == pytest.approx(19 / 39, abs=1e-12)


def test_separate_modes_are_found() -> None:
    classes, modes = np.repeat([0, 1], 6), np.tile([0, 1], 6)
    x = np.random.default_rng(0).normal(size=(12, 2)) * 0.01 + 10.0 * np.c_[classes, modes]
    values = metrics.evaluate(x, classes, modes, heavy=False)
    assert [values[key] for key in ("recall_at_1", "r_precision", "map_at_r", "class_recall_at_1")] == [1, 1, 1, 1]


def test_a_query_does_not_find_itself() -> None:
    """A sample's duplicate has another label and its label mate is farther: nobody's nearest is of their label."""
    x, labels = np.array([[0.0], [0.0], [5.0], [5.0]]), np.array([0, 1, 0, 1])
    assert metrics.class_recall_at_1(x, labels).item() == 0
    assert metrics.recall_at_k(x, labels, options=Options(ks=(1, 2))).tolist() == [0, 0.5]


def test_lonely_labels_are_left_out() -> None:
    x, classes = np.array([[0.0], [1.0], [9.0]]), np.array([0, 0, 1])
    assert metrics.class_recall_at_1(x, classes).item() == 1
    everyone_alone = metrics.evaluate(x, np.arange(3), np.zeros(3, dtype=int), heavy=False)
    assert np.isnan([everyone_alone[key] for key in ("recall_at_1", "map_at_r", "class_recall_at_1")]).all()


def _without_search(
    monkeypatch: pytest.MonkeyPatch, x: np.ndarray, classes: np.ndarray, modes: np.ndarray
) -> tuple[Tensor, Tensor, int]:
    """Every retrieval metric with the search and without it, and how many samples the search was sure of."""
    found = []
    sure = 0

    def counting(x: Tensor, k: int) -> Iterator[search.Nearest]:
        nonlocal sure
        for found in searched(x, k):
            sure += len(found.rows)
            yield found

    searched = search.search
    monkeypatch.setattr(search, "search", counting)
    for least in (10, 10**9):
        monkeypatch.setattr(search, "FROM", least)
        options = metrics.Options(ks=(1, 5))
        names = (metrics.recall_at_k, metrics.map_at_r, metrics.r_precision, metrics.class_recall_at_1)
        found.append(torch.cat([f(x, classes, modes, options=options).view(-1) for f in names]))
    return *found, sure


@pytest.mark.parametrize("m", [3, 100])
@pytest.mark.parametrize(
    "kind", ["spread", "on a lattice", "class collapse", "total collapse", "far away", "duplicates"]
)
def test_the_search_changes_nothing(kind: str, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(m)
    n = 400
    modes, classes = np.arange(n) // 8, np.arange(n) // 80
    x = draws.standard_normal((n, m)) + 0.5 * draws.standard_normal((50, m))[modes]
    if kind == "on a lattice":
        x = x.round()
    elif kind == "class collapse":
        x = draws.standard_normal((5, m))[classes] + 1e-9 * x
    elif kind == "total collapse":
        x = np.ones((n, m))
    elif kind == "far away":
        x = x + 1e5
    elif kind == "duplicates":
        x[n // 2 :] = x[: n // 2]
    with_search, without, sure = _without_search(monkeypatch, x, classes, modes)
    assert torch.equal(with_search, without)
    if kind in ("spread", "duplicates"):
        assert sure > n  # both searches, most of the samples
    if kind in ("class collapse", "total collapse"):
        assert sure < n
