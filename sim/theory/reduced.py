"""Expected losses of cosines that are convex in an anchor's row: their least value over *all* embeddings, as a small convex program.

Let an anchor's expected term be convex in its row of cosines and unchanged where samples of one class change places (all positives; N-pair of
cosines, NT-Xent, SupCon, multi-similarity). Averaging the Gram matrix over the permutations inside classes keeps it positive semidefinite with a unit
diagonal and does not raise the loss (Jensen). What is left are the cosines sigma_A inside and rho_AB between classes of k_A samples; the matrix M,
M_AA = (1 + (k_A - 1) sigma_A) / k_A, M_AB = rho_AB, is positive semidefinite with M_AA <= 1, and every such M is the average of an embedding. So

    min over all embeddings in R^n = min F(M) over M >= 0, M_AA <= 1,

and no embedding in any R^m lies below. sigma_A = 1 for all A: the collapsed embedding with the Gram matrix M of its centres is a global minimiser.

Certificate. With the gradient G of F at M and multipliers l_A >= 0 (free where k_A = 1) such that G + diag(l) >= 0, convexity gives for every
feasible M': F(M') >= F(M) + <G, M' - M> >= F(M) - <G, M> - sum_A l_A, however M was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq, minimize

from sim import noise
from sim.errors import InvalidInput, choice, integer, number, within_memory
from sim.streams import stream
from sim.theory.expected import check_labels
from sim.theory.similarity import MATRICES_HELD, Expectation, checked_parameters, positive_shares
from sim.verdict import Verdict

CONVEX = ("npair", "ntxent", "supcon", "multi_similarity")
"""Losses whose expected terms are convex in the anchor's row of cosines, with all positives."""

UNCHANGED_BY_CONSTANTS = ("npair", "ntxent", "supcon")
"""Those whose terms don't change if a constant is added to the row."""

CLOSE = 1e-8
"""Relative difference of values that count as equal: what a bound of a solution in float64 is away from it at the most."""

FULL = 1e-7
"""By how much M_AA may fall short of 1 where its constraint counts as active."""

STARTS = 2

MOST_CLASSES = 16
"""The solver's matrix has the fourth power of them."""

FAR = 60.0
"""A gap that no best row has: e^-60 is below rounding."""


@dataclass(frozen=True)
class Least:
    """A least value, from both sides.

    Attributes
    ----------
    value : float
        F at ``centres``.
    bound : float
        By the multipliers: nothing lies below, but for rounding.
    centres : ndarray, shape (t, t)
        M, the products of the classes' mean embeddings.
    multipliers : ndarray, shape (t,)
        l_A.
    """

    value: float
    bound: float
    centres: np.ndarray
    multipliers: np.ndarray


@dataclass(frozen=True)
class Reduced:
    """The least expected loss on unit spheres.

    Attributes
    ----------
    all : Least
        Over all embeddings, in any dimension; attained in R^n.
    collapsed : Least
        Over the collapsed ones, M_AA = 1; attained in R^t.
    within : ndarray, shape (t,)
        sigma_A at the first, cosines inside classes. NaN for a class of one sample. It need not be the only one: where adding a constant to a
        row changes nothing, spread embeddings can be as good as collapsed ones.
    """

    all: Least
    collapsed: Least
    within: np.ndarray

    @property
    def verdict(self) -> Verdict:
        """Is a collapsed embedding a global minimiser, in every dimension that holds its centres? ``fails``: not even in R^n.

        Examples
        --------
        >>> least, more = (Least(value, value - 1e-12, np.eye(2), np.zeros(2)) for value in (1.0, 1.1))
        >>> [Reduced(least, best, np.ones(2)).verdict for best in (least, more)]
        ['holds', 'fails']
        """
        if self.collapsed.value - self.all.bound <= CLOSE * abs(self.all.value):
            return "holds"
        return "fails" if self.collapsed.bound > self.all.value * (1 + CLOSE) else "inconclusive"


