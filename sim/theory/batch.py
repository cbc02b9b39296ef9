"""Expected losses of training batches: over labels, class-balanced batches, and random choices of positives and negatives.

Training sees B = t K samples a step, K of each class, not the whole set. With one random positive and one random negative an anchor,
a pair (i, j) is used as a positive with probability u and as a negative with probability v, which depend on the batch: the labels of
the other samples decide how many candidates there are. Their number is a sum of binomials, so u and v are exact. The margin and
contrastive losses of a pair then expect u [D - b + a]_+ + v [b + a - D]_+ (and alike), and C4's boundary lies at u = v rather than at
s_in = 1/2. For symmetric noise that is p = 1/t exactly: there all labels are alike, so a pair is as often a positive as a negative, and
every p above makes within-class pairs more often positives. Such batches have no phase of total collapse for p > 1/t.
Where nothing factorises the expectation is estimated, with its standard error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import binom

from sim import losses, noise
from sim.distances import floating
from sim.errors import InvalidInput, choice, integer, within_memory
from sim.samplers.draws import RunDraws
from sim.streams import stream
from sim.theory.expected import check_distances, check_labels, check_loss, expected_loss

CHOICES = ("all", "random", "easy")
MOST_IN_A_BATCH = 4096
"""Samples, where the exact distribution of labels in a batch is worked out."""


@dataclass(frozen=True)
class Estimate:
    """An expectation.

    Attributes
    ----------
    value : float
    standard_error : float
        0 if exact.
    draws : int
        Batches drawn; 0 if exact.
    """

    value: float
    standard_error: float = 0.0
    draws: int = 0


def _count(transition: np.ndarray, others: np.ndarray, label: int) -> np.ndarray:
    """Distribution of how many of the other samples (counts a class) carry a label: sums of binomials, by convolution."""
    distribution = np.ones(1)
    for c, k in enumerate(others):
        distribution = np.convolve(distribution, binom.pmf(np.arange(k + 1), k, transition[c, label]))
    return distribution


def pair_use(transition: Any, per_class: int, *, needs_both: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """How often a pair is used, with one random positive and one random negative an anchor in a class-balanced batch.

    Parameters
    ----------
    transition : array, shape (t, t)
    per_class : int
        K >= 2 samples of each of the t classes in a batch.
    needs_both : bool
        An anchor without a positive or without a negative is dropped (losses that count triplets).

    Returns
    -------
    (u, v) : two arrays, shape (t, t)
        u[A, B]: P(a given sample of class B is the positive of a given anchor of class A, both in the batch); v: its negative.

    Examples
    --------
    Without noise the positive is one of the K - 1 others of the class, the negative one of the K of the other class.

    >>> u, v = pair_use([[1, 0], [0, 1]], per_class=3)
    >>> u[0].tolist(), v[0].round(3).tolist()
    ([0.5, 0.0], [0.0, 0.333])
    """
    matrix = noise.asymmetric(transition)
    t = len(matrix)
    per_class = integer("per_class", per_class, 2, max(2, MOST_IN_A_BATCH // t))
    u, v = np.zeros((t, t)), np.zeros((t, t))
    rest = t * per_class - 2
    same = np.arange(rest + 1)  # how many of the rest may have the anchor's label
    for a in range(t):
        for b in range(t):
            others = np.full(t, per_class)
            others[a] -= 1
            others[b] -= 1
            for y in range(t):
                chance = _count(matrix, others, y)  # (rest + 1,)
                # With both demanded the other kind must be among the rest: not all of it, or not none of it, has the label.
                has_negative, has_positive = (same < rest, same > 0) if needs_both else (1, 1)
                u[a, b] += matrix[a, y] * matrix[b, y] * (chance * has_negative / (1 + same)).sum()
                v[a, b] += matrix[a, y] * (1 - matrix[b, y]) * (chance * has_positive / (1 + rest - same)).sum()
    return u, v


def batch_loss(
    distances: Any,
    classes: Any,
    transition: Any,
    *,
    loss: str,
    positive: str = "random",
    negative: str = "random",
    per_class: int | None = None,
    batch_size: int | None = None,
    alpha: float,
    beta: float | None = None,
    squared: bool = False,
    points: torch.Tensor | None = None,
    draws: int = 4000,
    seed: int = 0,
) -> Estimate:
    """Expected loss (``reduction="sum"``) of a class-balanced or uniform batch with fresh labels.

    Exact, and O(n^2), for margin and contrastive losses with random positives and negatives and for the contrastive loss with
    all of them; also for uniform batches with all positives and negatives (triplet, contrastive), where every tuple of the whole set
    is in the batch equally often. Estimated otherwise. It is the default of `sim.losses` that is expected: the margin loss counts triplets.

    Parameters
    ----------
    distances, classes, transition, loss, alpha, beta, squared
        See `expected_loss`; distances (n, n).
    positive, negative : str
        ``all``, ``random`` or ``easy`` (positives only).
    per_class : int, optional
        K >= 2: the batch holds K samples of each class.
    batch_size : int, optional
        B >= 2: the batch is B samples drawn uniformly without replacement. Either this or ``per_class``.
    points : Tensor, shape (n, m), optional
        The embedding itself; needed where the expectation is estimated.
    draws : int
        Batches drawn for an estimate.
    seed : int

    Returns
    -------
    Estimate

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> batch_loss(
    ...     [[0, 1, 2], [1, 0, 1], [2, 1, 0]], [0, 0, 1], [[1, 0], [0, 1]], loss="triplet",
    ...     positive="all", negative="all", batch_size=3, alpha=0.5,
    ... )
    Estimate(value=0.5, standard_error=0.0, draws=0)
    """
    alpha, beta = check_loss(loss, "all", alpha, beta, squared)
    labels, matrix = check_labels(classes, transition)
    choice("positive", positive, CHOICES)
    choice("negative", negative, CHOICES[:2])
    sizes = np.bincount(labels, minlength=len(matrix))
    if (per_class is None) == (batch_size is None):
        raise InvalidInput("per_class", per_class, "either per_class (class-balanced) or batch_size (uniform batches)")
    if batch_size is not None:
        size = integer("batch_size", batch_size, 2, len(labels))
        if positive == negative == "all" and loss != "margin":
            order = 3 if loss == "triplet" else 2
            share = math.perm(size, order) / math.perm(len(labels), order)
            whole = expected_loss(distances, labels, matrix, loss=loss, alpha=alpha, squared=squared)
            return Estimate(share * float(whole))
    else:
        per_class = integer("per_class", per_class, 2, int(sizes.min()))
    uniform_or_triplet = batch_size is not None or loss == "triplet"
    if uniform_or_triplet or positive != negative or (loss == "margin" and positive == "all"):
        if points is None:
            raise InvalidInput("points", None, f"the embedding: {loss} with {positive} positives has no closed form")
        points = floating("points", points)
        if points.dim() != 2 or len(points) != len(labels):
            raise InvalidInput(
                "points", tuple(points.shape), f"({len(labels)}, m), a point for each of the classes' entries"
            )
        special: dict[str, dict[str, Any]] = {"margin": {"beta": beta}, "contrastive": {"squared": squared}}
        training = losses.make(loss, alpha=alpha, reduction="sum", **special.get(loss, {}))
        if per_class is None:
            pools = [(np.arange(len(labels)), batch_size or 0)]
        else:
            pools = [(np.flatnonzero(labels == c), per_class) for c in range(len(matrix))]
        drawn = _drawn_batches(labels, matrix, pools, draws, seed)
        return _estimate(training, points, drawn, positive, negative)
    assert per_class is not None
    d = check_distances(distances, len(labels)).detach().double().numpy()
    if positive == "random":
        u, v = pair_use(matrix, per_class, needs_both=loss == "margin")
    else:
        u = matrix @ matrix.T
        v = 1 - u
    same = labels[:, None] == labels  # (n, n)
    own, other = sizes[labels][:, None], sizes[labels][None, :]  # (n, 1), (1, n)
    both_drawn = np.where(
        same, per_class * (per_class - 1) / (own * np.maximum(own - 1, 1)), per_class**2 / (own * other)
    )
    np.fill_diagonal(both_drawn, 0.0)
    u, v = u[labels][:, labels], v[labels][:, labels]  # (t, t) -> (n, n)
    if loss == "margin":
        assert beta is not None
        pull, push = np.maximum(d - beta + alpha, 0), np.maximum(beta + alpha - d, 0)
    else:
        pull, push = d, np.maximum(alpha - d, 0)
        if squared:
            pull, push = pull**2, push**2
    return Estimate(float((both_drawn * (u * pull + v * push)).sum()))


@dataclass(frozen=True)
class _Drawn:
    """D batches: positions (D, B) in the whole set, noisy labels (D, B), and where the policies' numbers come from."""

    index: np.ndarray
    labels: torch.Tensor
    uniforms: RunDraws


