"""Nearest points, and exactly those tied with them, whatever the order, the blocks, the device or the libraries there.

A squared distance is the double-precision number that `pairs.squares` sums up; two distances are tied if these numbers
are equal. Faster ways only propose: faiss in single precision for large samples, a matrix product in many dimensions.
Rows for which their rounding errors leave open who comes first are summed up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from .pairs import BLOCK_BYTES, all_squares, by_dimension, squares

FROM = 5000
"""Samples from which the search by faiss pays."""

UP_TO = 128
"""Neighbours up to which it does: faiss keeps them in a heap."""

MORE = 8
"""Candidates beyond the neighbours wanted; the more, the fewer queries are unsure."""

CANDIDATE_BYTES = 8 * 2**20
"""Coordinates of candidates looked at together."""

DIRECT_UP_TO = 16
"""Dimension up to which summing the squares is no slower than a matrix product that proposes."""


@dataclass(frozen=True)
class Nearest:
    """The k nearest points of a block of l rows.

    Attributes
    ----------
    rows : Tensor, (l,), int64
    squares : Tensor, (R, l, k), float64
        Ascending. Two are equal only if the points are tied.
    index : Tensor, (R, l, k), int64
        Which points they are.
    candidates : Tensor, (R, l, c), float64
        Squares among which all tied with the k-th are.
    names : Tensor, (l, c), int64, or None
        Which points these are; None if they are all, in order.
    """

    rows: Tensor
    squares: Tensor
    index: Tensor
    candidates: Tensor
    names: Tensor | None = None


def neighbours(x: Tensor, k: int, max_bytes: int) -> Iterator[Nearest]:
    """The k nearest others of every sample of ``x`` (R, n, m), k < n, in blocks in no order.

    Examples
    --------
    >>> (found,) = neighbours(torch.tensor([[[0.0], [1.0], [5.0]]]).double(), 1, 2**20)
    >>> found.squares[0, :, 0].tolist(), found.index[0, :, 0].tolist()
    ([1.0, 1.0, 16.0], [1, 0, 1])
    """
    n = x.shape[1]
    rest = torch.ones(n, dtype=torch.bool, device=x.device)
    if worthwhile(x, k):
        for found in search(x[0], k):
            rest[found.rows] = False
            yield found

    def leave_out_itself(d: Tensor, rows: Tensor) -> None:
        d.scatter_(-1, rows[:, None].expand(len(d), -1, 1), torch.inf)

    yield from ranked_blocks(
        x, x, k, rest.nonzero().flatten(), leave_out_itself, row_bytes=48 * n + 160 * k, max_bytes=max_bytes
    )


def ranked_blocks(
    a: Tensor,
    b: Tensor,
    k: int,
    rows: Tensor,
    leave_out: Callable[[Tensor, Tensor], object],
    *,
    row_bytes: int,
    max_bytes: int,
) -> Iterator[Nearest]:
    """The k nearest of the points ``b`` (R, l, m) to some of the points ``a`` (R, n, m), a block at a time.

    Parameters
    ----------
    a, b : Tensor, float64
    k : int
        Less than l.
    rows : Tensor, (q,), int64
        The points of ``a`` that are asked for.
    leave_out : callable
        ``leave_out(squares, rows)`` makes those infinite that don't count, in place.
    row_bytes, max_bytes : int
        As for `pairs.distance_blocks`.

    Examples
    --------
    >>> a, b = torch.tensor([[[0.0], [9.0]]]).double(), torch.tensor([[[1.0], [2.0], [5.0]]]).double()
    >>> (found,) = ranked_blocks(a, b, 1, torch.arange(2), lambda squares, rows: None, row_bytes=48, max_bytes=2**20)
    >>> found.squares.flatten().tolist(), found.index.flatten().tolist()
    ([1.0, 16.0], [0, 2])
    """
    m = a.shape[2]
    step = max(1, min(max_bytes, BLOCK_BYTES) // (row_bytes * len(a)))
    left = list(torch.split(rows, step))
    if m > DIRECT_UP_TO:
        centre = b.mean(1, keepdim=True)
        by_a, by_b = a - centre, b - centre
        norms_a, norms_b = by_a.square().sum(-1), by_b.square().sum(-1)  # (R, n), (R, l)
        # Of |a|^2 + |b|^2 - 2 ab against the sum of squares: centring costs 2 eps of |a|^2 + |b|^2, the norms and the
        # product (m + 3) eps, the sum (m + 2) eps; the rest is for terms of second order.
        error = (2 * m + 16) * torch.finfo(a.dtype).eps * (norms_a + norms_b.amax(-1, keepdim=True))  # (R, n)
        unsure = []
        while left:
            block = left.pop(0)
            d = torch.baddbmm(norms_a[:, block, None] + norms_b[:, None], by_a[:, block], by_b.mT, alpha=-2)
            leave_out(d, block)
            near, index = d.topk(k + 1, largest=False)  # each (R, block, k + 1)
            sure = (near[..., 1:] - near[..., :-1] > 2 * error[:, block, None]).all(-1).all(0)  # (block,)
            unsure.append(block[~sure])
            if sure.all():
                yield Nearest(block, near[..., :k], index[..., :k], d)
            elif sure.any():
                yield Nearest(block[sure], near[:, sure, :k], index[:, sure, :k], d[:, sure])
            else:  # a lattice, most likely: there is nothing to gain
                break
        left = list(torch.split(torch.cat([*unsure, *left]), step)) if unsure or left else []
    for block in left:
        d = all_squares(a[:, block], b)
        leave_out(d, block)
        near, index = d.topk(k, largest=False)
        yield Nearest(block, near, index, d)


def worthwhile(x: Tensor, k: int) -> bool:
    """Whether `search` is there, can and should be used on ``x`` (R, n, m).

    Examples
    --------
    >>> worthwhile(torch.zeros(1, 100, 2), k=1)  # too few samples
    False
    """
    return len(x) == 1 and x.shape[1] >= FROM and k <= UP_TO and x.is_cpu and find_spec("faiss") is not None


def search(x: Tensor, k: int) -> Iterator[Nearest]:
    """Neighbours of the samples of ``x`` (n, m) for which rounding in single precision can't have hidden any."""
    import faiss

    n, m = x.shape
    faiss.omp_set_num_threads(torch.get_num_threads())
    centred = x - x.mean(0)
    scale = float(centred.square().mean().sqrt()) or 1.0
    single = (centred / scale).float().numpy()
    flat = faiss.IndexFlatL2(m)
    flat.add(single)
    norms = np.square(single, dtype=np.float64).sum(1)
    # Of a squared distance |a|^2 + |b|^2 - 2 ab whose terms are sums of m rounded products of rounded numbers.
    error = torch.from_numpy((2 * m + 8) * np.finfo(np.float32).eps * (norms + norms.max()))
    wanted = min(k + 1 + MORE, n)
    # All at once: faiss works through the queries in blocks of its own.
    proposed, found = (torch.from_numpy(a) for a in flat.search(single, wanted))
    step = max(1, CANDIDATE_BYTES // (8 * wanted * m))
    for start in range(0, n, step):
        rows = torch.arange(start, min(start + step, n))
        index = found[rows]  # (rows, candidates)
        d = squares(x[rows, None], by_dimension(x[index].flatten(0, 1)).view(*index.shape, m))
        d[index == rows[:, None]] = torch.inf
        d, order = d.sort(-1)
        # Whoever wasn't proposed is at least as far as the last one who was, up to the error.
        nearest_other = proposed[rows, -1].double() - error[rows]
        sure = nearest_other > d[:, k - 1] / scale**2
        if wanted == n:
            sure[:] = True
        d, index = d[sure], index.gather(1, order)[sure]
        yield Nearest(rows[sure], d[None, :, :k], index[None, :, :k], d[None], index)
