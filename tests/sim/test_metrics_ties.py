"""Ties: values against exact arithmetic in any number of dimensions, and bit for bit whatever order and way they come by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch

from sim import kernels, metrics
from sim.metrics import Options, pairs, search
from sim.metrics import kernels as loops
from sim.metrics.base import DEFAULT

OPTIONS = Options(ks=(1, 3))


def brute_force(squares: np.ndarray, labels: np.ndarray) -> list[float]:
    """Recall at 1 and 3, MAP@R and R-precision, ties averaged over all orders, from the squared distances of all pairs."""
    scores = []
    for q in range(len(labels)):
        others = np.flatnonzero(np.arange(len(labels)) != q)
        relevant = int((labels[others] == labels[q]).sum())
        if relevant == 0:
            continue
        miss = {1: Fraction(1), 3: Fraction(1)}
        precision, average, first, before = Fraction(0), Fraction(0), 0, 0
        for value in np.unique(squares[q, others]):
            tied = others[squares[q, others] == value]
            size, hits = len(tied), int((labels[tied] == labels[q]).sum())
            for i in range(size):
                rank, chance = first + i + 1, Fraction(hits, size)
                if rank <= relevant:
                    precision += chance / relevant
                    average += chance * (before + 1 + Fraction(i * (hits - 1), max(size - 1, 1))) / rank / relevant
                for k in (1, 3):
                    if rank <= k:
                        miss[k] *= Fraction(max(size - hits - i, 0), size - i)
            first, before = first + size, before + hits
        scores.append([1 - miss[1], 1 - miss[3], average, precision])
    return [float(sum(column) / len(scores)) for column in zip(*scores, strict=True)]


def retrieval(x: np.ndarray, labels: np.ndarray, options: Options = OPTIONS) -> torch.Tensor:
    """Recall at the ks, MAP@R, R-precision, and Recall@1 of the same labels as classes: (..., 5)."""
    recalls = metrics.recall_at_k(x, labels, options=options)
    others = [f(x, labels, options=options) for f in (metrics.map_at_r, metrics.r_precision, metrics.class_recall_at_1)]
    return torch.cat([recalls, torch.stack(others, -1)], -1)


def points(kind: str, n: int, m: int) -> np.ndarray:
    draws = np.random.default_rng(m)
    if kind == "codes":
        return draws.choice([-1, 1], (n, m))
    if kind == "normalised codes":
        return draws.choice([-1, 1], (n, m)) / np.sqrt(m)
    if kind == "counts":
        return draws.poisson(0.02, (n, m))
    if kind == "lattice far away":
        return 10**6 + draws.integers(0, 2, (n, m))
    if kind == "a last digit apart":  # far within the rounding error of a product
        return 1 + draws.integers(0, 3, (n, m)) * 2.0**-52
    if kind == "collapsed":
        return np.full((n, m), 0.1)
    return draws.standard_normal((n, m)).astype(np.float32)


KINDS = ["codes", "normalised codes", "counts", "lattice far away", "a last digit apart", "collapsed", "spread"]


@pytest.mark.parametrize("m", [1, 2, 64, 65, 96, 128, 300])
@pytest.mark.parametrize("kind", ["codes", "counts", "lattice far away"])
def test_whole_numbers_against_exact_arithmetic(kind: str, m: int) -> None:
    x = points(kind, 120, m)
    labels = np.random.default_rng(0).integers(0, 12, 120)
    whole = x.astype(np.int64)
    squares = ((whole[:, None] - whole[None]) ** 2).sum(-1)
    expected = brute_force(squares, labels)
    np.testing.assert_allclose(retrieval(x, labels), [*expected, expected[0]], rtol=0, atol=1e-13)


def test_codes_normalised_to_length_one_tie_as_the_codes_do() -> None:
    labels = np.random.default_rng(0).integers(0, 12, 150)
    assert torch.equal(
        retrieval(points("normalised codes", 150, 96), labels), retrieval(points("codes", 150, 96), labels)
    )


def test_a_distance_within_rounding_of_another_is_not_a_tie() -> None:
    """Sums of squares a last digit apart: the product can't tell them from each other, or from 0."""
    x = points("a last digit apart", 100, 100)
    labels = np.arange(100) % 10
    squares = np.zeros((100, 100))
    for k in range(100):
        squares += (x[:, None, k] - x[None, :, k]) ** 2
    expected = brute_force(squares, labels)
    np.testing.assert_allclose(retrieval(x, labels), [*expected, expected[0]], rtol=0, atol=1e-13)


@contextmanager
def way(name: str) -> Iterator[None]:
    """One of the ways to the neighbours, whatever the size."""
    changed = pytest.MonkeyPatch()
    changed.setattr(kernels, "AVAILABLE", kernels.AVAILABLE and name.startswith("compiled"))
    changed.setattr(loops, "BY_COUNTING", 0 if name == "compiled, by search" else loops.BY_COUNTING)
    changed.setattr(search, "FROM", 10 if name == "faiss" else 10**9)
    changed.setattr(search, "DIRECT_UP_TO", 10**9 if name == "sums" else 0)
    if name == "no faiss":
        changed.setattr(search, "FROM", 10)
        changed.setattr(search, "find_spec", lambda package: None)
    if name == "small blocks":
        changed.setattr(pairs, "CHUNK", 500)
    with changed.context():
        try:
            yield
        finally:
            changed.undo()


