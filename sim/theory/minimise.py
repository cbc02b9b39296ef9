"""Minimisers of expected losses over free embeddings, many restarts as one batched program.

The losses are piecewise smooth and sharp at their minima (collapse is a kink), so gradient methods stall near them. Two
phases: Adam with a cosine rate finds the basin; Polyak's subgradient steps (f - target) / ||g||^2 then converge linearly to a
sharp minimum. The target is the known bound where there is one, and else lies a little below the best value so far, closer
and closer (Brännlund 1993).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import distances
from sim.errors import InvalidInput, choice, integer, number, within_memory
from sim.streams import stream
from sim.theory.expected import check_labels, check_loss
from sim.theory.slopes import slopes

GEOMETRIES = ("plane", "sphere")
MOST_CONTRACTIONS = 24
"""Attempts to follow a flat valley towards collapse."""
GAP_REACHED = 1e-11
"""Relative gap to a bound at which nothing more is tried."""
STEPS_WITHOUT_PROGRESS = 40
"""Polishing steps without enough progress after which the target moves closer."""


@dataclass(frozen=True)
class Minima:
    """Where the restarts ended.

    Attributes
    ----------
    embeddings : Tensor, shape (R, n, m), float64
        Best first.
    values : Tensor, shape (R,)
        Expected losses, increasing.
    betas : Tensor, shape (R,)
        Learnt (or given) boundaries; NaN for losses without one.
    bound : float or None
        The lower bound that was aimed at.

    Examples
    --------
    >>> found = Minima(torch.tensor([[[0.0], [3.0]]]), torch.tensor([1.1]), torch.tensor([np.nan]), bound=1.0)
    >>> round(found.best, 3), round(found.gap, 3), found.distances().tolist()
    (1.1, 0.1, [[0.0, 3.0], [3.0, 0.0]])
    """

    embeddings: Tensor
    values: Tensor
    betas: Tensor
    bound: float | None

    @property
    def best(self) -> float:
        """The least value found."""
        return float(self.values[0])

    @property
    def gap(self) -> float:
        """Relative distance of the best value from the bound; NaN without one."""
        if self.bound is None:
            return float("nan")
        return (self.best - self.bound) / max(abs(self.bound), 1e-300)

    def distances(self, k: int = 0) -> np.ndarray:
        """Distances (n, n) of the k-th best embedding; 0 is the best."""
        matrix: np.ndarray = distances.pairwise(self.embeddings[k]).numpy()
        return matrix


def within_between(matrix: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distances inside classes and between classes, each pair once: two vectors.

    Examples
    --------
    >>> line = np.abs(np.subtract.outer([0.0, 1.0, 3.0], [0.0, 1.0, 3.0]))
    >>> within, between = within_between(line, np.array([0, 0, 1]))
    >>> within.tolist(), between.tolist()
    ([1.0], [3.0, 2.0])
    """
    upper = np.triu(np.ones_like(matrix, dtype=bool), 1)
    same = classes[:, None] == classes[None, :]
    return matrix[upper & same], matrix[upper & ~same]


@dataclass(frozen=True)
class Objective:
    """What is minimised: an expected loss of n points in a geometry.

    Attributes
    ----------
    classes, transition, loss, positive, alpha, squared
        See `expected_loss`.
    geometry : str
        ``plane`` or ``sphere``.
    learns_beta : bool
        The margin loss's boundary is minimised over, too.
    """

    classes: np.ndarray
    transition: np.ndarray
    loss: str
    positive: str
    alpha: float
    squared: bool
    geometry: str
    learns_beta: bool

    def project(self, points: Tensor) -> Tensor:
        """Points (R, n, m), put on the sphere where that is the geometry."""
        return torch.nn.functional.normalize(points, dim=-1) if self.geometry == "sphere" else points

    def evaluate(self, points: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (R,), gradients in the points (R, n, m) and in the boundaries (R,), 0 where these aren't learnt."""
        placed = self.project(points)  # (R, n, m)
        d = torch.cdist(placed, placed, compute_mode="donot_use_mm_for_euclid_dist")  # (R, n, n)
        found = slopes(
            d,
            torch.from_numpy(self.transition[self.classes]),  # (n, t)
            loss=self.loss,
            positive=self.positive,
            alpha=self.alpha,
            beta=beta if self.loss == "margin" else None,
            squared=self.squared,
        )
        gradient = distances.gradient(placed, d, found.distances)
        if self.geometry == "sphere":
            along = (gradient * placed).sum(-1, keepdim=True) * placed
            gradient = (gradient - along) / points.norm(dim=-1, keepdim=True)
        return found.value, gradient, found.beta if self.learns_beta else torch.zeros_like(beta)


@dataclass(frozen=True)
class Search:
    """How long and how boldly a minimiser looks.

    Attributes
    ----------
    steps, polish : int
        Adam steps; polishing steps.
    rate : float
        Adam's first learning rate, in units of alpha.
    spread : float or None
        Scale of the random starts; None: half of them at alpha, the others at four times that.

    Examples
    --------
    >>> Search(steps=300, polish=0)
    Search(steps=300, polish=0, rate=0.05, spread=None)
    """

    steps: int = 1500
    polish: int = 1500
    rate: float = 0.05
    spread: float | None = None

    def check(self) -> None:
        """Refuse what isn't a search.

        Raises
        ------
        InvalidInput
        """
        integer("search.steps", self.steps, 0)
        integer("search.polish", self.polish, 0)
        number("search.rate", self.rate, "a finite number > 0", lambda v: v > 0)
        if self.spread is not None:
            number("search.spread", self.spread, "a finite number >= 0, or None", lambda v: v >= 0)


class _Adam:
    """Adam with beta = (0.9, 0.99) and one scale for all coordinates of a run: rotating an embedding must not change its path."""

    def __init__(self, like: Tensor) -> None:
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)

    def move(self, gradient: Tensor, step: int, rate: float) -> Tensor:
        """What step number ``step``, from 1, takes away."""
        size = gradient.square()
        if gradient.dim() > 1:
            size = size.mean((1, 2), True).expand_as(gradient)  # (R, n, m) -> (R, 1, 1) -> (R, n, m)
        first, second = self.first.lerp_(gradient, 0.1), self.second.lerp_(size, 0.01)
        return rate * first / (1 - 0.9**step) / ((second / (1 - 0.99**step)).sqrt() + 1e-12)


