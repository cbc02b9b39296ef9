"""What all metrics share: the checked and batched input, the options, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from sim.catalogue import METRICS
from sim.errors import InvalidInput, integer, number

from .inputs import Array, embedding_tensor, label_numbers

T = TypeVar("T")

IN_RANGE = 2.0**200
"""Embeddings whose largest number is beyond this, or below its reciprocal, are scaled before anything is squared."""


class NotComputable(InvalidInput):
    """A metric that can't be computed on this input, though others can.

    Its public function raises it; ``evaluate`` and ``evaluate_runs`` put NaN in its place and warn.

    Examples
    --------
    >>> raise NotComputable("max_bytes", 100, "at least 440 to cluster a class of 11 samples")
    Traceback (most recent call last):
    sim.metrics.base.NotComputable: max_bytes: got 100; allowed: at least 440 to cluster a class of 11 samples
    """


@dataclass(frozen=True)
class Options:
    """What a metric may be asked to do differently.

    Parameters
    ----------
    ks : sequence of int
        The K of Recall@K, each at least 1. A K beyond the number of other samples means all of them.
    scale : float
        Link distance of the sub-cluster counts in units of the mean between-class distance, > 0. Samples of a class
        that are linked by steps shorter than that are one sub-cluster. The default, 0.2, says: pieces of a class are
        sub-clusters when the gap between them is at least a fifth of the distance between classes. It is relative, so
        it means the same whatever the margin or the normalisation, and a class that has shrunk against the others
        counts as one piece.
    link_distance : float or None
        An absolute link distance, >= 0, used in place of ``scale`` when given.
    min_fraction : float
        Sub-clusters with fewer than this share of their class (and those of one sample) are not counted; in [0, 1].
    k_max : int
        Largest number of components that the Gaussian mixture tries, at least 1.
    max_bytes : int
        Bound on the temporaries alive at a time. One run, and of it one row of distances, is the least that is worked
        on.

    Raises
    ------
    InvalidInput
        A value out of its range.

    Examples
    --------
    >>> Options(ks=(1, 10)).ks
    (1, 10)
    >>> Options(scale=0.0)
    Traceback (most recent call last):
    sim.errors.InvalidInput: scale: got 0.0; allowed: a finite number above 0
    """

    ks: tuple[int, ...] = (1, 2, 4, 8)
    scale: float = 0.2
    link_distance: float | None = None
    min_fraction: float = 0.05
    k_max: int = 8
    max_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        for name in ("k_max", "max_bytes"):
            object.__setattr__(self, name, integer(name, getattr(self, name), least=1))
        ks = tuple(self.ks) if np.iterable(self.ks) and not isinstance(self.ks, str) else ()
        if not ks:
            raise InvalidInput("ks", self.ks, "one or more integers in a sequence, such as (1, 10)")
        object.__setattr__(self, "ks", tuple(integer("ks", k, 1, 10**9) for k in ks))
        checks: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
            ("scale", "a finite number above 0", lambda v: v > 0),
            ("link_distance", "None or a finite number of at least 0", lambda v: v >= 0),
            ("min_fraction", "a number in [0, 1]", lambda v: 0 <= v <= 1),
        )
        for name, allowed, ok in checks:
            if name != "link_distance" or self.link_distance is not None:
                object.__setattr__(self, name, number(name, getattr(self, name), allowed, ok))


DEFAULT = Options()


@dataclass(frozen=True, eq=False)
class Runs:
    """Checked embeddings of R runs with their labels renumbered from 0.

    Attributes
    ----------
    x : Tensor, (R, n, m), float64
        The embeddings. Double precision costs less than a factor 2 in time, and it keeps the collapse regime readable.
    classes : Tensor, (R, n), int64
        Class numbers, 0 to ``n_classes - 1``. A class may be absent from some of the runs.
    fine : Tensor, (R, n), int64
        Numbers of the (class, mode) pairs, 0 to ``len(class_of_fine) - 1``.
    class_of_fine : Tensor, (F,), int64
        The class each of those pairs belongs to.
    n_classes : int
    options : Options
    exponents : Tensor or None, (R,), int64
        The powers of two that ``x`` has been divided by, if any of them isn't 0 (see `in_range`).

    Examples
    --------
    >>> _, chunks = prepare(torch.zeros(4, 1), torch.tensor([5, 5, 8, 8]), torch.tensor([0, 1, 0, 0]), DEFAULT)
    >>> runs = next(chunks)
    >>> runs.classes.tolist(), runs.fine.tolist(), runs.class_of_fine.tolist()
    ([[0, 0, 1, 1]], [[0, 1, 2, 2]], [0, 0, 1])
    """

    x: Tensor
    classes: Tensor
    fine: Tensor
    class_of_fine: Tensor
    n_classes: int
    options: Options
    exponents: Tensor | None = None
    _memo: dict[Callable[..., Any], Any] = field(default_factory=dict)

    def only(self, run: int) -> Runs:
        """One of the runs.

        Examples
        --------
        >>> _, chunks = prepare([[[0.0], [1.0]], [[2.0], [3.0]]], [0, 1], None, DEFAULT)
        >>> next(chunks).only(1).x.tolist()
        [[[2.0], [3.0]]]
        """
        of = slice(run, run + 1)
        exponents = None if self.exponents is None else self.exponents[of]
        return replace(self, x=self.x[of], classes=self.classes[of], fine=self.fine[of], exponents=exponents, _memo={})

    def once(self, compute: Callable[[Runs], T]) -> T:
        """``compute(self)``, kept: what several metrics need is computed a single time.

        Examples
        --------
        >>> _, chunks = prepare(torch.zeros(2, 1), torch.tensor([0, 1]), None, DEFAULT)
        >>> runs, number = next(chunks), lambda runs: print("computed") or runs.n_classes
        >>> runs.once(number), runs.once(number)
        computed
        (2, 2)
        """
        if compute not in self._memo:
            self._memo[compute] = compute(self)
        result: T = self._memo[compute]
        return result


def in_range(runs: Runs) -> Runs:
    """The runs, those out of range divided by a power of two that brings them to about 1.

    Examples
    --------
    >>> _, chunks = prepare([[[1e200], [0.0]], [[1.0], [0.0]]], [0, 1], None, DEFAULT)
    >>> scaled = in_range(next(chunks))
    >>> bool(0.5 <= scaled.x[0, 0, 0] < 1), scaled.x[1, 0, 0].item(), scaled.exponents.tolist()
    (True, 1.0, [665, 0])
    """
    largest = runs.x.abs().amax((1, 2))
    outside = (largest > IN_RANGE) | ((largest < 1 / IN_RANGE) & (largest > 0))
    if not outside.any():
        return runs
    exponents = torch.where(outside, torch.frexp(largest).exponent.long(), 0)
    return replace(runs, x=times_power_of_two(runs.x, -exponents), exponents=exponents, _memo={})


def times_power_of_two(values: Tensor, exponents: Tensor) -> Tensor:
    """``values`` (R, ...) times 2**exponents (R,), exactly wherever the result is a normal number.

    Examples
    --------
    >>> times_power_of_two(torch.tensor([3.0]).double(), torch.tensor([-2])).tolist()
    [0.75]
    """
    half = exponents // 2
    for part in (half, exponents - half):  # either half is the exponent of a normal number, the whole may not be
        factor = ((part + 1023) << 52).view(torch.float64)
        values = values * factor.view(-1, *[1] * (values.ndim - 1))
    return values


class Metric(Protocol):
    """A public metric: embeddings (..., n, m) to values (...), or (..., columns) for a metric with several columns.

    Examples
    --------
    >>> from sim.metrics.spread import within_max
    >>> shown: Metric = within_max
    >>> shown(np.array([[0.0], [3.0], [9.0]]), np.array([0, 0, 1])).item()
    3.0
    """

    __name__: str

    def __call__(
        self, embeddings: Array, classes: Array, modes: Array | None = None, *, options: Options = DEFAULT
    ) -> Tensor: ...


@dataclass(frozen=True)
class Entry:
    """A registered metric.

    Attributes
    ----------
    compute : callable
        `Runs` -> values, (R,) or (R, number of columns).
    columns : callable
        `Options` -> names of the columns.
    heavy : bool
        It clusters, and is left out where time matters.
    degree : int or None
        See `metric`.

    Examples
    --------
    >>> METRICS["recall_at_k"].columns(Options(ks=(1, 10))), METRICS["mode_nmi"].heavy
    (['recall_at_1', 'recall_at_10'], True)
    """

    compute: Callable[[Runs], Tensor]
    columns: Callable[[Options], Sequence[str]]
    heavy: bool
    degree: int | None = None

    def values(self, runs: Runs) -> Tensor:
        """``compute(runs)`` at a scale at which nothing can overflow, if it is known how the metric scales.

        Examples
        --------
        >>> _, chunks = prepare([[3e200], [0.0], [9e200]], [0, 0, 1], None, DEFAULT)
        >>> METRICS["within_max"].values(next(chunks)).tolist()
        [3e+200]
        """
        if self.degree is None:
            return self.compute(runs)
        scaled = runs.once(in_range)
        values = self.compute(scaled)
        if scaled.exponents is None or self.degree == 0:
            return values
        return times_power_of_two(values, self.degree * scaled.exponents)


def metric(
    *,
    degree: int | None = None,
    heavy: bool = False,
    columns: Callable[[Options], Sequence[str]] | None = None,
) -> Callable[[Callable[[Runs], Tensor]], Metric]:
    """Register ``compute(runs) -> (R,)`` under its name and turn it into the public function of that name.

    Parameters
    ----------
    degree : int, optional
        The power of the embeddings' scale that the metric grows with: 0 if it doesn't change with scale, 1 for a
        length. It is then computed without overflow however large or small the embeddings are; without it, ``compute``
        gets them as they are.
    heavy : bool
        It clusters each class of each run. ``evaluate(..., heavy=False)`` leaves it out.
    columns : callable, optional
        Names of the columns of a metric whose ``compute`` returns (R, number of columns).

    Raises
    ------
    InvalidInput
        If another module has registered the name.

    Examples
    --------
    >>> def reach(runs):
    ...     return runs.x.norm(dim=-1).amax(-1)  # (R, n, m) -> (R,)
    >>> with METRICS.replaced("reach", Entry(reach, lambda options: ["reach"], False)):  # what @metric() does, for good
    ...     from sim.metrics import evaluate
    ...     evaluate(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([0, 1]), torch.tensor([0, 0]))["reach"]
    5.0
    """

    def register(compute: Callable[[Runs], Tensor]) -> Metric:
        name = compute.__name__
        entry = Entry(compute, columns or (lambda options: (name,)), heavy, degree)

        def public(
            embeddings: Array, classes: Array, modes: Array | None = None, *, options: Options = DEFAULT
        ) -> Tensor:
            leading, chunks = prepare(embeddings, classes, modes, options)
            values = torch.cat([entry.values(runs) for runs in chunks])
            return values.reshape(leading + values.shape[1:])

        public.__name__ = public.__qualname__ = name
        public.__module__, public.__doc__ = compute.__module__, compute.__doc__
        METRICS.register(name, module=compute.__module__)(entry)
        return public

    return register


def prepare(
    embeddings: Array, classes: Array, modes: Array | None, options: Options
) -> tuple[torch.Size, Iterator[Runs]]:
    """Check the input and cut it into runs that fit the memory bound together.

    Parameters
    ----------
    embeddings : array-like, (..., n, m)
        Real and finite.
    classes, modes : array-like, (n,) or (..., n)
        Integer or string ids, any values. ``modes=None`` puts all samples of a class into one mode. A fine label is the PAIR of
        both, so mode ids may start anew in each class or run through all of them.
    options : Options

    Returns
    -------
    leading : torch.Size
        The batch axes of ``embeddings``.
    chunks : iterator of Runs
        All runs, in order.

    Raises
    ------
    InvalidInput
        Wrong shape or type, NaN or infinity, no sample, or a run with fewer than two classes.

    Examples
    --------
    >>> leading, chunks = prepare(torch.zeros(2, 5, 3, 1), np.array([7, 7, 9]), None, DEFAULT)
    >>> leading, [tuple(runs.x.shape) for runs in chunks]
    (torch.Size([2, 5]), [(10, 3, 1)])
    >>> prepare(torch.zeros(3, 1), np.array([7, 7, 7]), None, DEFAULT)
    Traceback (most recent call last):
    sim.errors.InvalidInput: classes: got [7]; allowed: at least two classes in each run
    """
    x = embedding_tensor(embeddings)
    if x.ndim < 2 or 0 in x.shape:
        raise InvalidInput("embeddings", tuple(x.shape), "shape (..., n, m), no axis empty")
    leading = x.shape[:-2]
    x = x.reshape(-1, *x.shape[-2:])
    finite = x.isfinite()
    if not finite.all():
        run, sample, axis = (~finite).nonzero()[0].tolist()
        where = f"finite numbers (the first that is not: run {run}, sample {sample}, axis {axis})"
        raise InvalidInput("embeddings", x[run, sample, axis].item(), where)

    class_ids, classes_index = _ids("classes", classes, leading, x)
    if (classes_index.amin(-1) == classes_index.amax(-1)).any():
        raise InvalidInput("classes", class_ids, "at least two classes in each run")
    mode_ids, modes_index = _ids("modes", torch.zeros_like(classes_index[0]) if modes is None else modes, leading, x)
    pairs, fine = torch.unique(classes_index * len(mode_ids) + modes_index, return_inverse=True)

    n, m = x.shape[1:]
    # Per run: about a dozen arrays of the embeddings' shape, and as many of one number a sample, are alive at a time.
    step = max(1, options.max_bytes // (8 * 16 * n * (m + 1)))

    def chunks() -> Iterator[Runs]:
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            yield Runs(
                x=x[part].double(),
                classes=classes_index[part],
                fine=fine[part],
                class_of_fine=pairs.div(len(mode_ids), rounding_mode="floor"),
                n_classes=len(class_ids),
                options=options,
            )

    return leading, chunks()


def _ids(name: str, labels: Array, leading: torch.Size, x: Tensor) -> tuple[list[Any], Tensor]:
    """Distinct ids, and the labels of all runs (R, n) as positions among them."""
    ids, index = label_numbers(name, labels, x.device)
    n = x.shape[1]
    if index.shape not in {(n,), (*leading, n)}:
        shapes = " or ".join(str(shape) for shape in dict.fromkeys([(n,), (*leading, n)]))
        raise InvalidInput(name, tuple(index.shape), f"shape {shapes}, as the embeddings have")
    return ids, index.expand(*leading, n).reshape(-1, n)
