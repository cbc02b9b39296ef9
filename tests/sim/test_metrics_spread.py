"""Spread, spectrum and neural collapse against the formulas written out in loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from sim import metrics

# Imbalanced on purpose: class 9 has one mode, class 4 one sample, and mode (7, 5) one sample.
CLASSES = np.array([7] * 6 + [2] * 4 + [9] * 3 + [4])
MODES = np.array([0, 0, 1, 1, 1, 5] + [1, 1, 0, 0] + [3] * 3 + [0])


def sample(m: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(CLASSES), m)) + 2 * rng.normal(size=(10, m))[CLASSES]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).sum()))


def loops(x: np.ndarray, classes: np.ndarray, modes: np.ndarray) -> dict[str, float]:
    """Every cheap metric but retrieval, from its definition."""
    n, m = x.shape
    pairs = list(combinations(range(n), 2))
    within = [distance(x[i], x[j]) for i, j in pairs if classes[i] == classes[j]]
    between = [distance(x[i], x[j]) for i, j in pairs if classes[i] != classes[j]]
    members = {c: np.flatnonzero(classes == c) for c in np.unique(classes)}
    mode_members = {(c, k): np.flatnonzero((classes == c) & (modes == k)) for c, k in zip(classes, modes, strict=True)}
    mu = {c: x[i].mean(0) for c, i in members.items()}
    mode_mu = {key: x[i].mean(0) for key, i in mode_members.items()}
    k = len(members)

    def mean_pair(points: list[np.ndarray]) -> float:
        return float(np.mean([distance(a, b) for a, b in combinations(points, 2)]))

    of_class = [mean_pair(list(x[i])) for i in members.values() if len(i) > 1]
    of_mode = [mean_pair(list(x[i])) for i in mode_members.values() if len(i) > 1]
    mode_means = {c: [v for (d, _), v in mode_mu.items() if d == c] for c in members}
    gaps = [mean_pair(v) for v in mode_means.values() if len(v) > 1]
    square = sum(distance(x[i], mu[classes[i]]) ** 2 for i in range(n))
    square_modes = sum(distance(x[i], mode_mu[classes[i], modes[i]]) ** 2 for i in range(n))
    variance = {c: float(np.mean([distance(x[i], mu[c]) ** 2 for i in ids])) for c, ids in members.items()}

    centres = np.stack(list(mu.values()))
    about = centres - centres.mean(0)
    s_w = sum(np.outer(x[i] - mu[classes[i]], x[i] - mu[classes[i]]) for i in range(n)) / n
    s_b = about.T @ about / k
    gram = about @ about.T
    simplex = (np.eye(k) - 1 / k) / np.sqrt(k - 1)
    nearest = [min(mu, key=lambda c, i=i: distance(x[i], mu[c])) for i in range(n)]

    ranks, ratios = [], []
    for c, ids in members.items():
        if len(ids) > 1:
            eigenvalues = np.linalg.svd(x[ids] - mu[c], compute_uv=False) ** 2
            share = eigenvalues[eigenvalues > 1e-12 * eigenvalues.max()] / eigenvalues.sum()
            ranks.append(np.exp(-(share * np.log(share)).sum()))
            ratios.append(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)[: min(m, n - 1)]
    singular = np.maximum(singular, 1e-6 * singular.max())
    uniform = 1 / len(singular)

    return {
        "within_mean": np.mean(within),
        "within_rms": np.sqrt(np.mean(np.square(within))),
        "within_max": max(within),
        "between_mean": np.mean(between),
        "relative_spread": np.mean(within) / np.mean(between),
        "global_spread": np.sqrt(np.mean([distance(p, x.mean(0)) ** 2 for p in x])),
        "mode_spread": np.mean(of_mode),
        "mode_gap": np.mean(gaps),
        "mode_separation": np.mean(gaps) / np.mean(between),
        "mode_variance_fraction": 1 - square_modes / square,
        "pi_intra": np.mean(of_class),
        "pi_inter": mean_pair(list(mu.values())),
        "pi_ratio": np.mean(of_class) / mean_pair(list(mu.values())),
        "effective_rank": np.mean(ranks),
        "participation_ratio": np.mean(ratios),
        "rho": sum(uniform * np.log(uniform / s) for s in singular / singular.sum()),
        "nc1": np.trace(s_w @ np.linalg.pinv(s_b, rcond=1e-12)) / k,
        "nc2": np.linalg.norm(gram / np.linalg.norm(gram) - simplex),
        "cdnv": np.mean(
            [(variance[a] + variance[b]) / (2 * distance(mu[a], mu[b]) ** 2) for a, b in combinations(mu, 2)]
        ),
        "ncc_accuracy": np.mean([a == b for a, b in zip(nearest, classes, strict=True)]),
    }


@pytest.mark.parametrize("m", [1, 2, 5, 20, 70])
def test_against_loops(m: int) -> None:
    """Below and above as many dimensions as samples, and beyond 64, where distances come from a matrix product."""
    x = sample(m)
    values = metrics.evaluate(x, CLASSES, MODES, heavy=False)
    expected = loops(x, CLASSES, MODES)
    assert {key: values[key] for key in expected} == pytest.approx(expected, rel=1e-9, abs=1e-7)


def test_single_precision_input_is_computed_in_double() -> None:
    x = sample(3).astype(np.float32)
    values = metrics.evaluate(x, CLASSES, MODES, heavy=False)
    expected = loops(x.astype(np.float64), CLASSES, MODES)
    assert {key: values[key] for key in expected} == pytest.approx(expected, rel=1e-9)


def test_class_collapse() -> None:
    corners = np.array([[0.0, 0.0], [3.0, 4.0]])
    classes = np.array([0, 0, 0, 1, 1])
    values = metrics.evaluate(corners[classes], classes, np.array([0, 1, 1, 0, 1]), heavy=False)
    zero = "within_mean within_rms within_max relative_spread mode_spread mode_gap mode_separation pi_intra pi_ratio"
    zero += " effective_rank participation_ratio nc1 cdnv"
    assert {key: values[key] for key in zero.split()} == dict.fromkeys(zero.split(), 0.0)
    assert values["between_mean"] == values["pi_inter"] == 5.0
    assert values["global_spread"] == pytest.approx(5 * np.sqrt(0.6 * 0.4))
    assert values["ncc_accuracy"] == 1.0
    assert values["nc2"] == pytest.approx(0.0, abs=1e-7)
    assert np.isnan(values["mode_variance_fraction"])
    # One direction of two is left: shares 1 and 1e-6, so KL = -log 2 - log(1e-6) / 2.
    assert values["rho"] == pytest.approx(-np.log(2) - np.log(1e-6) / 2, rel=1e-5)


@pytest.mark.parametrize("m", [2, 70])
def test_total_collapse(m: int) -> None:
    """0.1 is not a dyadic number, so means computed without care would leave rounding behind."""
    values = metrics.evaluate(np.full((len(CLASSES), m), 0.1), CLASSES, MODES, heavy=False)
    zero = "within_mean within_rms within_max between_mean global_spread mode_spread mode_gap pi_intra pi_inter"
    zero += " effective_rank participation_ratio"
    assert {key: values[key] for key in zero.split()} == dict.fromkeys(zero.split(), 0.0)
    undefined = "relative_spread mode_separation mode_variance_fraction pi_ratio rho nc1 nc2 cdnv"
    assert [key for key in undefined.split() if not np.isnan(values[key])] == []
    assert values["ncc_accuracy"] == pytest.approx(1 / 4)


def test_total_and_class_collapse_differ_in_global_spread_only_of_the_spreads() -> None:
    classes = np.array([0, 0, 1, 1])
    apart = np.array([[0.0], [0.0], [2.0], [2.0]])
    assert metrics.within_mean(apart, classes).item() == metrics.within_mean(0 * apart, classes).item() == 0
    assert (metrics.global_spread(apart, classes).item(), metrics.global_spread(0 * apart, classes).item()) == (1, 0)


def test_modes_kept_as_points() -> None:
    """Two modes a class, each a point: all within-class variance is between modes."""
    classes, modes = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 0, 0, 1, 1])
    x = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])[2 * classes + modes]
    values = metrics.evaluate(x, classes, modes, heavy=False)
    assert (values["mode_variance_fraction"], values["mode_spread"], values["mode_gap"]) == (1, 0, 2)
    assert values["between_mean"] == pytest.approx((2 + np.sqrt(8)) / 2)
    assert (values["effective_rank"], values["participation_ratio"]) == pytest.approx((1, 1))


def test_modes_unknown_to_the_embedding() -> None:
    """The share of variance between modes then averages (modes - classes) / (n - classes): within 5 standard errors."""
    rng = np.random.default_rng(1)
    classes, modes = np.repeat([0, 1], 30), np.tile([0, 1, 2], 20)
    x = rng.normal(size=(2000, 60, 1))
    share = metrics.mode_variance_fraction(x, classes, modes).numpy()
    assert share.mean() == pytest.approx((6 - 2) / (60 - 2), abs=5 * share.std() / np.sqrt(2000))


def test_spectrum_of_known_shape() -> None:
    """Axes of lengths 1, 1 and 0: two dimensions in use by every measure. Axes with variances 3 and 1: 16 / 10."""
    cross = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    x = np.concatenate([cross, 5 + cross * [np.sqrt(3), 1, 1]])
    classes = np.repeat([0, 1], 4)
    assert metrics.participation_ratio(x, classes).item() == pytest.approx((2 + 16 / 10) / 2)
    assert metrics.effective_rank(x, classes).item() == pytest.approx((2 + 4 / 27**0.25) / 2)


def test_rho_is_zero_for_a_round_sample_and_one_dimension() -> None:
    round_sample = np.concatenate([np.eye(3), -np.eye(3)]) + 7
    classes = np.array([0, 0, 0, 1, 1, 1])
    assert metrics.rho(round_sample, classes).item() == pytest.approx(0, abs=1e-12)
    assert metrics.rho(sample(1), CLASSES).item() == pytest.approx(0, abs=1e-12)


def test_class_means_on_a_simplex() -> None:
    """nc2 is 0 on a simplex; for three class means on a line it is |B - (I - 11'/3)/sqrt(2)| with B of rank 1."""
    classes = np.repeat([0, 1, 2], 2)
    noise = np.array([[0.1], [-0.1]] * 3)
    assert metrics.nc2(np.eye(3)[classes] + noise, classes).item() == pytest.approx(0, abs=1e-7)
    on_a_line = metrics.nc2(np.array([[0.0], [1.0], [2.0]])[classes] + noise, classes).item()
    assert on_a_line == pytest.approx(np.sqrt(2 - np.sqrt(2)))


def test_coinciding_class_means() -> None:
    x, classes = np.array([[1.0], [-1.0], [2.0], [-2.0]]), np.array([0, 0, 1, 1])
    values = metrics.evaluate(x, classes, 0 * classes, heavy=False)
    assert values["pi_inter"] == 0
    assert values["cdnv"] == values["pi_ratio"] == np.inf
    assert np.isnan(values["nc1"]) and np.isnan(values["nc2"])
    assert values["ncc_accuracy"] == 0.5


def test_equal_variance_hides_modes_from_neural_collapse_but_not_from_mode_metrics() -> None:
    """One bump and two modes of the same total variance: same NC1 and CDNV, different mode structure."""
    rng = np.random.default_rng(3)
    classes, modes = np.repeat([0, 1], 400), np.tile([0, 1], 400)
    one = rng.normal(size=(800, 1))
    two = 0.1 * rng.normal(size=(800, 1)) + np.sqrt(0.99) * (2 * modes[:, None] - 1)
    one, two = (v + 20 * classes[:, None] for v in (one, two))
    a, b = (metrics.evaluate(v, classes, modes, heavy=False) for v in (one, two))
    assert a["nc1"] == pytest.approx(b["nc1"], rel=0.1) and a["cdnv"] == pytest.approx(b["cdnv"], rel=0.1)
    assert a["mode_variance_fraction"] < 0.05 and b["mode_variance_fraction"] > 0.98


def test_only_single_sample_classes_leave_within_quantities_undefined() -> None:
    values = metrics.evaluate(np.eye(3), np.arange(3), np.zeros(3, dtype=int), heavy=False)
    undefined = "within_mean within_rms relative_spread mode_spread mode_gap pi_intra effective_rank"
    assert [key for key in undefined.split() if not np.isnan(values[key])] == []
    assert values["pi_inter"] == values["between_mean"] == pytest.approx(np.sqrt(2))
    assert values["nc1"] == values["within_max"] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu() -> None:
    x = torch.from_numpy(np.stack([sample(3, seed) for seed in range(4)]))
    for here, there in zip(
        metrics.evaluate_runs(x, CLASSES, MODES), metrics.evaluate_runs(x.cuda(), CLASSES, MODES), strict=True
    ):
        assert there == pytest.approx(here, rel=1e-9, abs=1e-9, nan_ok=True)
