"""Compiled kernels for the CPU, where they are several times faster than the tensor programs they replace.

They are used where Numba is installed (the extra ``fast``) and the batch is on the CPU. The tensor programs beside them
say what they compute, and tests hold the two to one another. Runs are spread over PyTorch's number of threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor

# AVAILABLE: whether the kernels can be used here; set it to False to do without them.
from sim.compiled import AVAILABLE as AVAILABLE
from sim.compiled import compiled


class Choice(IntEnum):
    """Ways of choosing that compiled code knows. For a positive easy is the nearest, for a negative the farthest.

    Examples
    --------
    >>> [kind.name for kind in Choice if kind.single]
    ['RANDOM', 'EASY', 'HARD', 'SEMIHARD']
    """

    RANDOM = 0
    EASY = 1
    HARD = 2
    SEMIHARD = 3
    ALL = 4
    DISTANCE_WEIGHTED = 5

    @property
    def single(self) -> bool:
        """Whether `choose_singles` takes it."""
        return self <= Choice.SEMIHARD


BRUTE_FORCE_UP_TO = 512
"""Batch size up to which comparing every positive with every negative beats sorting."""

_pool = ThreadPoolExecutor(torch.get_num_threads())


def usable(tensor: Tensor) -> bool:
    """Whether kernels take this tensor.

    Examples
    --------
    >>> usable(torch.zeros(3, dtype=torch.int64))  # whole numbers
    False
    """
    return AVAILABLE and tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


def over_runs(kernel: Callable[..., None], runs: int, *inputs: Any, out: Sequence[Tensor] = ()) -> None:
    """Call ``kernel(*inputs, *out, first, last)`` on shares of the runs, a thread each.

    Tensors among the inputs may be copied; what is written to is either an array or in ``out``, which is contiguous: nothing would come
    back from a copy.
    """
    global _pool
    assert all(t.is_contiguous() for t in out)
    arrays = [t.detach().contiguous().numpy() if isinstance(t, Tensor) else t for t in (*inputs, *out)]
    threads = min(torch.get_num_threads(), runs)
    if threads == 1:
        kernel(*arrays, 0, runs)
        return
    if _pool._max_workers < threads:
        _pool = ThreadPoolExecutor(threads)
    cuts = [runs * k // threads for k in range(threads + 1)]
    for future in [_pool.submit(kernel, *arrays, a, b) for a, b in itertools.pairwise(cuts)]:
        future.result()


@compiled
def _squared_row(x: Any, r: int, i: int, row: Any) -> None:
    """Squared distances from point i to all; ``x`` is (R, m, B) so that the inner loop runs along memory."""
    row[:] = 0
    for k in range(x.shape[1]):
        here = x[r, k, i]
        for j in range(x.shape[2]):
            gap = x[r, k, j] - here
            row[j] += gap * gap


@compiled
def _pick(kind: int, nearest: bool, row: Any, mask: Any, u: float, beyond: float) -> int:
    """Position of the choice, or -1: the first of the nearest (or farthest), or the floor(u n)-th of n."""
    if kind == Choice.RANDOM:
        count = 0
        for j in range(len(row)):
            count += mask[j]
        left = min(int(u * count), count - 1)
        for j in range(len(row)):
            if mask[j]:
                if left == 0:
                    return j
                left -= 1
        return -1
    # The extreme value first, then where it stands: the first loop has no branches.
    sign = row.dtype.type(1) if nearest else row.dtype.type(-1)
    limit = sign * beyond if kind == Choice.SEMIHARD else row.dtype.type(-np.inf)
    best = row.dtype.type(np.inf)
    for j in range(len(row)):
        value = sign * row[j]
        best = min(best, value if mask[j] and value > limit else row.dtype.type(np.inf))
    if best == np.inf:
        return -1
    for j in range(len(row)):
        if mask[j] and sign * row[j] == best:
            return j
    return -1


@compiled
def _singles(
    x: Any, labels: Any, pos: int, neg: int, u_pos: Any, u_neg: Any, chosen: Any, found: Any, first: int, last: int
) -> None:
    batch = x.shape[2]
    row = np.empty(batch, x.dtype)
    same, other = np.empty(batch, np.bool_), np.empty(batch, np.bool_)
    for r in range(first, last):
        for i in range(batch):
            _squared_row(x, r, i, row)
            for j in range(batch):
                same[j] = labels[r, j] == labels[r, i]
                other[j] = not same[j]
            same[i] = False
            if pos == Choice.SEMIHARD:
                n = _pick(neg, neg != Choice.EASY, row, other, u_neg[r, i], row[0])
                p = _pick(pos, False, row, same, u_pos[r, i], row[max(n, 0)])
            else:
                p = _pick(pos, pos == Choice.EASY, row, same, u_pos[r, i], row[0])
                n = _pick(neg, neg != Choice.EASY, row, other, u_neg[r, i], row[max(p, 0)])
            chosen[0, r, i], chosen[1, r, i] = max(p, 0), max(n, 0)
            # The side that waits for the other one takes it down with it where it finds nothing.
            found[0, r, i] = p >= 0 and (neg != Choice.SEMIHARD or n >= 0)
            found[1, r, i] = n >= 0 and (pos != Choice.SEMIHARD or p >= 0)


def choose_singles(
    embeddings: Tensor,
    labels: Tensor,
    positive: Choice,
    negative: Choice,
    u_pos: Tensor | None = None,
    u_neg: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What two policies of the kinds in `Choice` choose.

    Parameters
    ----------
    embeddings : Tensor, shape (R, B, m)
    labels : Tensor, shape (R, B), int64
    positive, negative : Choice
    u_pos, u_neg : Tensor, shape (R, B), or None
        Uniforms of the random policies.

    Returns
    -------
    (Tensor, Tensor)
        Positions int64 and whether there is a choice, bool; shapes (2, R, B), positives first.

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [1.0], [3.0], [7.0]]])
    >>> index, found = choose_singles(line, torch.tensor([[0, 0, 0, 1]]), Choice.EASY, Choice.HARD)
    >>> index[0, 0, :3].tolist(), found[0, 0].tolist()
    ([1, 0, 1], [True, True, True, False])
    """
    runs, batch, _ = embeddings.shape
    chosen = torch.empty(2, runs, batch, dtype=torch.int64)
    found = torch.empty(2, runs, batch, dtype=torch.bool)
    none = embeddings.new_zeros(1, 1).expand(runs, batch)
    over_runs(
        _singles,
        runs,
        embeddings.mT,
        labels,
        int(positive),
        int(negative),
        none if u_pos is None else u_pos,
        none if u_neg is None else u_neg,
        out=(chosen, found),
    )
    return chosen, found


