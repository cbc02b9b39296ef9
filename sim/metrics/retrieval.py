"""Retrieval with every sample as a query and all others as the database (the query is left out by its index).

Ties are treated exactly: each value is its expectation over a uniformly random order of the samples at equal
distance. Total collapse therefore scores chance, whatever the order of the samples, and no random number is drawn.
For a query with R = n_l - 1 others of its label among n - 1, let the samples at one distance be those at ranks
``first + 1 ... first + size``, ``hits`` of them with the query's label and ``before`` such hits in front of them.
Then, inside that group,

* each rank holds a hit with probability hits / size;
* given that rank i holds one, before + 1 + (i - first - 1)(hits - 1) / (size - 1) hits are expected up to and with it;
* its first K - first ranks hold no hit with probability C(size - hits, K - first) / C(size, K - first).

Tied are samples whose squared distances to the query are the same number in double precision (`sim.metrics.search`), in
any number of dimensions. So the order of the samples changes no digit of a value, nor does faiss, the memory bound or the
runs beside a run.

Queries whose label nobody else has are left out; NaN if there is no other query. Fine labels are the (class, mode)
pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from . import kernels, search
from .base import Options, Runs, metric
from .pairs import mean_in_order, sum_by, total_in_order

COMPILED_UP_TO = 64
"""Dimension up to which the compiled loop, which sums all squares, beats a matrix product that proposes."""


@dataclass(frozen=True)
class Ranked:
    """For a block of queries and the ranks 1 to k: the group of equidistant samples the rank is in; each (R, rows, k).

    Attributes
    ----------
    first : Tensor
        Number of samples strictly closer than the group.
    size, hits : Tensor
        Samples in the group (ranks beyond k included), and how many of them have the query's label.
    before : Tensor
        Samples of the query's label strictly closer than the group.
    """

    first: Tensor
    size: Tensor
    hits: Tensor
    before: Tensor


def _ranked(runs: Runs, labels: Tensor, k: int) -> Iterator[tuple[Tensor, Ranked]]:
    """The k nearest of every sample, in blocks of samples given by their places (rows,)."""
    for found in search.neighbours(runs.x, k, runs.options.max_bytes):
        own = labels[:, found.rows, None]  # (R, rows, 1)
        every = labels[:, None] if found.names is None else labels[:, found.names]
        hit = labels.gather(1, found.index.flatten(1)).view_as(found.index) == own
        yield found.rows, _grouped(found.squares, hit, found.candidates, every == own)


def _grouped(near: Tensor, hit: Tensor, d: Tensor, same: Tensor) -> Ranked:
    """Groups of equidistant samples among the nearest.

    Parameters
    ----------
    near, hit : Tensor, (R, rows, k)
        Squared distances of the nearest, ascending, and whether they have the query's label.
    d, same : Tensor, (R, rows, l)
        The same for samples among which are all as near as the k-th.
    """
    k = near.shape[-1]
    ranks = torch.arange(k, device=near.device)
    starts = torch.ones_like(hit)
    starts[..., 1:] = near[..., 1:] > near[..., :-1]
    first = torch.where(starts, ranks, 0).cummax(-1).values
    next_start = torch.where(starts, ranks, k).flip(-1).cummin(-1).values.flip(-1)
    end = torch.nn.functional.pad(next_start[..., 1:], (0, 1), value=k)
    cumulative = torch.nn.functional.pad(hit.cumsum(-1), (1, 0))  # (R, rows, k + 1)
    before = cumulative.gather(-1, first)
    hits, size = cumulative.gather(-1, end) - before, end - first

    # The last group may go on beyond rank k: count it in full.
    last = near[..., -1:]
    tied = d == last
    in_last = near == last
    size = torch.where(in_last, tied.sum(-1, keepdim=True), size)
    hits = torch.where(in_last, (tied & same).sum(-1, keepdim=True), hits)
    return Ranked(first, size, hits, before)


def _recall(ranked: Ranked, k: int) -> Tensor:
    """Probability of a hit among the first ``k``, (R, rows)."""
    first, size, hits, before = (part[..., k - 1] for part in (ranked.first, ranked.size, ranked.hits, ranked.before))
    miss = torch.ones(first.shape, dtype=torch.float64, device=first.device)
    for drawn in range(k):
        factor = (size - hits - drawn).double() / (size - drawn)
        miss = torch.where(drawn < k - first, miss * factor, miss)
    return torch.where(before > 0, 1, 1 - miss)


def _compiled(runs: Runs, k: int) -> bool:
    """Whether the compiled loop is the way to what is among the k nearest."""
    return kernels.usable(runs.x) and runs.x.shape[2] <= COMPILED_UP_TO and not search.worthwhile(runs.x, k)


def _others(labels: Tensor) -> Tensor:
    """Number of other samples with the sample's label, (R, n), float64."""
    counts = sum_by(torch.ones(labels.shape, dtype=torch.float64, device=labels.device), labels, int(labels.max()) + 1)
    return counts.gather(1, labels) - 1


