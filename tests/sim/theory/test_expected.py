"""Expected losses against the enumeration of every labelling, against sampled losses, and in their gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import losses, noise
from sim.errors import InvalidInput
from sim.theory import expected, expected_loss, lower_bound, same_label, triplet_weights

CASES = [
    ("triplet", "all", False),
    ("triplet", "easy", False),
    ("margin", "all", False),
    ("margin", "easy", False),
    ("contrastive", "all", False),
    ("contrastive", "easy", False),
    ("contrastive", "all", True),
    ("contrastive", "easy", True),
]
ALPHA, BETA = 0.7, 0.9


def enumerate_labellings(
    d: np.ndarray, classes: np.ndarray, t: np.ndarray, loss: str, positive: str, squared: bool
) -> float:
    """The definition, over all t^n labellings at once; n^3 terms each."""
    n = len(classes)
    labels = np.array(list(itertools.product(range(len(t)), repeat=n)))
    probability = np.prod(t[classes, labels], axis=1)
    same = (labels[:, :, None] == labels[:, None, :]) & ~np.eye(n, dtype=bool)
    other = labels[:, :, None] != labels[:, None, :]
    pos = same
    if positive == "easy":
        nearest = np.where(same, d, np.inf).argmin(-1)
        pos = same & (np.arange(n) == nearest[:, :, None])
    if loss == "triplet":
        hinge = np.maximum(d[:, :, None] - d[:, None, :] + ALPHA, 0)
        values = np.einsum("lij,lik,ijk->l", pos.astype(float), other.astype(float), hinge)
    else:
        pull, push = (np.maximum(d - BETA + ALPHA, 0), np.maximum(BETA + ALPHA - d, 0))
        if loss == "contrastive":
            power = 2 if squared else 1
            pull, push = d**power, np.maximum(ALPHA - d, 0) ** power
        values = (pos * pull + other * push).sum((1, 2))
    return float(probability @ values)


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random problem: distances (every other with many ties), classes of random sizes, any transition matrix."""
    rng = np.random.default_rng(seed)
    t = int(rng.integers(2, 4))
    n = int(rng.integers(1, 9 if t == 2 else 6))
    x = rng.normal(size=(n, 2))
    if seed % 2:
        x = np.round(x)
    d = np.linalg.norm(x[:, None] - x[None], axis=-1)
    transition = rng.dirichlet(np.full(t, rng.choice([0.2, 1.0, 5.0])), size=t)
    if seed % 5 == 0:
        transition = np.eye(t)[rng.permutation(t)]
    return d, rng.integers(0, t, n), transition


def agree(seed: int) -> None:
    d, classes, transition = problem(seed)
    for loss, positive, squared in CASES:
        beta = BETA if loss == "margin" else None
        ours = float(
            expected_loss(d, classes, transition, loss=loss, positive=positive, alpha=ALPHA, beta=beta, squared=squared)
        )
        exact = enumerate_labellings(d, classes, transition, loss, positive, squared)
        assert ours == pytest.approx(exact, rel=1e-10, abs=1e-12), (loss, positive, squared)


@settings(max_examples=400)
@given(st.integers(0, 10**9))
def test_equals_the_enumeration_of_every_labelling(seed: int) -> None:
    agree(seed)


@pytest.mark.slow
@settings(max_examples=5000)
@given(st.integers(0, 10**9))
def test_equals_the_enumeration_of_every_labelling_many_times(seed: int) -> None:
    agree(seed)


