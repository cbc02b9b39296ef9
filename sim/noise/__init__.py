"""Label noise: transition matrices, label probabilities, and labels drawn with common random numbers.

Every kind of noise comes down to one object, the label probabilities P of shape (n, t) with P[i, y] = P(Y_i = y); labels
of different samples are independent. *Static* noise draws the labels once, *resampled* noise every time a sample is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim.catalogue import NOISE_KINDS
from sim.errors import InvalidInput, integer, number, takes, within_memory
from sim.generators import Sample
from sim.streams import stream

ROW_SUM_TOLERANCE = 1e-8


def _checked_keep(t: int, p: float) -> float:
    if t < 2:
        raise InvalidInput("t", t, "at least 2 classes (with one there is no other label to flip to)")
    if not 0 < p <= 1:
        raise InvalidInput("p", p, "0 < p <= 1 (p = 1 - noise is the probability of keeping the label)")
    return float(p)


def symmetric(t: int, p: float) -> np.ndarray:
    """Symmetric noise: the label is kept with probability p, else any other with equal probability.

    Parameters
    ----------
    t : int
        Number of classes, >= 2.
    p : float
        Probability of keeping the label, in (0, 1].

    Returns
    -------
    ndarray, shape (t, t), float64
        Transition matrix: T[c, y] = P(Y = y | class c).

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> symmetric(3, 0.8).round(3).tolist()[0]
    [0.8, 0.1, 0.1]
    """
    p = _checked_keep(t, p)
    matrix = np.full((t, t), (1 - p) / (t - 1))
    np.fill_diagonal(matrix, p)
    return matrix


def pair_flip(t: int, p: float) -> np.ndarray:
    """Pair-flip noise: class c keeps its label with probability p, else is labelled c + 1 (mod t). See `symmetric`.

    Examples
    --------
    >>> pair_flip(3, 0.75).tolist()[2]
    [0.25, 0.0, 0.75]
    """
    p = _checked_keep(t, p)
    return p * np.eye(t) + (1 - p) * np.roll(np.eye(t), 1, axis=1)


def asymmetric(matrix: Any) -> np.ndarray:
    """An arbitrary transition matrix, checked.

    Parameters
    ----------
    matrix : array_like, shape (t, t)
        Entries in [0, 1], rows summing to 1 (to 1e-8; then scaled to sum to 1).

    Returns
    -------
    ndarray, shape (t, t), float64
        A copy.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> asymmetric([[1, 0], [0.5, 0.5]]).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    >>> asymmetric([[1, 0], [0.5, 0.4]])
    Traceback (most recent call last):
    sim.errors.InvalidInput: matrix: got [1.0, 0.9]; allowed: rows that sum to 1
    """
    try:
        checked = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("matrix", matrix, "a square array of numbers") from None
    if checked.ndim != 2 or checked.shape[0] != checked.shape[1] or len(checked) < 2:
        raise InvalidInput("matrix", checked.shape, "a square matrix with at least two rows")
    if not np.all((checked >= 0) & (checked <= 1)):
        raise InvalidInput("matrix", checked.tolist(), "entries in [0, 1]")
    sums = checked.sum(1)
    if np.abs(sums - 1).max() > ROW_SUM_TOLERANCE:
        raise InvalidInput("matrix", sums.tolist(), "rows that sum to 1")
    result: np.ndarray = checked / sums[:, None]
    return result


@dataclass(frozen=True)
class Kind:
    """A kind of noise.

    Attributes
    ----------
    probabilities : callable
        (sample, level, **options) -> (n, t) label probabilities.
    transition : callable or None
        (t, level, **options) -> (t, t) matrix T with P = T[classes], where such a matrix exists.

    Examples
    --------
    >>> NOISE_KINDS["symmetric"].transition is None, NOISE_KINDS["instance"].transition is None
    (False, True)
    """

    probabilities: Callable[..., np.ndarray]
    transition: Callable[..., np.ndarray] | None = None

    @property
    def options_of(self) -> Callable[..., np.ndarray]:
        """The function whose keyword parameters are the kind's options."""
        return self.transition or self.probabilities


