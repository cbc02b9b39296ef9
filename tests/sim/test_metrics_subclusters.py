"""Sub-cluster counters judged on known modes, including where they are known to fail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sim import metrics
from sim.metrics import Options

COUNTERS = [metrics.subclusters_linkage, metrics.subclusters_hdbscan, metrics.subclusters_gmm]
LINK = Options(link_distance=0.2)


def count(counter: metrics.Metric, points: np.ndarray, options: Options = LINK) -> float:
    """Sub-clusters of one class; the second class is a single point and counts 1."""
    x = np.concatenate([points, np.full((1, points.shape[1]), 50.0)])
    classes = np.r_[np.zeros(len(points), dtype=int), 1]
    return 2 * counter(x, classes, options=options).item() - 1


def circle(k: int) -> np.ndarray:
    """``k`` points at distance 1 from their neighbours on a circle."""
    angle = 2 * np.pi * np.arange(k) / k
    radius = 0 if k == 1 else 1 / (2 * np.sin(np.pi / k))
    return radius * np.c_[np.cos(angle), np.sin(angle)]


def blobs(k: int, deviation: float, n: int = 200, m: int = 2) -> np.ndarray:
    centres = np.pad(circle(k), ((0, 0), (0, m - 2)))
    return centres[np.arange(n) % k] + deviation * np.random.default_rng(k).normal(size=(n, m))


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("deviation", [0.01, 0.08])
def test_separate_blobs_are_counted(counter: metrics.Metric, k: int, deviation: float) -> None:
    assert count(counter, blobs(k, deviation)) == k


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_few_samples(counter: metrics.Metric, k: int) -> None:
    assert count(counter, blobs(k, 0.03, n=12)) == k


@pytest.mark.parametrize("counter", COUNTERS)
def test_one_piece_is_one(counter: metrics.Metric) -> None:
    rng = np.random.default_rng(0)
    ball = rng.uniform(-0.2, 0.2, size=(400, 2))
    assert count(counter, ball[(ball**2).sum(1) < 0.04]) == 1
    assert count(counter, 0.3 * rng.normal(size=(200, 2))) == 1


@pytest.mark.parametrize("counter", COUNTERS)
def test_the_scale_decides(counter: metrics.Metric) -> None:
    """Two points 0.25 apart are two at link distance 0.2, and one at 0.4; so are they when all lengths grow."""
    pair = np.repeat([[0.0, 0.0], [0.25, 0.0]], 20, axis=0)
    assert count(counter, pair) == 2
    assert count(counter, pair, Options(link_distance=0.4)) == 1
    assert count(counter, 1000 * pair, Options(link_distance=200)) == 2


@pytest.mark.parametrize("counter", COUNTERS[:2])
def test_clusters_below_the_link_distance_are_merged(counter: metrics.Metric) -> None:
    """Two groups of four tight clusters 0.1 apart: eight at a link distance of 0.05, two at 0.2."""
    centres = (circle(2)[:, None] + 0.1 * circle(4)[None]).reshape(-1, 2)
    points = np.repeat(centres, 25, axis=0) + 0.003 * np.random.default_rng(0).normal(size=(200, 2))
    assert count(counter, points, Options(link_distance=0.05)) == 8
    assert count(counter, points) == 2


def test_where_the_mixture_fails() -> None:
    """A ring is one piece, but no Gaussian."""
    angle = np.linspace(0, 2 * np.pi, 200)
    ring = 0.5 * np.c_[np.cos(angle), np.sin(angle)]
    assert [count(counter, ring) for counter in COUNTERS[:2]] == [1, 1]
    assert count(metrics.subclusters_gmm, ring) > 3


def test_where_linkage_fails() -> None:
    """A thin bridge joins two blobs; in 32 dimensions neighbours are beyond the link distance, and all is dust."""
    bridge = np.c_[np.linspace(-0.5, 0.5, 12), np.zeros(12)]
    bridged = np.concatenate([blobs(2, 0.05), bridge])
    assert count(metrics.subclusters_linkage, bridged) == 1
    assert count(metrics.subclusters_hdbscan, bridged) == 2
    wide = blobs(4, 0.05, m=32)
    assert count(metrics.subclusters_linkage, wide) == 1
    assert [count(counter, wide) for counter in COUNTERS[1:]] == [4, 4]


def components(points: np.ndarray, link: float) -> np.ndarray:
    """Connected components of the graph of pairs at most ``link`` apart, by flooding."""
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) <= link
    labels = np.full(len(points), -1)
    for start in range(len(points)):
        queue = [start] if labels[start] < 0 else []
        while queue:
            i = queue.pop()
            labels[i] = start
            queue += [j for j in np.flatnonzero(near[i]) if labels[j] < 0]
    return labels


@pytest.mark.parametrize("link", [0.3, 0.4, 0.5])
def test_linkage_and_agreement_against_flooding(link: float) -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(size=(60, 2)), 30 + rng.normal(size=(40, 2))])
    classes, modes = np.repeat([3, 1], [60, 40]), rng.integers(0, 3, 100)
    options = Options(link_distance=link, min_fraction=0.06)
    counts, purity, nmi, ari = [], [], [], []
    for c in (1, 3):
        own = classes == c
        labels, true = components(x[own], link), modes[own]
        counted = [k for k in np.unique(labels) if (labels == k).sum() >= max(2, np.ceil(0.06 * own.sum()))]
        counts.append(len(counted))
        purity.append(sum(np.bincount(true[labels == k]).max() for k in counted) / own.sum())
        nmi.append(normalized_mutual_info_score(true, labels))
        ari.append(adjusted_rand_score(true, labels))
    assert min(counts) >= 1 and max(counts) > 1, "the case must be a real one"
    assert metrics.subclusters_linkage(x, classes, options=options).item() == np.mean(counts)
    assert metrics.mode_purity(x, classes, modes, options=options).item() == pytest.approx(np.mean(purity))
    assert metrics.mode_nmi(x, classes, modes, options=options).item() == pytest.approx(np.mean(nmi))
    assert metrics.mode_ari(x, classes, modes, options=options).item() == pytest.approx(np.mean(ari))


AGREEMENT: list[Callable[..., torch.Tensor]] = [metrics.mode_purity, metrics.mode_nmi, metrics.mode_ari]


def agreement(points: np.ndarray, modes: np.ndarray) -> list[float]:
    """Of one class, given a second one that is a copy of it far away."""
    x = np.concatenate([points, points + 50])
    classes = np.repeat([0, 1], len(points))
    return [f(x, classes, np.tile(modes, 2), options=LINK).item() for f in AGREEMENT]


def test_agreement_on_known_cases() -> None:
    four = np.arange(40) % 4
    assert agreement(blobs(4, 0.02, n=40), four) == [1, 1, 1]
    assert agreement(np.zeros((40, 2)), four) == pytest.approx([0.25, 0, 0], abs=1e-12)
    assert agreement(np.zeros((40, 2)), 0 * four) == [1, 1, 1]
    merged = agreement(blobs(4, 0.02, n=40), four // 2)  # pure, but each mode is in two pieces
    assert merged[0] == 1 and merged[1] == pytest.approx(2 / 3) and 0 < merged[2] < 1
    assert agreement(blobs(4, 0.02, n=40), 0 * four) == [1, 0, 0]


def test_dust_is_not_pure() -> None:
    """Every sample a piece of its own: only one of 40 counts, and the pieces say nothing of the modes."""
    dust = np.arange(40.0)[:, None] * [1, 0]
    purity, nmi, ari = agreement(dust, np.arange(40) % 2)
    assert purity == pytest.approx(1 / 40)
    assert ari == 0
    assert nmi == pytest.approx(2 * np.log(2) / (np.log(2) + np.log(40)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collapse_counts_one(dtype: torch.dtype) -> None:
    """Class collapse, total collapse, and total collapse up to single-precision rounding."""
    generator = torch.Generator().manual_seed(0)
    classes, modes = torch.arange(40) % 2, torch.arange(40) // 2 % 4
    one_ulp = torch.randint(0, 2, (40, 3), generator=generator) * 2.0**-23
    for x in (classes[:, None] * torch.ones(3), torch.full((40, 3), 0.1), 1 + one_ulp):
        values = metrics.evaluate(x.to(dtype), classes, modes)
        assert [values[f"subclusters_{kind}"] for kind in ("linkage", "hdbscan", "gmm")] == [1, 1, 1]
        assert (values["mode_purity"], values["mode_ari"]) == pytest.approx((0.25, 0), abs=1e-12)
        assert values["mode_nmi"] == pytest.approx(0, abs=1e-12)


def test_relative_scale_is_that_of_the_between_class_distance() -> None:
    """Pieces 1 apart, classes 4 apart: two pieces at scale 0.2 (link 0.8 or so), one at scale 0.3."""
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0], [1.0, 4.0]]).repeat(10, 0)
    classes = np.repeat([0, 1], 20)
    between = metrics.between_mean(x, classes).item()
    for counter in COUNTERS:
        assert counter(x, classes, options=Options(scale=0.9 / between)).item() == 2
        assert counter(x, classes, options=Options(scale=1.3 / between)).item() == 1
    assert metrics.subclusters_linkage(x, classes, options=Options(scale=1.0001 / between)).item() == 1
    assert metrics.subclusters_linkage(x, classes, options=Options(scale=0.9999 / between)).item() == 2


def test_a_single_sample_is_no_sub_cluster() -> None:
    """However small the share that counts: five of six samples are one piece, the sixth lies alone."""
    x = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 50.0, 100.0, 100.1, 100.2, 100.3, 100.4, 100.5])[:, None]
    classes = np.repeat([0, 1], 6)
    assert float(metrics.subclusters_linkage(x, classes, options=Options(link_distance=1.0, min_fraction=0.01))) == 1.0
