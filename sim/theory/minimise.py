"""Minimisers of expected losses over free embeddings, many restarts as one batched program, see `sim.theory.descent`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import distances
from sim.errors import InvalidInput, choice, integer, number, within_memory
from sim.streams import stream
from sim.theory.descent import Descent, Objective, OfDistances, OfSimilarities, Search
from sim.theory.expected import LOSSES, POSITIVES, check_labels, check_loss
from sim.theory.similarity import Expectation, checked_parameters

GEOMETRIES = ("plane", "sphere")
SIMILARITY_LOSSES = ("npair", "ntxent", "supcon", "multi_similarity")
"""Losses of dot products that are minimised, too; not the lifted one, which is exact only where its hinge doesn't act."""


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


def minimise(
    classes: Any,
    transition: Any,
    *,
    loss: str = "triplet",
    positive: str = "all",
    alpha: float | None = None,
    beta: float | str | None = None,
    squared: bool = False,
    dim: int = 2,
    geometry: str = "plane",
    bound: float | None = None,
    restarts: int = 32,
    seed: int = 0,
    start: Tensor | None = None,
    search: Search | None = None,
    collapsed: bool = False,
    **params: Any,
) -> Minima:
    """Minimise an expected loss over n free points.

    Parameters
    ----------
    classes, transition, loss, positive, alpha, squared
        See `expected_loss`; or a loss of `SIMILARITY_LOSSES`, of dot products, with its own parameters (`expected_similarity_loss`).
    beta : float, ``"learn"`` or None
        Boundary of the margin loss: given, or minimised over too. Of a similarity loss, its parameter.
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
    collapsed : bool
        Minimise over embeddings with each class on one point: what a free minimiser has to beat.
    **params
        Of a similarity loss.

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

    And so with SupCon on the sphere, at the best collapsed embedding's value (C12).

    >>> setting = {"loss": "supcon", "temperature": 0.1, "dim": 3, "geometry": "sphere", "restarts": 3, "search": Search(400, 400)}
    >>> free, collapsed = (minimise(classes, symmetric(2, 0.9), collapsed=c, **setting) for c in (False, True))
    >>> bool(within_between(free.distances(), classes)[0].max() < 0.02), abs(free.best / collapsed.best - 1) < 1e-5
    (True, True)
    """
    labels, matrix = check_labels(classes, transition)
    choice("geometry", geometry, GEOMETRIES)
    dim = integer("dim", dim, 1 if geometry == "plane" else 2)
    restarts = integer("restarts", restarts, 1)
    seed = integer("seed", seed, 0)
    choice("collapsed", collapsed, (False, True))
    if bound is not None:
        bound = number("bound", bound, "a finite number or None", lambda _: True)
    search = search or Search()
    search.check()
    n = len(labels)
    within_memory("restarts", restarts, 8 * restarts * n * max(n, dim))
    count = len(matrix) if collapsed else n
    if start is not None and (not isinstance(start, Tensor) or start.dim() != 3 or start.shape[1] != count):
        got = tuple(start.shape) if isinstance(start, Tensor) else start
        raise InvalidInput(
            "start", got, f"a tensor (R, {count}, m), one point for each {'class' if collapsed else 'sample'}"
        )
    objective = _objective(labels, matrix, geometry, bool(collapsed), loss, positive, alpha, beta, squared, params)
    if start is None:
        places = np.arange(len(matrix)) if collapsed else labels
        start = _starts(places, len(matrix), dim, objective.unit, restarts, search.spread, seed)
    points = objective.project(distances.floating("start", start).double().numpy(force=True).copy())  # (R, n, m)
    boundary = np.full(len(points), np.nan)  # (R,)
    if loss == "margin":
        boundary[:] = objective.unit if isinstance(beta, str) or beta is None else beta
    descent = Descent(objective, points, boundary, bound)
    descent.adam(points, boundary, search)
    descent.polish(descent.points, descent.beta, search.polish)
    if bound is not None and not collapsed:
        descent.contract(search.polish // 8)
    order = descent.values.argsort(kind="stable")
    embeddings, values, betas = (
        torch.from_numpy(x[order]) for x in (objective.expanded(descent.points), descent.values, descent.beta)
    )
    return Minima(embeddings, values, betas, bound)


def _objective(
    labels: np.ndarray,
    matrix: np.ndarray,
    geometry: str,
    collapsed: bool,
    loss: str,
    positive: str,
    alpha: Any,
    beta: Any,
    squared: bool,
    params: dict[str, Any],
) -> Objective:
    """What is to be minimised, its loss and parameters checked."""
    choice("loss", loss, (*LOSSES, *SIMILARITY_LOSSES))
    if loss in SIMILARITY_LOSSES:
        choice("positive", positive, POSITIVES)
        if squared:
            raise InvalidInput(
                "squared", squared, f"False: squared terms belong to the contrastive loss, not to {loss}"
            )
        given = {**params, **{name: x for name, x in (("alpha", alpha), ("beta", beta)) if x is not None}}
        expectation = Expectation(loss, positive, labels, matrix, checked_parameters(loss, given))
        return OfSimilarities(labels, matrix, geometry, collapsed, expectation)
    for name, value in params.items():
        raise InvalidInput(name, value, f"nothing: {loss} has alpha, and margin beta")
    if isinstance(beta, str) and beta != "learn":
        raise InvalidInput("beta", beta, "a number, 'learn' or None")
    first = alpha if loss == "margin" and isinstance(beta, (str, type(None))) else beta
    alpha, _ = check_loss(loss, positive, alpha, first, squared)
    return OfDistances(labels, matrix, geometry, collapsed, loss, positive, alpha, bool(squared), beta == "learn")


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