class _Descent:
    """R descents side by side, and the best point that each has seen."""

    def __init__(self, objective: Objective, points: Tensor, beta: Tensor, bound: float | None) -> None:
        self.objective, self.bound = objective, bound
        self.points, self.beta = points.clone(), beta.clone()
        self.values, _, _ = objective.evaluate(points, beta)

    def keep(self, values: Tensor, points: Tensor, beta: Tensor) -> None:
        """Take over what is better than the best so far."""
        better = values < self.values
        if not better.any():
            return
        self.values[better], self.points[better], self.beta[better] = values[better], points[better], beta[better]

    def adam(self, points: Tensor, beta: Tensor, search: Search) -> None:
        """Find the basin."""
        objective = self.objective
        of_points, of_beta = _Adam(points), _Adam(beta)
        for step in range(1, search.steps + 1):
            value, g, g_beta = objective.evaluate(points, beta)  # (R,), (R, n, m), (R,)
            self.keep(value, points, beta)
            scale = search.rate * objective.alpha * 0.5 * (1 + math.cos(math.pi * step / search.steps))
            points = objective.project(points - of_points.move(g, step, scale))
            if objective.learns_beta:
                beta = beta - of_beta.move(g_beta, step, scale)

    def polish(self, points: Tensor, beta: Tensor, steps: int) -> None:
        """Polyak's steps from a point; what is best so far is kept."""
        reach = 0.1 * self.values.abs() + 1e-12
        reference, waited = self.values.clone(), torch.zeros_like(self.values)
        for _ in range(steps):
            value, g, g_beta = self.objective.evaluate(points, beta)  # (R,), (R, n, m), (R,)
            self.keep(value, points, beta)
            progressed = self.values < reference - 0.5 * reach
            waited = torch.where(progressed, 0.0, waited + 1)
            reference = torch.where(progressed, self.values, reference)
            stuck = waited > STEPS_WITHOUT_PROGRESS
            if stuck.any():
                reach, waited = torch.where(stuck, reach / 2, reach), torch.where(stuck, 0.0, waited)
                points[stuck], beta[stuck], reference[stuck] = self.points[stuck], self.beta[stuck], self.values[stuck]
            # The value that each descent aims at, (R,).
            target = self.values - reach if self.bound is None else (self.values - reach).clamp_min(self.bound)
            size = g.square().sum((1, 2)) + g_beta.square()
            length = torch.where(size > 0, (value - target).clamp_min(0) / size.clamp_min(1e-300), 0.0)  # (R,)
            points = self.objective.project(points - length.view(-1, 1, 1) * g)
            beta = beta - length * g_beta

    def contract(self, steps: int) -> None:
        """Follow a flat valley towards a bound that only collapse attains.

        Where collapse is a flat valley (C3 at m = n - 2: the loss grows with the square of the spread) subgradients find
        its floor but don't follow it: halve the classes' spread and descend again, for as long as that helps.
        """
        assert self.bound is not None
        labels, t = torch.from_numpy(self.objective.classes), len(self.objective.transition)
        members = torch.nn.functional.one_hot(labels, t).double()  # (n, t)
        average = members @ (members / members.sum(0).clamp_min(1)).T  # (n, n)
        for _ in range(MOST_CONTRACTIONS):
            if float((self.values - self.bound).max()) <= GAP_REACHED * max(abs(self.bound), GAP_REACHED):
                break
            self.polish(self.objective.project((self.points + average @ self.points) / 2), self.beta.clone(), steps)