@pytest.mark.parametrize("m", [2, 65, 128])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_gives_the_same_digits(kind: str, m: int) -> None:
    """Order of samples, kernels, faiss or not, product or sums, blocks, memory bound, runs beside: not one bit changes."""
    n = 90
    x, labels = points(kind, n, m), np.random.default_rng(1).integers(0, 9, n)
    found = retrieval(x, labels)
    order = np.random.default_rng(2).permutation(n)
    for name in ("compiled", "compiled, by search", "faiss", "no faiss", "product", "sums", "small blocks"):
        with way(name):
            assert torch.equal(retrieval(x, labels), found), name
            assert torch.equal(retrieval(x[order], labels[order]), found), name
    for max_bytes in (1, 10**5):
        assert torch.equal(retrieval(x, labels, Options(ks=(1, 3), max_bytes=max_bytes)), found)
    batch = np.stack([points("spread", n, m), x, x[order]])
    beside = retrieval(batch, np.stack([labels * 0 + np.arange(n) // 45, labels, labels[order]]))
    assert torch.equal(beside[1], found) and torch.equal(beside[2], found)


def test_total_collapse_stays_within_the_memory_bound() -> None:
    """Everybody is tied with everybody; a block is as large as ever."""
    x = torch.full((1, 400, 100), 0.1, dtype=torch.float64)
    blocks = list(search.neighbours(x, 3, max_bytes=10**6))
    assert sum(len(found.rows) for found in blocks) == 400
    assert max(found.candidates.numel() * 8 for found in blocks) <= 10**6


def test_squares_are_summed_from_the_first_dimension_to_the_last() -> None:
    draws = np.random.default_rng(0)
    a, b = draws.standard_normal((2, 5, 37)), draws.standard_normal((2, 4, 37))
    found = pairs.all_squares(torch.from_numpy(a), torch.from_numpy(b))
    for r, i, j in np.ndindex(2, 5, 4):
        total = 0.0
        for u, v in zip(a[r, i].tolist(), b[r, j].tolist(), strict=True):
            total += (u - v) * (u - v)
        assert found[r, i, j] == total


def exact_ncc(x: np.ndarray, classes: np.ndarray) -> float:
    means = {
        c: [Fraction(int(v), int((classes == c).sum())) for v in x[classes == c].sum(0)] for c in np.unique(classes)
    }
    right = Fraction(0)
    for point, own in zip(x, classes, strict=True):
        squares = {c: sum((int(v) - w) ** 2 for v, w in zip(point, mean, strict=True)) for c, mean in means.items()}
        nearest = [c for c in means if squares[c] == min(squares.values())]
        right += Fraction(int(own in nearest), len(nearest))
    return float(right / len(x))


@pytest.mark.parametrize("m", [1, 2, 5, 70])
@pytest.mark.parametrize("offset", [0, 10**5])
def test_ties_between_class_means_against_fractions(m: int, offset: int) -> None:
    """Means in thirds and sevenths are no double-precision numbers; a sample half way between two is tied all the same."""
    draws = np.random.default_rng(m)
    classes = np.repeat([0, 1, 2, 3], [3, 6, 7, 12])
    x = np.zeros((28, m), dtype=np.int64)
    x[:, : min(m, 3)] = draws.integers(0, 3, (28, min(m, 3)))
    x[22:] = x[16:22]  # equal means up to the order of a sum
    x[3:9] = np.repeat(x[:3], 2, axis=0)
    expected = exact_ncc(x, classes)
    for _ in range(5):
        order = draws.permutation(28)
        assert metrics.ncc_accuracy(x[order] + offset, classes[order]).item() == pytest.approx(expected, abs=1e-13)
        found = metrics.ncc_accuracy(x[order] * 0.1 + offset, classes[order]).item()
        assert found == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("m", [1, 3, 80])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_class_means_that_are_equal_on_paper_coincide(m: int, offset: float) -> None:
    rng = np.random.default_rng(0)
    one = 0.1 * rng.integers(0, 5, (7, m)) + offset
    x, classes = np.concatenate([one, one[::-1]]), np.repeat([0, 1], 7)
    for _ in range(5):
        order = rng.permutation(14)
        values = metrics.evaluate(x[order], classes[order], classes[order], heavy=False)
        assert values["pi_inter"] == 0 and values["cdnv"] == values["pi_ratio"] == np.inf
        assert np.isnan(values["nc1"]) and np.isnan(values["nc2"])
        assert values["ncc_accuracy"] == 0.5


@pytest.mark.parametrize("step", [0.1, 0.3, 0.7, 1 / 3, 1.1])
def test_gaps_as_wide_as_the_link_distance_are_none_in_any_order(step: float) -> None:
    """Samples 0.1 apart, link distance 0.1: one piece, though 0.3 - 0.2 < 0.1 < 0.8 - 0.7 in double precision."""
    x = np.concatenate([np.arange(11) * step, 50 + np.arange(11) * step])[:, None]
    classes = np.repeat([0, 1], 11)
    counters = (metrics.subclusters_linkage, metrics.subclusters_hdbscan, metrics.mode_purity)  # dust isn't pure
    for counter in counters:
        for seed in range(5):
            order = np.random.default_rng(seed).permutation(22)
            assert counter(x[order], classes[order], options=Options(link_distance=step)).item() == 1


@pytest.mark.parametrize("kind", ["codes", "spread"])
def test_clusterings_do_not_depend_on_the_order(kind: str) -> None:
    x = np.concatenate([points(kind, 60, 6), points(kind, 60, 6)[::-1] + 3])
    classes, modes = np.repeat([0, 1], 60), np.arange(120) % 3
    names = [name for name in metrics.METRICS if metrics.METRICS[name].heavy]
    assert len(names) == 6
    found = [getattr(metrics, name)(x, classes, modes, options=DEFAULT) for name in names]
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(120)
        again = [getattr(metrics, name)(x[order], classes[order], modes[order], options=DEFAULT) for name in names]
        assert found == again
