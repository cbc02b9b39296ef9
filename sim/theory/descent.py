"""Descents of expected losses, R side by side: what `sim.theory.minimise` starts.

The losses are piecewise smooth and sharp at their minima (collapse is a kink), so gradient methods stall near them. Two
phases: Adam with a cosine rate finds the basin; Polyak's subgradient steps (f - target) / ||g||^2 then converge linearly to a
sharp minimum. The target is the known bound where there is one, and else lies a little below the best value so far, closer
and closer (Brännlund 1993).
"""

from __future__ import annotations

import abc
import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

from sim.errors import integer, number
from sim.theory.similarity import Expectation
from sim.theory.slopes import at_points

MOST_CONTRACTIONS = 24
"""Attempts to follow a flat valley towards collapse."""
GAP_REACHED = 1e-14
"""Relative gap to a bound at which nothing more is tried."""
SHORTEST = 1e-12
"""Length that a vector is at least divided by, as in `torch.nn.functional.normalize`."""
STEPS_WITHOUT_PROGRESS = 40
"""Polishing steps without enough progress after which the target moves closer."""


@dataclass(frozen=True)
class Objective(abc.ABC):
    """What is minimised: an expected loss of n points in a geometry.

    Attributes
    ----------
    classes : ndarray, shape (n,)
    transition : ndarray, shape (t, t)
    geometry : str
        ``plane`` or ``sphere``.
    collapsed : bool
        Each class has one point: what is minimised over are t centres.
    """

    classes: np.ndarray
    transition: np.ndarray
    geometry: str
    collapsed: bool

    learns_beta = False
    """Whether the loss's boundary is minimised over, too."""

    @property
    def unit(self) -> float:
        """The loss's unit of length."""
        return 1.0

    @functools.cached_property
    def members(self) -> np.ndarray:
        """1 where a sample (n) is of a class (t), else 0."""
        found: np.ndarray = np.eye(len(self.transition))[self.classes]
        return found

    @abc.abstractmethod
    def of_points(self, points: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (R,), gradients in n points where they are (R, n, m), and in the boundaries (R,)."""

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (R, n, m), put on the sphere where that is the geometry."""
        if self.geometry != "sphere":
            return points
        found: np.ndarray = points / self._lengths(points)
        return found

    @staticmethod
    def _lengths(points: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), SHORTEST)
        return found

    def expanded(self, points: np.ndarray) -> np.ndarray:
        """All n points, (R, n, m), of what is minimised over."""
        return points[:, self.classes] if self.collapsed else points

    def evaluate(self, points: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values (R,), gradients in what is minimised over, and in the boundaries (R,), 0 where these aren't learnt."""
        placed = self.project(points)
        value, gradient, of_beta = self.of_points(self.expanded(placed), beta)
        if self.collapsed:
            gradient = self.members.T @ gradient  # (t, n) (R, n, m)
        if self.geometry == "sphere":
            gradient = (gradient - (gradient * placed).sum(-1, keepdims=True) * placed) / self._lengths(points)
        return value, gradient, of_beta if self.learns_beta else np.zeros_like(beta)


@dataclass(frozen=True)
class OfDistances(Objective):
    """An expected loss of distances.

    Attributes
    ----------
    loss, positive, alpha, squared
        See `sim.theory.expected.expected_loss`.
    learns_beta : bool
        See `Objective`.
    """

    loss: str
    positive: str
    alpha: float
    squared: bool
    learns_beta: bool

    @property
    def unit(self) -> float:
        """See `Objective.unit`."""
        return self.alpha

    def of_points(self, points: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Objective.of_points`."""
        return at_points(
            points,
            self.transition[self.classes],  # (n, t)
            loss=self.loss,
            positive=self.positive,
            alpha=self.alpha,
            beta=beta,
            squared=self.squared,
        )


@dataclass(frozen=True)
class OfSimilarities(Objective):
    """An expected loss of dot products, which on the sphere are cosines.

    Attributes
    ----------
    expectation : Expectation
    """

    expectation: Expectation

    def of_points(self, points: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Objective.of_points`."""
        s = torch.from_numpy(points @ points.transpose(0, 2, 1)).requires_grad_()  # (R, n, n)
        value = self.expectation.terms(s).sum(-1)
        (slope,) = torch.autograd.grad(value.sum(), s)
        return value.detach().numpy(), (slope + slope.mT).numpy() @ points, np.zeros_like(beta)


@dataclass(frozen=True)
class Search:
    """How long and how boldly a minimiser looks.

    Attributes
    ----------
    steps, polish : int
        Adam steps; polishing steps.
    rate : float
        Adam's first learning rate, in units of alpha (similarity losses: of 1).
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
        """Refuse what isn't a search; its numbers are Python's afterwards.

        Raises
        ------
        InvalidInput
        """
        for name in ("steps", "polish"):
            object.__setattr__(self, name, integer(f"search.{name}", getattr(self, name), 0))
        object.__setattr__(self, "rate", number("search.rate", self.rate, "a finite number > 0", lambda v: v > 0))
        if self.spread is not None:
            spread = number("search.spread", self.spread, "a finite number >= 0, or None", lambda v: v >= 0)
            object.__setattr__(self, "spread", spread)


def _squares(x: np.ndarray) -> np.ndarray:
    """Sum of squares of each run, (R,)."""
    flat = x.reshape(len(x), -1)
    found: np.ndarray = np.einsum("rk,rk->r", flat, flat)
    return found


def _each(factors: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Factors (R,), so that each multiplies a run's entries."""
    return factors.reshape(-1, *[1] * (like.ndim - 1))


class _Adam:
    """Adam with beta = (0.9, 0.99) and one scale for all coordinates of a run: rotating an embedding must not change its path."""

    def __init__(self, like: np.ndarray) -> None:
        self.first, self.second = np.zeros_like(like), np.zeros(len(like))

    def move(self, gradient: np.ndarray, step: int, rate: float) -> np.ndarray:
        """What step number ``step``, from 1, takes away."""
        self.first += 0.1 * (gradient - self.first)
        self.second += 0.01 * (_squares(gradient) / (gradient.size / len(gradient)) - self.second)
        size = np.sqrt(self.second / (1 - 0.99**step)) + 1e-12  # (R,)
        found: np.ndarray = self.first * _each(rate / (1 - 0.9**step) / size, gradient)
        return found


class Descent:
    """R descents side by side, and the best point that each has seen.

    Parameters
    ----------
    objective : Objective
    points : ndarray, shape (R, n, m), float64
    beta : ndarray, shape (R,)
    bound : float or None
        A lower bound known from theory.

    Examples
    --------
    >>> objective = OfDistances(np.array([0, 1]), np.eye(2), "plane", False, "contrastive", "all", 1.0, False, False)
    >>> descent = Descent(objective, np.array([[[0.0], [0.5]]]), np.zeros(1), bound=0.0)
    >>> descent.polish(descent.points, descent.beta, steps=200)
    >>> round(float(descent.values[0]), 6), round(float(np.diff(descent.points[0, :, 0])[0]), 6)
    (0.0, 1.0)
    """

    def __init__(self, objective: Objective, points: np.ndarray, beta: np.ndarray, bound: float | None) -> None:
        self.objective, self.bound = objective, bound
        self.points, self.beta = points.copy(), beta.copy()
        self.values, _, _ = objective.evaluate(points, beta)

    def keep(self, values: np.ndarray, points: np.ndarray, beta: np.ndarray) -> None:
        """Take over what is better than the best so far."""
        better = values < self.values
        if better.any():
            self.values[better], self.points[better], self.beta[better] = values[better], points[better], beta[better]

    def adam(self, points: np.ndarray, beta: np.ndarray, search: Search) -> None:
        """Find the basin."""
        objective = self.objective
        of_points, of_beta = _Adam(points), _Adam(beta)
        for step in range(1, search.steps + 1):
            value, g, g_beta = objective.evaluate(points, beta)  # (R,), (R, n, m), (R,)
            self.keep(value, points, beta)
            scale = search.rate * objective.unit * 0.5 * (1 + math.cos(math.pi * step / search.steps))
            points = objective.project(points - of_points.move(g, step, scale))
            if objective.learns_beta:
                beta = beta - of_beta.move(g_beta, step, scale)

    def polish(self, points: np.ndarray, beta: np.ndarray, steps: int) -> None:
        """Polyak's steps from a point; what is best so far is kept."""
        points, beta = points.copy(), beta.copy()
        reach = 0.1 * np.abs(self.values) + 1e-12
        reference, waited = self.values.copy(), np.zeros(len(points))
        for _ in range(steps):
            value, g, g_beta = self.objective.evaluate(points, beta)  # (R,), (R, n, m), (R,)
            self.keep(value, points, beta)
            progressed = self.values < reference - 0.5 * reach
            waited = np.where(progressed, 0.0, waited + 1)
            reference = np.where(progressed, self.values, reference)
            stuck = waited > STEPS_WITHOUT_PROGRESS
            if stuck.any():
                reach, waited = np.where(stuck, reach / 2, reach), np.where(stuck, 0.0, waited)
                points[stuck], beta[stuck], reference[stuck] = self.points[stuck], self.beta[stuck], self.values[stuck]
            # The value that each descent aims at, (R,).
            target = self.values - reach if self.bound is None else np.maximum(self.values - reach, self.bound)
            size = _squares(g) + g_beta**2
            length = np.where(size > 0, np.maximum(value - target, 0) / np.maximum(size, 1e-300), 0.0)  # (R,)
            points = self.objective.project(points - _each(length, g) * g)
            beta = beta - length * g_beta

    def contract(self, steps: int) -> None:
        """Follow a flat valley towards a bound that only collapse attains.

        Where collapse is a flat valley (C3 at m = n - 2: the loss grows with the square of the spread) subgradients find
        its floor but don't follow it: halve the classes' spread and descend again, for as long as that helps.
        """
        assert self.bound is not None
        members = self.objective.members  # (n, t)
        average = members @ (members / np.maximum(members.sum(0), 1)).T  # (n, n)
        for _ in range(MOST_CONTRACTIONS):
            # Who is there stays as it is: a spread minimiser is one, too, though rounding may put a collapsed one below it.
            there = self.values - self.bound <= GAP_REACHED * max(abs(self.bound), GAP_REACHED)
            if there.all():
                break
            kept = self.points[there].copy(), self.beta[there].copy(), self.values[there].copy()
            self.polish(self.objective.project((self.points + average @ self.points) / 2), self.beta, steps)
            self.points[there], self.beta[there], self.values[there] = kept