def fine_retrieval(runs: Runs) -> tuple[Tensor, Tensor, Tensor]:
    """Recall at each of ``options.ks`` (R, len(ks)), R-precision (R,) and MAP@R (R,) on the fine labels.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare(torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([0, 0, 1, 1]), None, DEFAULT)
    >>> [values.tolist() for values in fine_retrieval(next(chunks))]
    [[[1.0, 1.0, 1.0, 1.0]], [1.0], [1.0]]
    """
    relevant = _others(runs.fine)
    most = runs.x.shape[1] - 1
    ks = [min(k, most) for k in runs.options.ks]
    depth = max(*ks, int(relevant.max()))
    ranks = torch.arange(depth, device=runs.x.device)
    if _compiled(runs, depth):
        samples = runs.once(kernels.side_by_side)
        values = kernels.retrieval(samples, samples.fine, ks, precision=True)
    else:
        values = runs.x.new_empty(len(ks) + 2, *relevant.shape)
        for rows, ranked in _ranked(runs, runs.fine, depth):
            counted = ranks < relevant[:, rows, None]  # (R, rows, depth)
            chance = ranked.hits.double() / ranked.size * counted
            ahead = (ranks - ranked.first) * (ranked.hits - 1).double() / (ranked.size - 1).clamp_min(1)
            precision = (ranked.before + 1 + ahead) / (ranks + 1)
            columns = [_recall(ranked, k) for k in ks]
            columns += [total_in_order(part) / relevant[:, rows] for part in (chance, chance * precision)]
            values[:, :, rows] = torch.stack(columns)
    values[:, relevant == 0] = torch.nan
    *recalls, precision, average = (mean_in_order(of_queries) for of_queries in values)
    return torch.stack(recalls, -1), precision, average


def _recall_names(options: Options) -> list[str]:
    return [f"recall_at_{k}" for k in options.ks]


@metric(degree=0, columns=_recall_names)
def recall_at_k(runs: Runs) -> Tensor:
    """Recall@K on fine labels for each K of ``options.ks``, shape (..., len(ks)).

    Share of queries with a sample of their own fine label among their K nearest. Range [0, 1], grows with K. Class
    collapse: chance among the class; total collapse: chance among all, that is 1 - C(n - 1 - R, K) / C(n - 1, K) for
    a label with R others.

    Examples
    --------
    A class on a point with two modes of two samples: one of the three others is of a sample's own mode.

    >>> x, classes = torch.tensor([[0.0], [0.0], [0.0], [0.0], [9.0]]), torch.tensor([0, 0, 0, 0, 1])
    >>> values = recall_at_k(x, classes, torch.tensor([0, 0, 1, 1, 0]), options=Options(ks=(1, 2, 3)))
    >>> [round(v, 3) for v in values.tolist()]
    [0.333, 0.667, 1.0]
    """
    return runs.once(fine_retrieval)[0]


@metric(degree=0)
def map_at_r(runs: Runs) -> Tensor:
    r"""Mean average precision at R on fine labels, mean over queries.

    .. math:: \frac{1}{R} \sum_{i \le R} P(i)\, \mathrm{rel}(i)

    R is the number of others with the query's label, P(i) the precision among the i nearest, rel(i) 1 if the i-th has
    the label (Musgrave, Belongie and Lim 2020, "A Metric Learning Reality Check"). Range [0, 1]: 1 if each label's
    samples are closer to each other than to all else. Class collapse: chance among the class; total collapse: chance
    among all (near the squared share of the label).

    Examples
    --------
    The samples at 0 and 1 find their label first, then the other one: 1/2. The sample at 3 finds it second: 1/4.

    >>> x, classes = torch.tensor([[0.0], [1.0], [3.0], [2.5]]), torch.tensor([0, 0, 0, 1])
    >>> round(map_at_r(x, classes).item(), 3)
    0.417
    """
    return runs.once(fine_retrieval)[2]


@metric(degree=0)
def r_precision(runs: Runs) -> Tensor:
    """R-precision on fine labels: share of the query's label among its R nearest, mean over queries.

    Musgrave et al. 2020. R is the number of others with the query's label. Range [0, 1]. Class collapse: chance among
    the class, R / (n_c - 1); total collapse: chance among all, R / (n - 1).

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [1.0], [3.0], [2.5]]), torch.tensor([0, 0, 0, 1])
    >>> r_precision(x, classes).item()  # each finds its label once among the R = 2 nearest
    0.5
    """
    return runs.once(fine_retrieval)[1]


@metric(degree=0)
def class_recall_at_1(runs: Runs) -> Tensor:
    """Recall@1 with the class as label: share of queries whose nearest other sample is of their class.

    Range [0, 1]; class collapse 1; total collapse: chance, (n_c - 1) / (n - 1).

    Examples
    --------
    >>> classes = torch.tensor([0, 0, 1, 1])
    >>> class_recall_at_1(torch.tensor([[0.0], [0.0], [5.0], [5.0]]), classes).item()  # class collapse
    1.0
    >>> round(class_recall_at_1(torch.zeros(4, 1), classes).item(), 3)  # total collapse: one of three others
    0.333
    """
    if _compiled(runs, 1):
        samples = runs.once(kernels.side_by_side)
        (values,) = kernels.retrieval(samples, samples.classes, [1], precision=False)
    else:
        values = runs.x.new_empty(runs.classes.shape)
        for rows, ranked in _ranked(runs, runs.classes, 1):
            values[:, rows] = _recall(ranked, 1)
    return mean_in_order(torch.where(_others(runs.classes) > 0, values, torch.nan))