def minimise(
    classes: Any,
    transition: Any,
    *,
    loss: str = "triplet",
    positive: str = "all",
    alpha: float,
    beta: float | str | None = None,
    squared: bool = False,
    dim: int = 2,
    geometry: str = "plane",
    bound: float | None = None,
    restarts: int = 32,
    seed: int = 0,
    start: Tensor | None = None,
    search: Search | None = None,
) -> Minima:
    """Minimise an expected loss over n free points.

    Parameters
    ----------
    classes, transition, loss, positive, alpha, squared
        See `expected_loss`.
    beta : float, ``"learn"`` or None
        Boundary of the margin loss: given, or minimised over too.
    dim : int
        Dimension m of the space.
    geometry : str
        ``plane`` (R^m) or ``sphere`` (the unit sphere in R^m, Euclidean distances).
    bound : float, optional
        A lower bound known from theory: what to aim at, and to measure the gap from.
    restarts : int
        Number R of random starts: in turn unstructured, with classes around centres, and with classes nearly collapsed.
    seed : int
        Of the random starts.
    start : Tensor, shape (R, n, m), optional
        Starts to use instead of random ones.
    search : Search, optional
        How long and how boldly to look.

    Returns
    -------
    Minima

    Raises
    ------
    InvalidInput

    Examples
    --------
    Noisy labels, triplet loss: the best embedding found has each class on a point (C3).

    >>> from sim.noise import symmetric
    >>> classes = np.array([0, 0, 0, 1, 1, 1])
    >>> found = minimise(classes, symmetric(2, 0.9), alpha=0.5, restarts=3, search=Search(steps=200, polish=400))
    >>> within, between = within_between(found.distances(), classes)
    >>> bool(within.max() < 0.01), round(float(between.mean()), 2)
    (True, 0.5)
    """
    labels, matrix = check_labels(classes, transition)
    choice("geometry", geometry, GEOMETRIES)
    integer("dim", dim, 1 if geometry == "plane" else 2)
    integer("restarts", restarts, 1)
    integer("seed", seed, 0)
    if isinstance(beta, str) and beta != "learn":
        raise InvalidInput("beta", beta, "a number, 'learn' or None")
    check_loss(
        loss, positive, alpha, alpha if loss == "margin" and isinstance(beta, (str, type(None))) else beta, squared
    )
    if bound is not None:
        number("bound", bound, "a finite number or None", lambda _: True)
    search = search or Search()
    search.check()
    n = len(labels)
    within_memory("restarts", restarts, 8 * restarts * n * max(n, dim))
    if start is not None and (not isinstance(start, Tensor) or start.dim() != 3 or start.shape[1] != n):
        got = tuple(start.shape) if isinstance(start, Tensor) else start
        raise InvalidInput("start", got, f"a tensor (R, {n}, m), one point for each sample")
    objective = Objective(labels, matrix, loss, positive, alpha, squared, geometry, beta == "learn")
    if start is None:
        start = _starts(labels, len(matrix), dim, alpha, restarts, search.spread, seed)
    points = objective.project(distances.floating("start", start).double().clone())  # (R, n, m)
    boundary = torch.full((len(points),), float("nan"), dtype=torch.float64)  # (R,)
    if loss == "margin":
        boundary = torch.full_like(boundary, alpha if isinstance(beta, str) or beta is None else beta)
    descent = _Descent(objective, points, boundary, bound)
    descent.adam(points, boundary, search)
    descent.polish(descent.points.clone(), descent.beta.clone(), search.polish)
    if bound is not None:
        descent.contract(search.polish // 8)
    order = descent.values.argsort()
    return Minima(descent.points[order], descent.values[order], descent.beta[order], bound)


def _starts(
    labels: np.ndarray, t: int, dim: int, alpha: float, restarts: int, spread: float | None, seed: int
) -> Tensor:
    """Random starts, in turn: unstructured; each class around a centre of its own; each class nearly on one point."""
    rng = stream(seed, "minimise")
    points = rng.normal(size=(restarts, len(labels), dim))  # (R, n, m)
    centres = rng.normal(size=(restarts, t, dim))  # (R, t, m)
    scales = np.array([spread, spread] if spread is not None else [alpha, 4 * alpha])
    points *= scales[np.arange(restarts) // 3 % 2][:, None, None]
    for turn, tightness in ((1, 0.3), (2, 1e-4)):
        rows = np.arange(restarts) % 3 == turn
        points[rows] = tightness * points[rows] + 2 * alpha * centres[rows][:, labels]
    return torch.from_numpy(points)