@compiled
def _counts(
    reach: Any, d_an: Any, pos: Any, neg: Any, inclusive: bool, of_pos: Any, of_neg: Any, first: int, last: int
) -> None:
    limits = np.empty(d_an.shape[2], d_an.dtype)
    place, hits = np.empty(d_an.shape[2], np.int32), np.empty(d_an.shape[2], np.int32)
    for r in range(first, last):
        for i in range(reach.shape[1]):
            n = 0
            for j in range(d_an.shape[2]):
                of_neg[r, i, j] = 0
                if neg[r, i, j]:
                    limits[n], place[n], hits[n] = d_an[r, i, j], j, 0
                    n += 1
            for j in range(reach.shape[2]):
                of_pos[r, i, j] = 0
                if pos[r, i, j]:
                    here, count = reach[r, i, j], np.int32(0)
                    if inclusive:
                        for k in range(n):
                            hit = np.int32(here >= limits[k])
                            count += hit
                            hits[k] += hit
                    else:
                        for k in range(n):
                            hit = np.int32(here > limits[k])
                            count += hit
                            hits[k] += hit
                    of_pos[r, i, j] = count
            for k in range(n):
                of_neg[r, i, place[k]] = hits[k]


def active_counts(reach: Tensor, d_an: Tensor, pos: Tensor, neg: Tensor, inclusive: bool) -> tuple[Tensor, Tensor]:
    """In how many triplets with reach > d_an (or >=) each positive and each negative of an anchor stands.

    Parameters
    ----------
    reach : Tensor, shape (R, B, P)
    d_an : Tensor, shape (R, B, N)
    pos, neg : Tensor, bool, shapes of ``reach`` and ``d_an``
    inclusive : bool

    Returns
    -------
    (Tensor, Tensor)
        int32, shapes of ``reach`` and ``d_an``; 0 where masked.

    Examples
    --------
    One anchor, positives at 1 and 3, negatives at 2 and 3.

    >>> reach, d_an = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[2.0, 3.0]]])
    >>> mask = torch.ones(1, 1, 2, dtype=torch.bool)
    >>> [count.tolist() for count in active_counts(reach, d_an, mask, mask, inclusive=False)]
    [[[[0, 1]]], [[[1, 0]]]]
    >>> [count.tolist() for count in active_counts(reach, d_an, mask, mask, inclusive=True)]
    [[[[0, 2]]], [[[1, 1]]]]
    """
    of_pos, of_neg = (torch.empty(t.shape, dtype=torch.int32) for t in (reach, d_an))
    over_runs(_counts, len(reach), reach, d_an, pos, neg, inclusive, out=(of_pos, of_neg))
    return of_pos, of_neg