def _drawn_batches(
    labels: np.ndarray, matrix: np.ndarray, pools: list[tuple[np.ndarray, int]], draws: int, seed: int
) -> _Drawn:
    """``draws`` batches of k samples out of each pool, labelled afresh."""
    draws = integer("draws", draws, 2)
    seed = integer("seed", seed, 0)
    longest = max(len(pool) for pool, _ in pools)
    within_memory("draws", draws, 8 * draws * max(longest, sum(k for _, k in pools) ** 2))
    rng = stream(seed, "batch loss")
    index = np.concatenate(  # (D, B)
        [pool[rng.random((draws, len(pool))).argpartition(k - 1, axis=1)[:, :k]] for pool, k in pools], axis=1
    )
    truth = torch.from_numpy(labels[index])  # (D, B)
    uniforms = [torch.from_numpy(rng.random(index.shape)) for _ in range(2)]
    noisy = noise.flip(torch.from_numpy(matrix)[truth], truth, *uniforms)
    return _Drawn(index, noisy, RunDraws([(seed, k) for k in range(draws)], block=1))


def _estimate(training: losses.Loss, points: torch.Tensor, drawn: _Drawn, positive: str, negative: str) -> Estimate:
    """Mean of the training loss over drawn batches and labels."""
    values = training(  # (D,)
        points.double()[torch.from_numpy(drawn.index)],  # (D, B, m)
        drawn.labels,
        positive=positive,
        negative=negative,
        generator=drawn.uniforms,
    )
    draws = len(values)
    return Estimate(float(values.mean()), float(values.std() / draws**0.5), draws)