class _Program:
    """F and its gradient in M."""

    def __init__(self, labels: np.ndarray, matrix: np.ndarray, loss: str, given: dict[str, Any]) -> None:
        self.labels = labels
        self.members = np.eye(len(matrix))[labels]  # (n, t)
        self.sizes = self.members.sum(0)
        self.expectation = Expectation(loss, "all", labels, matrix, given)

    def within(self, centres: np.ndarray) -> np.ndarray:
        """sigma_A (t,) of M."""
        k = self.sizes
        return np.where(k > 1, (k * centres.diagonal() - 1) / np.maximum(k - 1, 1), np.nan)

    def evaluate(self, centres: np.ndarray) -> tuple[float, np.ndarray]:
        """F and G (t, t), symmetric, of M (t, t)."""
        s = centres.copy()
        np.fill_diagonal(s, np.nan_to_num(self.within(centres), nan=1.0))
        cosines = torch.from_numpy(s[np.ix_(self.labels, self.labels)]).requires_grad_()  # its diagonal isn't read
        value = self.expectation.terms(cosines).sum()
        (slope,) = torch.autograd.grad(value, cosines)
        blocks = self.members.T @ slope.numpy() @ self.members
        gradient = (blocks + blocks.T) / 2
        np.fill_diagonal(gradient, blocks.diagonal() * self.sizes / np.maximum(self.sizes - 1, 1))
        return float(value.detach()), gradient

    def least(self, spread: bool) -> Least:
        """Minimise over M; not ``spread``: with M_AA = 1.

        M = V V' with rows of V in the unit ball: the rest of a row's length is a coordinate of its own, so that rows are on spheres and any
        descent will do. V is square, so a local minimum in V is one in M, hence global; the bound says how near it is.
        """
        t = len(self.sizes)
        open_ = np.append(np.ones((t, t)), (spread & (self.sizes > 1))[:, None], axis=1)  # (t, t + 1)

        def of(flat: np.ndarray) -> tuple[float, np.ndarray]:
            w = flat.reshape(t, t + 1) * open_
            length = np.linalg.norm(w, axis=1, keepdims=True)
            unit = w / length
            value, gradient = self.evaluate(unit[:, :t] @ unit[:, :t].T)
            slope = np.append(2 * gradient @ unit[:, :t], np.zeros((t, 1)), axis=1)
            return value, ((slope - (slope * unit).sum(1, keepdims=True) * unit) / length * open_).ravel()

        draws = stream(0, "reduced program")
        found = [
            minimize(
                of, draws.normal(size=t * (t + 1)), jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 400}
            )
            for _ in range(STARTS)
        ]
        w = min(found, key=lambda end: float(end.fun)).x.reshape(t, t + 1) * open_
        unit = (w / np.linalg.norm(w, axis=1, keepdims=True))[:, :t]
        return self.bounded(unit @ unit.T, spread)

    def bounded(self, centres: np.ndarray, spread: bool) -> Least:
        """F at M, and by the multipliers that M suggests a bound of F everywhere."""
        value, gradient = self.evaluate(centres)
        fixed = ~(spread & (self.sizes > 1))
        # Where M_AA < 1 there is no multiplier; elsewhere entry AA of (G + diag(l)) M is 0.
        at = -(gradient @ centres).diagonal() / centres.diagonal()
        at = np.where(fixed, at, np.where(centres.diagonal() < 1 - FULL, 0.0, np.maximum(at, 0.0)))
        at = at + max(-float(np.linalg.eigvalsh(gradient + np.diag(at))[0]), 0.0)
        return Least(value, value - float((gradient * centres).sum()) - float(at.sum()), centres, at)