@compiled
def _adam(
    gradient: Any,
    rate: Any,
    b1: float,
    b2: float,
    unbias: float,
    epsilon: float,
    value: Any,
    m: Any,
    v: Any,
    first: int,
    last: int,
) -> None:
    real = value.dtype.type
    c1, c2, root, small = real(1 - b1), real(1 - b2), real(1 / math.sqrt(unbias)), real(epsilon)
    keep = real(b2)
    for r in range(first, last):
        x, g, mr, vr, step = value[r], gradient[r], m[r], v[r], rate[r]
        for k in range(len(x)):
            mr[k] += c1 * (g[k] - mr[k])
            vr[k] = keep * vr[k] + c2 * g[k] * g[k]
            x[k] -= step * mr[k] / (np.sqrt(vr[k]) * root + small)


def adam(
    parameter: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    rate: Tensor,
    betas: tuple[float, float],
    unbias: float,
    epsilon: float,
) -> None:
    """One Adam update of R runs in place, in one pass over memory.

    Parameters
    ----------
    parameter, gradient, first, second : Tensor, shape (R, ...)
        All but the gradient contiguous.
    rate : Tensor, shape (R,)
        Learning rates, the first moment's bias correction included.
    betas : (float, float)
    unbias : float
        1 - beta_2^step.
    epsilon : float

    Examples
    --------
    The first step is the learning rate, 0.1, against the sign of the gradient, however large that is.

    >>> x, m, v = torch.tensor([[1.0, 1.0]]), torch.zeros(1, 2), torch.zeros(1, 2)
    >>> rate = torch.tensor([0.1 / (1 - 0.9)])
    >>> adam(x, torch.tensor([[2.0, -500.0]]), m, v, rate, (0.9, 0.999), unbias=1 - 0.999, epsilon=1e-8)
    >>> [round(value, 3) for value in x[0].tolist()]
    [0.9, 1.1]
    """
    of_run, *changed = (t.view(len(t), -1) for t in (gradient.contiguous(), parameter.detach(), first, second))
    over_runs(_adam, len(parameter), of_run, rate.to(parameter.dtype), *betas, unbias, epsilon, out=changed)


@compiled
def _weighted(
    d: Any, other: Any, dim: int, floor: float, cutoff: float, u: Any, index: Any, mask: Any, first: int, last: int
) -> None:
    batch = d.shape[1]
    weight = np.empty(batch, d.dtype)
    for r in range(first, last):
        for i in range(batch):
            largest = -np.inf
            for j in range(batch):
                weight[j] = -np.inf
                inside = max(d[r, i, j], floor)
                if other[r, i, j] and inside < cutoff:
                    w = 0.0
                    if dim != 2:
                        w += (2.0 - dim) * math.log(inside)
                    if dim != 3:
                        w -= (dim - 3.0) / 2 * math.log(1 - inside * inside / 4)
                    weight[j] = w
                    largest = max(largest, w)
            total = 0.0
            for j in range(batch):
                if largest == -np.inf:
                    total += other[r, i, j]
                elif weight[j] > -np.inf:
                    total += math.exp(weight[j] - largest)
                weight[j] = total
            for s in range(u.shape[2]):
                mask[r, i, s] = total > 0
                # The first column whose cumulative weight exceeds u * total.
                low, high = 0, batch - 1
                wanted = u[r, i, s] * total
                while low < high:
                    middle = (low + high) // 2
                    if weight[middle] > wanted:
                        high = middle
                    else:
                        low = middle + 1
                # u * total can round up to total itself: the last column with weight is then meant.
                while low > 0 and weight[low - 1] == total:
                    low -= 1
                index[r, i, s] = low


def choose_distance_weighted(
    distances: Tensor, other: Tensor, dim: int, floor: float, cutoff: float, uniforms: Tensor
) -> tuple[Tensor, Tensor]:
    """Draws of `sim.samplers.negatives.distance_weighted`.

    Parameters
    ----------
    distances : Tensor, shape (R, B, B)
    other : Tensor, bool, shape (R, B, B)
    dim : int
    floor, cutoff : float
    uniforms : Tensor, shape (R, B, S)

    Returns
    -------
    (Tensor, Tensor)
        Positions int64 and whether there is a choice, bool; shapes (R, B, S).

    Examples
    --------
    Beyond the cutoff there is no weight as long as a nearer sample is there; a row without samples has no choice.

    >>> distances, other = torch.tensor([[[0.0, 1.0, 1.6], [1.0, 0.0, 0.9], [1.6, 0.9, 0.0]]]), torch.tensor([0, 1, 1]) > 0
    >>> other = torch.stack([other, ~other, other & False]).unsqueeze(0)
    >>> index, mask = choose_distance_weighted(distances, other, 2, 0.5, 1.4, torch.full((1, 3, 1), 0.99))
    >>> index[0, :2, 0].tolist(), mask[0, :, 0].tolist()
    ([1, 0], [True, True, False])
    """
    index = torch.empty(uniforms.shape, dtype=torch.int64)
    mask = torch.empty(uniforms.shape, dtype=torch.bool)
    over_runs(_weighted, len(distances), distances, other, dim, floor, cutoff, uniforms, out=(index, mask))
    return index, mask
