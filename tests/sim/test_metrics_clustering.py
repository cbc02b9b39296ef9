"""Clusterings against SciPy's and scikit-learn's, where distances tie and samples coincide above all; with and without Numba."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import HDBSCAN
from sklearn.mixture import GaussianMixture

from sim import kernels, metrics
from sim.metrics import clustering

KINDS = ["spread", "blobs", "lattice", "corners", "twins", "one point", "line"]


def points(kind: str, seed: int, n: int = 60, m: int = 2) -> np.ndarray:
    draws = np.random.default_rng(seed)
    if kind == "blobs":
        return 3 * draws.normal(size=(4, m))[draws.integers(0, 4, n)] + 0.1 * draws.normal(size=(n, m))
    if kind == "lattice":
        return draws.integers(0, 5, (n, m)) * draws.choice([0.5, 1.0, 2.0])
    if kind == "corners":
        return 3.0 * draws.integers(0, 2, (n, m))
    if kind == "twins":
        return np.repeat(draws.normal(size=(n // 2, m)), 2, axis=0)
    if kind == "one point":
        return np.full((n, m), 0.1)
    if kind == "line":
        return np.arange(n)[:, None] * np.ones((1, m))
    return draws.choice([0.3, 1.0, 4.0]) * draws.normal(size=(n, m))


def hdbscan(x: np.ndarray, smallest: int) -> int:
    """scikit-learn's clusters, those merged that are on one branch of its tree at height 1."""
    fitted = HDBSCAN(min_cluster_size=smallest, allow_single_cluster=True, copy=True).fit(x)
    branch = fitted.dbscan_clustering(1.0, min_cluster_size=smallest)
    highest = {k: branch[fitted.labels_ == k].max() for k in range(fitted.labels_.max() + 1)}
    return max(1, len({highest[k] if highest[k] >= 0 else -1 - k for k in highest}))