def reduced_minimum(classes: Any, transition: Any, *, loss: str, **params: Any) -> Reduced:
    """Minimise an expected loss of cosines, with all positives, over all embeddings on unit spheres of all dimensions, and over collapsed ones.

    Parameters
    ----------
    classes : array, shape (n,), integers
    transition : array, shape (t, t)
    loss : str
        One of `CONVEX`.
    **params
        As in `sim.theory.expected_similarity_loss`.

    Returns
    -------
    Reduced

    Raises
    ------
    InvalidInput

    Examples
    --------
    SupCon collapses classes of equal size; of three and nine samples the larger class stays spread out.

    >>> from sim.noise import symmetric
    >>> for sizes in ([6, 6], [3, 9]):
    ...     found = reduced_minimum(np.repeat([0, 1], sizes), symmetric(2, 0.9), loss="supcon", temperature=0.1)
    ...     print(found.verdict, f"{found.all.value:.4f} {found.collapsed.value:.4f}")
    holds 25.4641 25.4641
    fails 26.4227 26.6423
    """
    choice("loss", loss, CONVEX)
    labels, matrix = check_labels(classes, transition)
    given = checked_parameters(loss, {**({"cosine": True} if loss == "npair" else {}), **params})
    if not given["cosine"]:
        raise InvalidInput("cosine", False, "True: dot products have no bound")
    if len(np.unique(labels)) < len(matrix):
        raise InvalidInput("classes", sorted(set(labels.tolist())), f"all of 0 to {len(matrix) - 1}")
    if len(matrix) > MOST_CLASSES:
        raise InvalidInput("transition", matrix.shape, f"at most {MOST_CLASSES} classes")
    within_memory("n", len(labels), 8 * MATRICES_HELD * len(labels) ** 2)
    program = _Program(labels, matrix, loss, given)
    collapsed = program.least(spread=False)
    # Where the collapsed embedding is best, its own multipliers say so more sharply than those of a solution near it.
    free = max(
        program.least(spread=True), program.bounded(collapsed.centres, spread=True), key=lambda least: least.bound
    )
    return Reduced(free, collapsed, program.within(free.centres))


def best_gap(per_class: int, transition: Any, *, loss: str) -> float:
    """g*: by how much an anchor's cosines to its own class exceed the others' in its best row, over the temperature; equal sizes and symmetric noise.

    SupCon: log(c_in / c_out) exactly, c from `positive_shares`. Else the zero of a monotone derivative, to 1e-12.

    Parameters
    ----------
    per_class : int
        Samples of each class, k >= 2.
    transition : array, shape (t, t)
        Of symmetric noise.
    loss : str
        One of `UNCHANGED_BY_CONSTANTS`.

    Returns
    -------
    float
        0 at p = 1/t; infinite where it is beyond rounding (p = 1).

    Examples
    --------
    >>> from sim.noise import symmetric
    >>> [round(best_gap(12, symmetric(2, p), loss=loss), 3) for loss in ("supcon", "ntxent") for p in (0.95, 0.7)]
    [2.333, 0.348, 4.624, 0.693]
    """
    choice("loss", loss, UNCHANGED_BY_CONSTANTS)
    t = len(noise.asymmetric(transition))
    per_class = integer("per_class", per_class, 2)
    within_memory("per_class", per_class, 8 * MATRICES_HELD * (t * per_class) ** 2)
    labels, matrix = check_labels(np.repeat(np.arange(t), per_class), transition)
    if np.ptp(matrix.diagonal()) > 1e-12 or np.ptp(matrix[~np.eye(t, dtype=bool)]) > 1e-12:
        raise InvalidInput("transition", matrix.tolist(), "symmetric noise: one value on the diagonal, one off it")
    if loss == "supcon":
        shares = positive_shares(np.bincount(labels), matrix)
        with np.errstate(divide="ignore"):
            return float(np.log(shares[0, 0] / shares[0, 1]))
    expectation = Expectation("ntxent", "all", labels, matrix, {"temperature": 1.0})
    same = torch.from_numpy((labels[:, None] == labels).astype(np.float64))

    def slope(gap: float) -> float:
        x = torch.tensor(gap, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(expectation.terms(x * same).sum(), x)
        return float(found)

    if slope(FAR) < 0:
        return float("inf")
    if slope(-FAR) > 0:
        return float("-inf")
    return float(brentq(slope, -FAR, FAR, xtol=1e-13, rtol=1e-14))


def limit_of_gap(p: float) -> float:
    """Of p in (0, 1): g* of NT-Xent for two classes as their sizes grow: e^g* = (s^2 - r + sqrt((s^2 - r)^2 + 8 s r^3)) / (4 r^2), r = p (1 - p), s = 1 - 2 r.

    Examples
    --------
    >>> round(limit_of_gap(0.9), 3), round(limit_of_gap(0.5), 3)
    (3.586, 0.0)
    """
    p = number("p", p, "0 < p < 1", lambda v: 0 < v < 1)
    r = p * (1 - p)
    s = 1 - 2 * r
    x = s * s - r
    return float(np.log((x + np.sqrt(x * x + 8 * s * r**3)) / (4 * r * r)))