@pytest.mark.parametrize(("loss", "positive", "squared"), CASES)
def test_equals_the_mean_of_the_sampled_loss(loss: str, positive: str, squared: bool) -> None:
    """The training losses on drawn labels have this expectation, within four standard errors."""
    d, draws = 3, 40_000
    x = torch.randn(9, d, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    transition = noise.asymmetric([[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
    u, v = torch.rand(2, draws, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    rows = torch.from_numpy(transition[classes]).expand(draws, -1, -1)
    labels = noise.flip(rows, torch.from_numpy(classes).expand(draws, -1), u, v)
    params = {"triplet": {}, "margin": {"beta": BETA, "count": "pairs"}, "contrastive": {"squared": squared}}[loss]
    sampled = losses.make(loss, alpha=ALPHA, reduction="sum", **params)(
        x.expand(draws, -1, -1), labels, positive=positive, negative="all"
    )
    exact = expected_loss(
        torch.cdist(x, x), classes, transition, loss=loss, positive=positive, alpha=ALPHA,
        beta=BETA if loss == "margin" else None, squared=squared,
    )  # fmt: skip
    error = float(sampled.std() / draws**0.5)
    assert abs(float(sampled.mean() - exact)) < 4 * error
    assert error < 0.01 * float(exact)


@pytest.mark.parametrize(("loss", "positive", "squared"), CASES)
def test_gradient_in_distances_and_beta(loss: str, positive: str, squared: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(7, 2))
    d = torch.from_numpy(np.linalg.norm(x[:, None] - x[None], axis=-1))
    classes, transition = np.array([0, 1, 0, 1, 2, 2, 0]), rng.dirichlet(np.ones(3), size=3)
    upper = torch.triu_indices(7, 7, 1)

    def of(entries: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        full = torch.zeros(7, 7, dtype=torch.float64).index_put((upper[0], upper[1]), entries)
        return expected_loss(
            full + full.T, classes, transition, loss=loss, positive=positive, alpha=ALPHA,
            beta=beta if loss == "margin" else None, squared=squared,
        )  # fmt: skip

    entries = d[upper[0], upper[1]].clone().requires_grad_()
    beta = torch.tensor(BETA, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(of, (entries, beta), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize(("loss", "positive", "squared"), CASES)
def test_batches_blocks_and_order_change_nothing(
    loss: str, positive: str, squared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    x = np.round(rng.normal(size=(2, 3, 8, 2)), 1)
    d = np.linalg.norm(x[..., :, None, :] - x[..., None, :, :], axis=-1)
    classes, transition = rng.integers(0, 3, 8), rng.dirichlet(np.ones(3), size=3)
    beta = torch.from_numpy(rng.uniform(0.5, 1.5, (2, 3))) if loss == "margin" else None
    options = {"loss": loss, "positive": positive, "alpha": ALPHA, "squared": squared}
    batched = expected_loss(d, classes, transition, beta=beta, **options)
    assert batched.shape == (2, 3)
    one = expected_loss(d[1, 2], classes, transition, beta=None if beta is None else beta[1, 2], **options)
    torch.testing.assert_close(batched[1, 2], one)
    order = rng.permutation(8)
    shuffled = expected_loss(d[..., order, :][..., order], classes[order], transition, beta=beta, **options)
    torch.testing.assert_close(batched, shuffled)
    names = rng.permutation(3)
    renamed = expected_loss(
        d, names[classes], transition[np.argsort(names)][:, np.argsort(names)], beta=beta, **options
    )
    torch.testing.assert_close(batched, renamed)
    torch.testing.assert_close(
        batched,
        expected_loss(d.astype(np.float32), classes, transition, beta=beta, **options).double(),
        rtol=1e-4,
        atol=1e-4,
    )
    monkeypatch.setattr(expected, "CHUNK_ENTRIES", 20)
    torch.testing.assert_close(batched, expected_loss(d, classes, transition, beta=beta, **options))


def test_bounds_equal_their_definitions() -> None:
    for seed in range(40):
        d, classes, transition = problem(seed)
        w = triplet_weights(classes, transition)
        triplet = ALPHA * np.minimum(w, w.transpose(0, 2, 1)).sum()
        assert lower_bound(classes, transition, loss="triplet", alpha=ALPHA) == pytest.approx(triplet)
        s = same_label(classes, transition)
        off = ~np.eye(len(classes), dtype=bool)
        margin = 2 * ALPHA * np.minimum(s, 1 - s)[off].sum()
        assert lower_bound(classes, transition, loss="margin", alpha=ALPHA) == pytest.approx(margin)
        value = float(expected_loss(d, classes, transition, alpha=ALPHA))
        assert value >= triplet - 1e-9


def test_known_values() -> None:
    """C3: n = 8, alpha = 0.5, p = 0.9: 15.12. C7: the best collapsed embeddings of two classes of twelve."""
    assert lower_bound(np.repeat([0, 1], 4), noise.symmetric(2, 0.9), alpha=0.5) == pytest.approx(15.12, abs=1e-12)
    classes = np.repeat([0, 1], 12)
    apart = torch.from_numpy(0.5 * (classes[:, None] != classes[None]))
    for p, value in ((0.95, 16.499), (0.9, 28.354), (0.8, 45.003), (0.7, 56.480), (0.6, 63.641)):
        found = expected_loss(apart, classes, noise.symmetric(2, p), positive="easy", alpha=0.5)
        assert float(found) == pytest.approx(value, abs=5e-4)


def test_clean_zero_loss_is_exactly_zero() -> None:
    """C2 and C6: without noise spread-out embeddings that keep the margin cost nothing; EPS allows more of them."""
    classes = np.repeat([0, 1], 4)
    x = np.array([0, 0.1, 0.2, 0.3, 2, 2.1, 2.2, 2.3])[:, None]
    chain = np.array([0, 0.1, 6, 6.1, 3, 3.1, 9, 9.1])[:, None]
    for points, positive, zero in ((x, "all", True), (x, "easy", True), (chain, "all", False), (chain, "easy", True)):
        value = float(expected_loss(np.abs(points - points.T), classes, np.eye(2), positive=positive, alpha=ALPHA))
        assert (value == 0) == zero


D = np.abs(np.arange(4.0)[:, None] - np.arange(4.0))
C = np.array([0, 0, 1, 1])
T = noise.symmetric(2, 0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transition": np.ones((2, 3)) / 3}, "matrix: got \\(2, 3\\); allowed: a square matrix"),
        ({"transition": np.ones((2, 2))}, "rows that sum to 1"),
        ({"distances": -D}, "distances: got -3.0; allowed: numbers >= 0"),
        ({"distances": D + np.eye(4)}, "allowed: zeros on the diagonal"),
        ({"distances": np.triu(D)}, "allowed: a symmetric matrix"),
        ({"distances": D[:3]}, "distances: got \\(3, 4\\)"),
        ({"distances": D * np.nan}, "distances: got 'NaN or infinity'"),
        ({"classes": np.array([0, 0, 1, 2])}, "classes: got 2; allowed: 0 to 1"),
        ({"classes": np.array([0, 0, 1, 1.5])}, "classes: got"),
        ({"alpha": 0.0}, "alpha: got 0.0; allowed: a finite number > 0"),
        ({"alpha": float("nan")}, "alpha: got nan"),
        ({"loss": "margin"}, "beta: got None"),
        ({"beta": 1.0}, "beta: got 1.0; allowed: None: the triplet loss has no beta"),
        ({"squared": True}, "squared: got True; allowed: False"),
        ({"loss": "npairs"}, "loss: got 'npairs'; allowed: one of triplet, margin, contrastive"),
        ({"positive": "hard"}, "positive: got 'hard'; allowed: one of all, easy"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    arguments = {"distances": D, "classes": C, "transition": T, "alpha": 0.5, **change}
    with pytest.raises(InvalidInput, match=message):
        expected_loss(**arguments)


def test_too_many_samples_are_refused_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.errors.memory", lambda: 1000)
    with pytest.raises(InvalidInput, match="n: got 4; allowed: less: 0.0 GiB would be needed"):
        expected_loss(D, C, T, alpha=0.5)
