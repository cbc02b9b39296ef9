"""Noise: exact matrices, label probabilities, and draws that follow them, monotone and reversible in the level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sim import noise
from sim.catalogue import NOISE_KINDS
from sim.errors import InvalidInput
from sim.generators import generate

SAMPLE = generate("gaussian_mixture", classes=3, modes_per_class=2, samples_per_mode=40)
MATRIX = [[0.1, 0.9, 0.0], [0.5, 0.2, 0.3], [0.0, 0.0, 1.0]]
OPTIONS: dict[str, dict[str, object]] = {"matrix": {"matrix": MATRIX}}


def test_matrices_by_hand() -> None:
    np.testing.assert_allclose(noise.symmetric(3, 0.8), [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(noise.pair_flip(3, 0.7), [[0.7, 0.3, 0], [0, 0.7, 0.3], [0.3, 0, 0.7]])
    np.testing.assert_allclose(noise.asymmetric(MATRIX), MATRIX)
    np.testing.assert_allclose(noise.transition("matrix", 3, 0.5, matrix=MATRIX), (np.eye(3) + np.array(MATRIX)) / 2)


@given(t=st.integers(2, 12), p=st.floats(0.01, 1))
def test_rows_sum_to_one(t: int, p: float) -> None:
    for matrix in (noise.symmetric(t, p), noise.pair_flip(t, p)):
        assert matrix.dtype == np.float64
        assert (matrix >= 0).all()
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
        np.testing.assert_allclose(matrix.diagonal(), p)


@pytest.mark.parametrize("kind", list(NOISE_KINDS))
@pytest.mark.parametrize("level", [0.0, 0.3, 0.9])
def test_probabilities_and_draws_agree(kind: str, level: float) -> None:
    """Each sample's labels follow its row of P, by a chi-square test over all rows."""
    p = noise.label_probabilities(kind, level, SAMPLE, **OPTIONS.get(kind, {}))
    assert p.shape == (SAMPLE.n, 3)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    draws = 800
    u, v = torch.rand(2, draws, SAMPLE.n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = noise.flip(
        torch.from_numpy(p).expand(draws, -1, -1), torch.from_numpy(SAMPLE.classes).expand(draws, -1), u, v
    )
    counts = torch.nn.functional.one_hot(labels, 3).sum(0).numpy()
    assert counts[p == 0].sum() == 0
    usual = p * draws > 5
    statistic = ((counts - p * draws) ** 2 / np.maximum(p * draws, 1e-9))[usual].sum()
    freedom = int(usual.sum() - SAMPLE.n)
    assert freedom <= 0 or stats.chi2.sf(statistic, freedom) > 1e-4


def test_where_a_matrix_exists_it_gives_the_probabilities() -> None:
    for kind in ("symmetric", "pair_flip", "matrix"):
        options = OPTIONS.get(kind, {})
        matrix = noise.transition(kind, 3, 0.3, **options)
        np.testing.assert_allclose(noise.label_probabilities(kind, 0.3, SAMPLE, **options), matrix[SAMPLE.classes])
    for kind in ("instance", "one_mode"):
        with pytest.raises(InvalidInput, match="noise.kind: got .* has label probabilities, but no matrix"):
            noise.transition(kind, 3, 0.3)


@pytest.mark.parametrize("level", [0.05, 0.3, 0.7])
def test_instance_noise_has_its_mean_and_grows_near_the_boundary(level: float) -> None:
    sample = generate("gaussian_mixture", samples_per_mode=200, separation=3.0)
    p = noise.label_probabilities("instance", level, sample)
    flipped = 1 - p[np.arange(sample.n), sample.classes]
    assert flipped.mean() == pytest.approx(level, abs=1e-9)
    distances = np.linalg.norm(sample.x[:, None] - sample.x[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    same = sample.classes[:, None] == sample.classes
    margin = np.where(same, np.inf, distances).min(1) - np.where(same, distances, np.inf).min(1)
    assert stats.spearmanr(flipped, margin).statistic < -0.6


def test_one_mode_noise_hits_one_mode() -> None:
    p = noise.label_probabilities("one_mode", 0.4, SAMPLE, mode=1, classes=[0, 2])
    kept = p[np.arange(SAMPLE.n), SAMPLE.classes]
    hit = np.isin(SAMPLE.modes, [1, 5])
    np.testing.assert_allclose(kept[hit], 0.6)
    np.testing.assert_allclose(kept[~hit], 1.0)


@pytest.mark.parametrize("kind", list(NOISE_KINDS))
def test_raising_the_level_flips_labels_monotonically_and_reversibly(kind: str) -> None:
    def labels(level: float) -> np.ndarray:
        p = noise.label_probabilities(kind, level, SAMPLE, **OPTIONS.get(kind, {}))
        return noise.static_labels(p, SAMPLE.classes, seed=1)

    levels = [0.0, 0.1, 0.2, 0.4, 0.6, 0.8]
    drawn = [labels(level) for level in levels]
    assert (drawn[0] == SAMPLE.classes).all()
    for lower, higher in itertools.pairwise(drawn):
        flipped = lower != SAMPLE.classes
        np.testing.assert_array_equal(lower[flipped], higher[flipped])
    np.testing.assert_array_equal(labels(0.2), drawn[2])


@given(level=st.floats(0, 0.95), n=st.integers(2, 40))
def test_exact_noise_flips_exact_counts(level: float, n: int) -> None:
    classes = np.repeat([0, 1], [n, n + 3])
    p = noise.symmetric(2, 1 - level)[classes]
    flipped = noise.static_labels(p, classes, seed=0, exact=True) != classes
    for c, size in ((0, n), (1, n + 3)):
        wanted = level * size
        assert abs(int(flipped[classes == c].sum()) - wanted) <= 0.5 + 1e-6


def test_exact_noise_rounds_halves_up() -> None:
    classes = np.repeat([0, 1], [10, 5])
    for level, counts in ((0.1, (1, 1)), (0.2, (2, 1)), (0.3, (3, 2)), (0.5, (5, 3))):
        flipped = noise.static_labels(noise.symmetric(2, 1 - level)[classes], classes, seed=5, exact=True) != classes
        assert (int(flipped[:10].sum()), int(flipped[10:].sum())) == counts


def test_the_ends_of_the_unit_interval_flip_to_labels_that_have_a_probability() -> None:
    """u = 0 keeps a label that can't flip; v = 0 and v next to 1 go to the first and the last label that it can flip to."""
    last = 1 - 2.0**-53
    rows = [
        [0.0, 1.0, 0.0, 0.0],
        [0.2, 0.5, 0.3, 0.0],
        [0.2, 0.5, 0.3, 0.0],
        [0.0, 0.5, 0.0, 0.0],
        [0.5, 0.0, 0.2, 0.3],
    ]
    own, u = torch.tensor([1, 1, 1, 1, 0]), torch.zeros(5, dtype=torch.float64)
    v = torch.tensor([0.5, 0.0, last, 0.9, 0.0], dtype=torch.float64)
    rows[3][2] = 5e-324  # the least number above 0: times .9 it is itself again
    assert noise.flip(torch.tensor(rows, dtype=torch.float64), own, u, v).tolist() == [1, 0, 2, 2, 2]


def test_empirical_transition() -> None:
    classes = np.array([0, 0, 0, 0, 1, 1])
    labels = np.array([0, 1, 1, 1, 1, 0])
    np.testing.assert_allclose(noise.empirical_transition(classes, labels, 2), [[0.25, 0.75], [0.5, 0.5]])
    with pytest.raises(InvalidInput, match="no sample of class 2"):
        noise.empirical_transition(classes, labels, 3)
    big = generate("gaussian_mixture", samples_per_mode=4000)
    drawn = noise.static_labels(noise.label_probabilities("symmetric", 0.3, big), big.classes, seed=0)
    np.testing.assert_allclose(
        noise.empirical_transition(big.classes, drawn, 2), noise.symmetric(2, 0.7), atol=4 * np.sqrt(0.21 / 16000)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise.symmetric(1, 0.9), "t: got 1; allowed: at least 2 classes"),
        (lambda: noise.symmetric(3, 0.0), "p: got 0.0; allowed: 0 < p <= 1"),
        (lambda: noise.pair_flip(3, 1.2), "p: got 1.2"),
        (lambda: noise.pair_flip(3, float("nan")), "p: got nan"),
        (lambda: noise.asymmetric([[0.5, 0.5]]), r"matrix: got \(1, 2\); allowed: a square matrix"),
        (lambda: noise.asymmetric([[0.5, 0.6], [0, 1]]), "rows that sum to 1"),
        (lambda: noise.asymmetric([[1.5, -0.5], [0, 1]]), r"entries in \[0, 1\]"),
        (lambda: noise.asymmetric([[1, 0], ["a", 1]]), "a square array of numbers"),
        (lambda: noise.asymmetric([[np.nan, 0], [0, 1]]), r"entries in \[0, 1\]"),
        (lambda: noise.label_probabilities("symmetric", 1.0, SAMPLE), "noise: got 1.0; allowed: 0 <= noise < 1"),
        (lambda: noise.label_probabilities("symmetric", -0.1, SAMPLE), "noise: got -0.1"),
        (lambda: noise.label_probabilities("symetric", 0.1, SAMPLE), "noise.kind: got 'symetric'; allowed: one of"),
        (
            lambda: noise.label_probabilities("symmetric", 0.1, SAMPLE, rate=2),
            "noise.params.rate: got 2; allowed: no such parameter; there are nothing",
        ),
        (
            lambda: noise.label_probabilities("matrix", 0.1, SAMPLE),
            "noise.params.matrix: got None; allowed: a value: it has no default",
        ),
        (lambda: noise.label_probabilities("matrix", 0.1, SAMPLE, matrix=np.eye(2)), "a 3 x 3 matrix"),
        (lambda: noise.label_probabilities("one_mode", 0.1, SAMPLE, mode=2), "noise.params.mode: got 2"),
        (lambda: noise.label_probabilities("instance", 0.1, SAMPLE, sharpness=-1), "noise.params.sharpness: got -1"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()  # type: ignore[operator]