@pytest.mark.parametrize("m", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_density_clusters_are_scikit_learns(kind: str, m: int) -> None:
    found = []
    for seed in range(8):
        x = points(kind, seed, n=40 + 7 * seed, m=m)
        for smallest in (2, 3, 8):
            found.append(clustering.density_clusters(x, smallest))
            assert found[-1] == hdbscan(x, smallest), (seed, smallest)
    if kind == "blobs":
        assert len(set(found)) > 1, "the cases must differ"


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_below_the_density_clusters_is_scikit_learns(kind: str) -> None:
    """The same nodes joined at the same heights, up to the rounding of a distance."""
    x = points(kind, 0, m=3)
    for smallest in (2, 9):
        expected = HDBSCAN(min_cluster_size=smallest, copy=True).fit(x)._single_linkage_tree_
        ends, lengths = clustering._spanning_tree(np.ascontiguousarray(x.T), smallest)
        order = np.argsort(lengths)
        joined, _ = clustering._dendrogram(ends[order])
        np.testing.assert_allclose(lengths[order], expected["value"], rtol=1e-14)
        assert joined.tolist() == np.stack([expected["left_node"], expected["right_node"]], 1).tolist()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_density_clusters_of_few_points(n: int) -> None:
    for seed in range(10):
        for x in (points("spread", seed, n), points("lattice", seed, n), points("one point", seed, n)):
            for smallest in range(2, n + 1):
                assert clustering.density_clusters(x, smallest) == hdbscan(x, smallest)


def test_clusters_that_meet_at_the_link_distance_are_two_and_below_it_one() -> None:
    """The core distance of the second of three samples in a row is their step."""
    three = np.array([[0.0], [0.1], [0.2]])
    for gap, clusters in ((1.0, 2), (0.875, 1)):
        x = np.concatenate([three - 0.2, three + gap])
        assert clustering.density_clusters(x, 3) == hdbscan(x, 3) == clusters


@pytest.mark.parametrize("step", [0.5, 1.0, 1.5])
def test_components_at_exactly_the_link_distance(step: float) -> None:
    x = step * np.stack(np.meshgrid(np.arange(4.0), np.arange(5.0)), -1).reshape(-1, 2)
    expected = fcluster(linkage(x, "single"), 1.0, "distance")
    found = clustering.components(x)
    assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == len(set(found)) == len(set(expected))
    assert found.max() + 1 == (1 if step <= 1 else 20)


def scikit_learns_bic(x: np.ndarray, labels: np.ndarray) -> float:
    sizes = np.bincount(labels)
    means = np.stack([x[labels == k].mean(0) for k in range(len(sizes))])
    variances = np.bincount(labels, ((x - means[labels]) ** 2).mean(-1)) / sizes
    mixture = GaussianMixture(
        len(sizes),
        covariance_type="spherical",
        reg_covar=1 / 9,
        max_iter=300,
        weights_init=sizes / len(x),
        means_init=means,
        precisions_init=1 / (variances + 1 / 9),
    )
    return float(mixture.fit(x).bic(x))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("m", [1, 2, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_mixtures_are_scikit_learns(kind: str, m: int) -> None:
    """BIC from the same clusters to 1e-8, and the number that is chosen."""
    for seed in range(2):
        x = points(kind, seed, m=m)
        tree = linkage(x, "ward")
        scores = []
        for k in range(1, 9):
            labels = fcluster(tree, k, "maxclust").astype(np.int64) - 1
            scores.append(scikit_learns_bic(x, labels))
            assert clustering.mixture_bic(x, labels) == pytest.approx(scores[-1], abs=1e-8)
        chosen = clustering.mixture_components(x, k_max=8)
        assert scores[chosen - 1] == pytest.approx(min(scores), abs=1e-8)
        if kind not in ("one point", "corners", "lattice", "twins"):  # no two scores are equal there
            assert chosen == 1 + int(np.argmin(scores))


@pytest.mark.parametrize("n", [2, 3, 9, 20])
@pytest.mark.parametrize("kind", ["spread", "lattice", "corners", "one point"])
def test_a_tree_is_cut_as_scipy_cuts_it(kind: str, n: int) -> None:
    for seed in range(10):
        tree = linkage(points(kind, seed, n), "ward")
        joined, heights = tree[:, :2].astype(np.int64), np.ascontiguousarray(tree[:, 2])
        for k in range(1, min(n, 8) + 1):
            expected = fcluster(tree, k, "maxclust")
            found = clustering._cut(joined, heights, k)
            assert set(found) == set(range(len(set(expected))))
            assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == len(set(expected))


def test_a_mixture_of_no_more_components_than_points() -> None:
    apart = 10.0 * np.arange(3)[:, None]
    assert [clustering.mixture_components(apart, k_max) for k_max in (1, 2, 8)] == [1, 2, 3]
    assert clustering.mixture_components(np.zeros((3, 2)), 8) == 1


def cases() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Small runs of two classes: spread out, on a lattice, in class and in total collapse."""
    classes, modes = np.arange(48) % 2, np.arange(48) // 2 % 3
    draws = np.random.default_rng(0)
    kept = 3.0 * draws.normal(size=(2, 3, 2))[classes, modes] + 0.1 * draws.normal(size=(48, 2))
    lattice = draws.integers(0, 4, (48, 2)).astype(np.float64)
    collapsed = np.array([[0.1, 0.2], [3.0, 1.0]])[classes]
    return [(x, classes, modes) for x in (kept, kept + draws.normal(size=(48, 2)), lattice, collapsed, 0 * collapsed)]


PRINT = """
import json
from sim import kernels
from sim.metrics import evaluate
from tests.sim.test_metrics_clustering import cases
assert not kernels.AVAILABLE
print(json.dumps([evaluate(*case) for case in cases()]))
"""


def test_all_metrics_without_numba(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ImportError('switched off')\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2]), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    end = subprocess.run(
        [sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert end.returncode == 0, end.stderr
    for without, case in zip(json.loads(end.stdout), cases(), strict=True):
        assert without == pytest.approx(metrics.evaluate(*case), rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_light_metrics_by_kernels_and_by_tensors(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several runs with labels of their own, out of range, in any dimension; retrieval bit for bit."""
    draws = np.random.default_rng(0)
    for m in (1, 3, 40):
        x = torch.from_numpy(draws.normal(size=(4, 50, m))).to(dtype)
        x[1] *= 1e20
        x[2] = x[2].round()
        classes, modes = draws.integers(0, 3, (4, 50)), draws.integers(0, 4, (4, 50))
        compiled = metrics.evaluate_runs(x, classes, modes, heavy=False)
        with monkeypatch.context() as without:
            without.setattr(kernels, "AVAILABLE", False)
            tensors = metrics.evaluate_runs(x, classes, modes, heavy=False)
        for one, other in zip(compiled, tensors, strict=True):
            assert one == pytest.approx(other, rel=1e-12, nan_ok=True)
            for name in ("recall_at_1", "recall_at_8", "map_at_r", "r_precision", "class_recall_at_1"):
                assert one[name] == other[name]