def class_conditional(name: str) -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Decorator: enter a function (t, level, **options) -> transition matrix as a kind of noise.

    Parameters
    ----------
    name : str

    Raises
    ------
    InvalidInput
        If another module has registered the name.

    Examples
    --------
    >>> NOISE_KINDS["pair_flip"].transition(2, 0.25).tolist()  # entered by @class_conditional("pair_flip")
    [[0.75, 0.25], [0.25, 0.75]]
    """

    def enter(matrix: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def probabilities(sample: Sample, level: float, **options: Any) -> np.ndarray:
            rows: np.ndarray = matrix(sample.t, level, **options)[sample.classes]
            return rows

        NOISE_KINDS.register(name, module=matrix.__module__)(Kind(probabilities, matrix))
        return matrix

    return enter


def sample_dependent(name: str) -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Decorator: enter a function (sample, level, **options) -> (n, t) label probabilities as a kind of noise.

    Parameters
    ----------
    name : str

    Raises
    ------
    InvalidInput
        If another module has registered the name.

    Examples
    --------
    >>> sample = Sample(np.zeros((3, 1)), np.array([0, 0, 1]), np.array([0, 1, 2]))
    >>> NOISE_KINDS["one_mode"].probabilities(sample, 0.25, mode=1, classes=[0]).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]]
    """

    def enter(probabilities: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        NOISE_KINDS.register(name, module=probabilities.__module__)(Kind(probabilities))
        return probabilities

    return enter


def check(kind: str, level: float, options: dict[str, Any]) -> Kind:
    """The kind of noise, after checking name, level and names of options.

    Raises
    ------
    InvalidInput
        For an unknown kind or option, a missing option, or a level outside [0, 1).

    Examples
    --------
    >>> check("instance", 0.2, {"sharpness": 2.0}) is NOISE_KINDS["instance"]
    True
    >>> check("symmetric", 1.0, {})
    Traceback (most recent call last):
    sim.errors.InvalidInput: noise: got 1.0; allowed: 0 <= noise < 1
    """
    level = number("noise", level, "0 <= noise < 1", lambda v: 0 <= v < 1)
    found = NOISE_KINDS[kind]
    takes("noise.params", found.options_of, options, given=("t", "sample", "level"))
    return found


def label_probabilities(kind: str, level: float, sample: Sample, **options: Any) -> np.ndarray:
    """Probabilities of the labels of each sample.

    Parameters
    ----------
    kind : str
        A name in `NOISE_KINDS`.
    level : float
        Noise level in [0, 1): probability that a label isn't kept (``symmetric``, ``pair_flip``), weight of the given
        matrix (``matrix``), mean flip probability (``instance``), flip probability in the chosen mode (``one_mode``).
    sample : Sample
    **options
        What the kind takes.

    Returns
    -------
    ndarray, shape (n, t), float64
        Rows sum to 1.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> sample = Sample(np.zeros((2, 1)), np.array([0, 1]), np.array([0, 1]))
    >>> label_probabilities("symmetric", 0.2, sample).round(3).tolist()
    [[0.8, 0.2], [0.2, 0.8]]
    """
    return check(kind, level, options).probabilities(sample, float(level), **options)


def transition(kind: str, t: int, level: float, **options: Any) -> np.ndarray:
    """The transition matrix of a class-conditional kind of noise, shape (t, t), float64.

    Raises
    ------
    InvalidInput
        If the kind has none: its labels depend on the sample, not on the class alone.

    Examples
    --------
    >>> transition("pair_flip", 2, 0.25).tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """
    matrix = check(kind, level, options).transition
    if matrix is None:
        have = ", ".join(k for k in NOISE_KINDS if NOISE_KINDS[k].transition is not None)
        raise InvalidInput("noise.kind", kind, f"one of {have}; {kind} noise has label probabilities, but no matrix")
    return matrix(t, float(level), **options)


def flip(probabilities: Tensor, classes: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Draw labels from uniforms.

    A sample keeps its label while u >= P(not kept) and otherwise takes another one by v. With u and v fixed, raising the
    noise level flips labels monotonically and reversibly (common random numbers).

    Parameters
    ----------
    probabilities : Tensor, shape (..., t)
    classes : Tensor, shape (...), int64
    u, v : Tensor, shape (...), in [0, 1)

    Returns
    -------
    Tensor, shape (...), int64

    Examples
    --------
    One in five labels flips: those whose u is below 0.2; v says where to.

    >>> probabilities = torch.tensor([[0.8, 0.1, 0.1]] * 3)
    >>> u, v = torch.tensor([0.1, 0.15, 0.9]), torch.tensor([0.2, 0.9, 0.5])
    >>> flip(probabilities, torch.zeros(3, dtype=torch.int64), u, v).tolist()
    [1, 2, 0]
    """
    own = classes.unsqueeze(-1)  # (..., 1)
    others = probabilities.scatter(-1, own, 0.0)  # (..., t)
    cumulative = others.cumsum(-1)
    total = cumulative[..., -1:]  # (..., 1): P(not kept)
    target = v.unsqueeze(-1) * total
    # Rounding may put the target on the total: the last label with any probability is then meant.
    place = torch.minimum((cumulative <= target).sum(-1), (cumulative < total).sum(-1))
    return torch.where(u < total.squeeze(-1), place, classes)


def static_labels(probabilities: np.ndarray, classes: np.ndarray, *, seed: object, exact: bool = False) -> np.ndarray:
    """Labels drawn once, as in a real data set.

    Parameters
    ----------
    probabilities : ndarray, shape (n, t)
    classes : ndarray, shape (n,), int64
    seed : object
        Run key, see `sim.streams.stream`.
    exact : bool
        Flip exact counts: with class-conditional noise, round(flip probability * n_c) samples of each class of size n_c
        (halves round up), rather than each sample on its own.

    Returns
    -------
    ndarray, shape (n,), int64

    Raises
    ------
    InvalidInput
        If there is no row for a sample, or a class isn't one of 0..t-1.

    Examples
    --------
    >>> classes = np.repeat([0, 1], 50)
    >>> flipped = static_labels(symmetric(2, 0.8)[classes], classes, seed=0, exact=True)
    >>> int((flipped != classes).sum())
    20
    """
    if len(probabilities) != len(classes):
        raise InvalidInput("probabilities", probabilities.shape, f"({len(classes)}, t), a row for each sample")
    _check_ids("classes", classes, probabilities.shape[1])
    u, v = stream(seed, "static labels").random((2, len(classes)))  # each (n,)
    if exact:
        for c in np.unique(classes):
            rows = np.flatnonzero(classes == c)
            ranks = np.argsort(np.argsort(u[rows]))
            # Half a rank keeps the threshold away from the grid, so that rounding errors can't move a sample over it.
            u[rows] = (ranks + 0.5 - 1e-9) / len(rows)
    labels = flip(*(torch.from_numpy(np.asarray(a)) for a in (probabilities, classes, u, v)))
    return labels.numpy()


def _check_ids(field: str, ids: np.ndarray, t: int) -> None:
    """Refuse what would count for another class (-1 for the last one) or stop half-way."""
    if not np.issubdtype(ids.dtype, np.integer):
        raise InvalidInput(field, ids.dtype, "whole numbers")
    if len(ids) and not 0 <= ids.min() <= ids.max() < t:
        raise InvalidInput(field, int(ids.min() if ids.min() < 0 else ids.max()), f"0 to {t - 1}")


def empirical_transition(classes: np.ndarray, labels: np.ndarray, t: int) -> np.ndarray:
    """Share of each label among the samples of each class, shape (t, t), rows summing to 1.

    Raises
    ------
    InvalidInput
        If a class has no sample, or a class or label isn't one of 0..t-1.

    Examples
    --------
    >>> empirical_transition(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    t = integer("t", t, 1)
    within_memory("t", t, 8 * t**2)
    _check_ids("classes", classes, t)
    _check_ids("labels", labels, t)
    counts = np.zeros((t, t))
    np.add.at(counts, (classes, labels), 1)
    sizes = counts.sum(1)
    if (sizes == 0).any():
        raise InvalidInput("classes", f"no sample of class {int(sizes.argmin())}", "at least one sample of each class")
    shares: np.ndarray = counts / sizes[:, None]
    return shares
