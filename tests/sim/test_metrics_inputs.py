"""What metrics take and refuse: types, sizes of numbers, labels, options; and what happens to a metric that can't be computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

from sim import metrics
from sim.catalogue import METRICS
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.metrics import Options, evaluate, evaluate_runs
from sim.metrics.base import Entry, NotComputable, Runs
from sim.metrics.clustering import components
from sim.problems import build
from sim.training import train

CLASSES = np.repeat([0, 1, 2], 8)
MODES = np.arange(24) % 2
DRAWS = np.random.default_rng(0)
# Quarters of small whole numbers: every type below holds them exactly.
X = (DRAWS.integers(-3, 4, (24, 3)) + 8.0 * np.eye(3)[CLASSES] + 4.0 * MODES[:, None]) / 4
RIGHT = evaluate(X, CLASSES, MODES)

TYPES: list[Callable[[np.ndarray], Any]] = [
    lambda x: x.tolist(),
    lambda x: tuple(map(tuple, x)),
    lambda x: [torch.from_numpy(row) for row in x],
    lambda x: x.astype(">f8"),
    lambda x: x.astype(">f4"),
    lambda x: x.astype("<f2"),
    lambda x: x.astype(np.longdouble),
    lambda x: pd.DataFrame(x),
    lambda x: x[::-1][::-1],
    lambda x: torch.from_numpy(x).half(),
    lambda x: torch.from_numpy(x).bfloat16(),
    lambda x: torch.from_numpy(x).float().requires_grad_(),
]


@pytest.mark.parametrize("made", TYPES)
def test_embeddings_of_any_type(made: Callable[[np.ndarray], Any]) -> None:
    assert evaluate(made(X), CLASSES, MODES) == RIGHT
    assert metrics.within_mean(made(X), CLASSES).item() == RIGHT["within_mean"]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", ">i4", "u2", "u4", "u8", "i8"])
def test_whole_numbers_do_not_overflow(dtype: str) -> None:
    """The differences and their squares are far outside of a byte."""
    low, high = (-128, 127) if dtype == "i1" else (0, 255)
    x = np.array([[low, high], [high, low], [low, low], [high, high]])
    classes = [0, 0, 1, 1]
    assert metrics.within_max(x.astype(dtype), classes).item() == pytest.approx(255 * np.sqrt(2))
    assert evaluate(x.astype(dtype), classes, classes, heavy=False) == pytest.approx(
        evaluate(x.astype(float), classes, classes, heavy=False), nan_ok=True
    )
    if dtype[0] != ">":
        as_tensor = torch.from_numpy(x.astype(dtype))
        assert metrics.within_max(as_tensor, classes).item() == pytest.approx(255 * np.sqrt(2))


LABELS: list[Callable[[np.ndarray], Any]] = [
    lambda c: c.tolist(),
    lambda c: tuple(c),
    lambda c: c.astype(">i8"),
    lambda c: (c - 128).astype("i1"),
    lambda c: c.astype("u8") + np.uint64(2**63 + 5),
    lambda c: torch.from_numpy(c.astype("u8") + np.uint64(2**63 + 5)),
    lambda c: torch.from_numpy(c).to(torch.uint16),
    lambda c: np.array(["ant", "bee", "cat"])[c],
    lambda c: np.array([b"ant", b"bee", b"cat"])[c],
    lambda c: np.array(["ant", "bee", "cat"], dtype=object)[c],
    lambda c: ["é" * (k + 1) for k in c],
    lambda c: pd.Series(c),
    lambda c: pd.Series(np.array(["ant", "bee", "cat"])[c]),
    lambda c: pd.Series(np.array(["ant", "bee", "cat"])[c]).astype("category"),
]


@pytest.mark.parametrize("made", LABELS)
def test_labels_of_any_type(made: Callable[[np.ndarray], Any]) -> None:
    assert evaluate(X, made(CLASSES), made(MODES)) == RIGHT
    both = evaluate_runs([X, X], made(CLASSES), made(MODES))
    assert both[0] == both[1] == pytest.approx(RIGHT)


def test_truth_values_as_labels() -> None:
    assert evaluate(X, CLASSES > 0, MODES > 0) == evaluate(X, (CLASSES > 0).astype(int), MODES)
    assert evaluate(X, torch.from_numpy(CLASSES > 0), MODES) == evaluate(X, CLASSES > 0, MODES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluate([[1.0, 2.0], [3.0]], [0, 1], [0, 1]), "embeddings: got 'list'; allowed: a rectangular array"),
        (lambda: evaluate(None, [0, 1], [0, 1]), "embeddings: got dtype\\('O'\\)"),
        (lambda: evaluate([["a"], ["b"]], [0, 1], [0, 1]), "embeddings: got dtype\\('<U1'\\); allowed: real numbers"),
        (lambda: evaluate(X.astype(object), CLASSES, MODES), "embeddings: got dtype\\('O'\\)"),
        (lambda: evaluate(X.astype(complex), CLASSES, MODES), "embeddings: got dtype\\('complex128'\\)"),
        (lambda: evaluate(X.astype("m8[s]"), CLASSES, MODES), "embeddings: got dtype"),
        (lambda: evaluate(np.ma.masked_less(X, 0), CLASSES, MODES), "embeddings: got 'MaskedArray'"),
        (lambda: evaluate(torch.from_numpy(X).to_sparse(), CLASSES, MODES), "embeddings: got torch.sparse_coo"),
        (lambda: evaluate(np.longdouble("1e4000") * np.ones((24, 3)), CLASSES, MODES), "embeddings: got inf"),
        (
            lambda: evaluate(X, [0.0, float("nan")] * 12, MODES),
            "classes: got dtype\\('float64'\\); allowed: integer or",
        ),
        (lambda: evaluate(X, ["a", float("nan")] * 12, MODES), "classes: got dtype\\('O'\\)"),
        (lambda: evaluate(X, CLASSES, pd.Series(["a", None] * 12)), "modes: got dtype\\('O'\\)"),
        (lambda: evaluate(X, [1, "1"] * 12, MODES), "classes: got dtype\\('O'\\)"),
        (lambda: evaluate(X, torch.rand(24), MODES), "classes: got torch.float32"),
        (lambda: evaluate(X, [[0], [0, 1]], MODES), "classes: got 'list'"),
        (lambda: evaluate(X, ["one"] * 24, MODES), "classes: got \\['one'\\]; allowed: at least two"),
        (lambda: Options(ks=3), "ks: got 3; allowed: one or more integers in a sequence"),
        (lambda: Options(ks="12"), "ks: got '12'"),
        (lambda: Options(ks=(True,)), "ks: got True"),
        (lambda: Options(ks=(1.0,)), "ks: got 1.0"),
        (lambda: Options(ks=(10**30,)), "ks: got 1000"),
        (lambda: Options(scale="wide"), "scale: got 'wide'"),
        (lambda: Options(scale=float("nan")), "scale: got nan"),
        (lambda: Options(link_distance="0"), "link_distance: got '0'"),
        (lambda: Options(min_fraction=None), "min_fraction: got None"),
        (lambda: Options(k_max=2.5), "k_max: got 2.5"),
        (lambda: Options(max_bytes=True), "max_bytes: got True"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_ks_of_numpy_and_lists() -> None:
    for ks in ([1, 3], np.array([1, 3]), (np.int64(1), np.int32(3)), range(1, 4, 2)):
        assert Options(ks=ks).ks == (1, 3)  # type: ignore[arg-type]


LENGTHS = {name for name in METRICS if METRICS[name].degree == 1}


@pytest.mark.parametrize("exponent", [-1060, -665, -300, 300, 500, 1020])
def test_any_size_of_numbers(exponent: int) -> None:
    """2**-1060 is subnormal; from 2**512 on squares overflow, as from 2**-538 down they vanish."""
    # Whole numbers: even their subnormal multiples are exact.
    x, factor = 4 * X, 2.0**exponent
    right = evaluate(x, CLASSES, MODES)
    values = evaluate(x * factor, CLASSES, MODES)
    assert {name for name in LENGTHS if name in right} == LENGTHS and len(LENGTHS) == 9
    for name, value in right.items():
        expected = value * factor if name in LENGTHS else value
        assert values[name] == pytest.approx(expected, rel=1e-9, abs=5e-324, nan_ok=True), name


def test_a_run_out_of_range_changes_no_bit_of_the_others() -> None:
    ordinary = evaluate_runs(X[None], CLASSES, MODES, heavy=False)[0]
    beside = evaluate_runs(np.stack([X * 1e200, X, X * 1e-200, 0 * X]), CLASSES, MODES, heavy=False)
    assert beside[1] == ordinary
    assert beside[0]["relative_spread"] == pytest.approx(beside[2]["relative_spread"], rel=1e-12)
    assert np.isnan(beside[3]["relative_spread"])


def test_an_absolute_link_distance_at_any_size_of_numbers() -> None:
    x = np.array([[0.0], [1.0], [3.0], [20.0]])
    for factor in (1.0, 2.0**600, 2.0**-600):
        for link, pieces in ((0.5, 1), (1.0, 1), (2.5, 1)):
            options = Options(link_distance=link * factor)
            labels = metrics.mode_nmi(x * factor, [0, 0, 0, 1], [0, 0, 1, 0], options=options)
            assert labels.item() == metrics.mode_nmi(x, [0, 0, 0, 1], [0, 0, 1, 0], options=Options(link_distance=link))
            assert metrics.subclusters_linkage(x * factor, [0, 0, 0, 1], options=options).item() == pieces


def test_a_metric_that_does_not_say_how_it_scales_sees_the_numbers_as_they_are() -> None:
    entry = Entry(lambda runs: runs.x.amax((1, 2)), lambda options: ["largest"], False)
    with METRICS.replaced("largest", entry):
        assert evaluate(X * 2.0**600, CLASSES, MODES, heavy=False)["largest"] == X.max() * 2.0**600


@pytest.mark.parametrize("kind", ["blobs", "dust", "one piece"])
def test_components_are_the_single_linkage_clusters(kind: str) -> None:
    spread = {"blobs": 3.0, "dust": 100.0, "one piece": 0.3}[kind]
    points = spread * np.random.default_rng(0).normal(size=(80, 2))
    found = components(points)
    expected = fcluster(linkage(points, "single"), 1.0, "distance")
    pairs = {(a, b) for a, b in zip(found.tolist(), expected.tolist(), strict=True)}
    assert len(pairs) == len(set(found)) == len(set(expected))
    assert {"blobs": 1 < len(pairs) < 80, "dust": len(pairs) > 70, "one piece": len(pairs) == 1}[kind]


def two_sizes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two runs of 60 samples; the largest class has 30 in the first and 50 in the second."""
    rng = np.random.default_rng(0)
    classes = np.stack([np.repeat([0, 1], 30), np.repeat([0, 1], [50, 10])])
    return rng.normal(size=(2, 60, 2)) + 20 * classes[..., None], classes, np.tile(np.arange(60) % 3, (2, 1))


