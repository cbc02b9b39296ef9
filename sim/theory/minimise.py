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
from sim.errors import InvalidInput, choice, integer, number
from sim.streams import stream
from sim.theory.expected import check_labels, expected_loss

GEOMETRIES = ("plane", "sphere")
CONTRACTIONS = 24
"""Attempts to follow a flat valley towards collapse."""
FLOOR = 1e-11
"""Relative gap to a bound at which nothing more is tried."""
PATIENCE = 40
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
        """Distances (n, n) of the k-th best embedding."""
        matrix: np.ndarray = distances.pairwise(self.embeddings[k]).numpy()
        return matrix


def within_between(matrix: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distances inside classes and between classes, each pair once: two vectors."""
    upper = np.triu(np.ones_like(matrix, dtype=bool), 1)
    same = classes[:, None] == classes[None, :]
    return matrix[upper & same], matrix[upper & ~same]


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
    steps: int = 1500,
    polish: int = 1500,
    rate: float = 0.05,
    spread: float | None = None,
    start: Tensor | None = None,
    seed: int = 0,
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
        A lower bound to aim at and to measure the gap from.
    restarts : int
        Number R of random starts: in turn unstructured, with classes around centres, and with classes nearly collapsed.
    steps, polish : int
        Adam steps; polishing steps.
    rate : float
        Adam's first learning rate, in units of alpha.
    spread : float, optional
        Scale of the starts; default: half of them at alpha, the others at four times that.
    start : Tensor, shape (R, n, m), optional
        Starts to use instead of random ones.
    seed : int

    Returns
    -------
    Minima

    Raises
    ------
    InvalidInput
    """
    labels, matrix = check_labels(classes, transition)
    integer("dim", dim, 1 if geometry == "plane" else 2)
    integer("restarts", restarts, 1)
    choice("geometry", geometry, GEOMETRIES)
    number("alpha", alpha, "a finite number > 0", lambda v: v > 0)
    if isinstance(beta, str) and beta != "learn":
        raise InvalidInput("beta", beta, "a number, 'learn' or None")
    x = _starts(labels, len(matrix), dim, alpha, restarts, spread, seed) if start is None else start.double().clone()
    boundary = torch.full((len(x),), float("nan"), dtype=torch.float64)
    if loss == "margin":
        boundary = torch.full_like(boundary, alpha if isinstance(beta, str) or beta is None else beta)
    learn = beta == "learn"

    def project(points: Tensor) -> Tensor:
        return torch.nn.functional.normalize(points, dim=-1) if geometry == "sphere" else points

    def evaluate(points: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points = points.detach().requires_grad_()
        b = b.detach().requires_grad_(learn)
        value = expected_loss(
            distances.pairwise(project(points)),
            labels,
            matrix,
            loss=loss,
            positive=positive,
            alpha=alpha,
            beta=b if loss == "margin" else None,
            squared=squared,
        )
        gradients = torch.autograd.grad(value.sum(), [points, b] if learn else [points])
        return value.detach(), gradients[0], gradients[1] if learn else torch.zeros_like(b)

    x = project(x)
    best_x, best_b = x.clone(), boundary.clone()
    best, _, _ = evaluate(x, boundary)

    def keep(value: Tensor, points: Tensor, b: Tensor) -> None:
        better = value < best
        best[better], best_x[better], best_b[better] = value[better], points[better], b[better]

    moments = [torch.zeros_like(v) for v in (x, x, boundary, boundary)]
    for step in range(1, steps + 1):
        value, g, gb = evaluate(x, boundary)
        keep(value, x, boundary)
        scale = rate * alpha * 0.5 * (1 + math.cos(math.pi * step / steps))
        # One scale for all coordinates of a run: rotating the embedding must not change its path.
        first, second = moments[0].lerp_(g, 0.1), moments[1].lerp_(g.square().mean((1, 2), True).expand_as(g), 0.01)
        x = project(x - scale * first / (1 - 0.9**step) / ((second / (1 - 0.99**step)).sqrt() + 1e-12))
        if learn:
            first, second = moments[2].lerp_(gb, 0.1), moments[3].lerp_(gb.square(), 0.01)
            boundary = boundary - scale * first / (1 - 0.9**step) / ((second / (1 - 0.99**step)).sqrt() + 1e-12)

    def descend(x: Tensor, boundary: Tensor, steps: int) -> None:
        """Polyak's steps from x; what is best so far is kept."""
        reach = 0.1 * best.abs() + 1e-12
        reference, waited = best.clone(), torch.zeros_like(best)
        for _ in range(steps):
            value, g, gb = evaluate(x, boundary)
            keep(value, x, boundary)
            progressed = best < reference - 0.5 * reach
            waited = torch.where(progressed, 0.0, waited + 1)
            reference = torch.where(progressed, best, reference)
            stuck = waited > PATIENCE
            reach, waited = torch.where(stuck, reach / 2, reach), torch.where(stuck, 0.0, waited)
            x[stuck], boundary[stuck], reference[stuck] = best_x[stuck], best_b[stuck], best[stuck]
            target = best - reach if bound is None else (best - reach).clamp_min(bound)
            size = g.square().sum((1, 2)) + gb.square()
            length = torch.where(size > 0, (value - target).clamp_min(0) / size.clamp_min(1e-300), 0.0)
            x = project(x - length.view(-1, 1, 1) * g)
            boundary = boundary - length * gb

    descend(best_x.clone(), best_b.clone(), polish)
    if bound is not None:
        # Where collapse is a flat valley (C3 at m = n - 2: the loss grows with the square of the spread) subgradients find
        # its floor but don't follow it: halve the classes' spread and descend again, for as long as that helps.
        members = torch.nn.functional.one_hot(torch.from_numpy(labels), len(matrix)).double()
        average = members @ (members / members.sum(0).clamp_min(1)).T
        for _ in range(CONTRACTIONS):
            if float((best - bound).max()) <= FLOOR * max(abs(bound), FLOOR):
                break
            descend(project((best_x + average @ best_x) / 2), best_b.clone(), polish // 8)
    order = best.argsort()
    return Minima(best_x[order], best[order], best_b[order], bound)


def _starts(
    labels: np.ndarray, t: int, dim: int, alpha: float, restarts: int, spread: float | None, seed: int
) -> Tensor:
    """Random starts, in turn: unstructured; each class around a centre of its own; each class nearly on one point."""
    rng = stream(seed, "minimise")
    x = rng.normal(size=(restarts, len(labels), dim))
    centres = rng.normal(size=(restarts, t, dim))
    scales = np.array([spread, spread] if spread is not None else [alpha, 4 * alpha])
    x *= scales[np.arange(restarts) // 3 % 2][:, None, None]
    for turn, tightness in ((1, 0.3), (2, 1e-4)):
        rows = np.arange(restarts) % 3 == turn
        x[rows] = tightness * x[rows] + 2 * alpha * centres[rows][:, labels]
    return torch.from_numpy(x)