def test_a_class_too_large_to_cluster_is_nan_with_a_reason() -> None:
    x, classes, modes = two_sizes()
    free = evaluate_runs(x, classes, modes, options=Options(link_distance=0.5))
    # The mixture needs 4 n (n - 1) bytes: 3,480 for 30 samples, 9,800 for 50.
    reason = "subclusters_gmm is NaN where it can't be computed: max_bytes: got 5000; allowed: at least 9800 to cluster"
    with pytest.warns(RuntimeWarning, match=reason) as caught:
        bounded = evaluate_runs(x, classes, modes, options=Options(link_distance=0.5, max_bytes=5000))
    assert len(caught) == 1
    assert np.isnan(bounded[1].pop("subclusters_gmm")) and not np.isnan(free[1].pop("subclusters_gmm"))
    for run in range(2):
        assert bounded[run] == pytest.approx(free[run], nan_ok=True)
    with pytest.raises(NotComputable, match="max_bytes: got 3000; allowed: at least 3480 to cluster a class of 30"):
        metrics.subclusters_gmm(x[0], classes[0], options=Options(link_distance=0.5, max_bytes=3000))


def test_linkage_and_hdbscan_take_classes_of_any_size() -> None:
    x, classes, modes = two_sizes()
    for counter in (
        metrics.subclusters_linkage,
        metrics.subclusters_hdbscan,
        metrics.mode_purity,
        metrics.mode_nmi,
        metrics.mode_ari,
    ):
        bounded = counter(x, classes, modes, options=Options(link_distance=0.5, max_bytes=1))
        assert torch.equal(bounded, counter(x, classes, modes, options=Options(link_distance=0.5)))


def test_a_run_ends_well_with_a_metric_that_cannot_be_computed() -> None:
    def never(runs: Runs) -> Tensor:
        raise NotComputable("max_bytes", 1, "more")

    config, problem = RunConfig(steps=2, checkpoints=1), build("rings", 0, samples_per_mode=10)
    reason = "subclusters_gmm is NaN where it can't be computed: max_bytes: got 1"
    entry = Entry(never, lambda options: ["subclusters_gmm"], True)
    with METRICS.replaced("subclusters_gmm", entry), pytest.warns(RuntimeWarning, match=reason):
        (result,) = train([config], [problem])
    last = result.rows[-1]
    assert result.status == "done" and last["step"] == 2
    assert np.isnan(last["subclusters_gmm"]) and not np.isnan(last["subclusters_hdbscan"])
