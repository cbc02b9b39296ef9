"""Distances in blocks of bounded size, and means of groups of samples that are exact when a group has collapsed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

DIRECT_UP_TO = 64
"""Up to this dimension summing the squared differences is about as fast as a matrix product, and it is exact near 0
(n = 2,000, one CPU thread, float64: 26 v 48 ms at m = 32, 61 v 52 ms at m = 64, 863 v 80 ms at m = 512)."""

CHUNK = 2**16
"""Pairs whose squared differences are summed together: what stays in the cache (n = 2,000, m = 64, one CPU thread: 142 ms;
with 2**14 pairs 197 ms, with 2**18 287 ms)."""

BLOCK_BYTES = 32 * 2**20
"""Blocks are not made larger than this even where the caller allows it: memory touched afresh for each block costs more
than it saves (all cheap metrics of 100 runs of 600 samples: 1.0 s with 32 MiB, 2.1 s with 256 MiB, one CPU thread)."""


@dataclass(frozen=True)
class Groups:
    """Samples gathered by label.

    Attributes
    ----------
    counts : Tensor, (R, L), float64
    means : Tensor, (R, L, m)
        Of no meaning where the count is 0.
    deviations : Tensor, (R, n, m)
        Each sample minus the mean of its group: exactly 0 if the group's samples are identical.

    Examples
    --------
    >>> group(torch.tensor([[[0.0], [2.0], [9.0]]]), torch.tensor([[0, 0, 2]]), 3).present.tolist()
    [[True, False, True]]
    """

    counts: Tensor
    means: Tensor
    deviations: Tensor

    @property
    def present(self) -> Tensor:
        return self.counts > 0


def group(x: Tensor, labels: Tensor, n_labels: int) -> Groups:
    """Counts, means and deviations of the groups that ``labels`` (R, n) make of ``x`` (R, n, m).

    Examples
    --------
    >>> groups = group(torch.tensor([[[0.0], [2.0], [9.0]]]), torch.tensor([[0, 0, 1]]), 2)
    >>> groups.means.flatten().tolist(), groups.deviations.flatten().tolist()
    ([1.0, 9.0], [-1.0, 1.0, 0.0])
    """
    r, n = labels.shape
    counts = sum_by(torch.ones(r, n, dtype=x.dtype, device=x.device), labels, n_labels)  # (R, L)
    position = torch.arange(n, device=x.device).expand(r, n)
    first = position.new_full((r, n_labels), n - 1).scatter_reduce(1, labels, position, "amin")
    # Measured from one of its own members, a collapsed group is all zeros, and so is its mean: no rounding is left
    # that a scale-free metric would take for structure.
    origin = _rows(x, first)  # (R, L, m)
    shifted = x - _rows(origin, labels)  # (R, n, m)
    shift = sum_by(shifted, labels, n_labels) / counts.clamp_min(1)[..., None]
    return Groups(counts, origin + shift, shifted - _rows(shift, labels))


def sum_by(values: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Sums of ``values`` (R, n) or (R, n, m) over the samples of each label: (R, L) or (R, L, m).

    Examples
    --------
    >>> sum_by(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0, 0, 2]]), 3).tolist()
    [[3.0, 0.0, 4.0]]
    """
    index = labels if values.ndim == 2 else labels[..., None].expand_as(values)
    return values.new_zeros(len(values), n_labels, *values.shape[2:]).scatter_add_(1, index, values)


def max_by(values: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Largest of the non-negative ``values`` (R, n) in each label: (R, L), 0 for a label that is absent.

    Examples
    --------
    >>> max_by(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0, 0, 2]]), 3).tolist()
    [[2.0, 0.0, 4.0]]
    """
    return values.new_zeros(len(values), n_labels).scatter_reduce_(1, labels, values, "amax")


def squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of points that broadcast, (..., m) and (..., m) to (...).

    The squared differences are summed one by one, from the first dimension to the last. So a value depends on the two
    points alone, not on shapes, blocks or the device, and it is exact if all partial sums are numbers of the type
    (whole numbers are). Points that differ from each other by 0 or one same amount in each dimension, codes of any
    two values above all, are at equal distances if they differ in equally many.

    Examples
    --------
    >>> squares(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([3.0, 0.0])).tolist()
    [9.0, 8.0]
    """
    total = (a[..., 0] - b[..., 0]).square_()
    difference = torch.empty_like(total)
    for k in range(1, a.shape[-1]):
        # Three steps on purpose: a fused one rounds differently from device to device.
        torch.sub(a[..., k], b[..., k], out=difference)
        total += difference.square_()
    return total


def all_squares(a: Tensor, b: Tensor) -> Tensor:
    """`squares` between all points of ``a`` (R, n, m) and ``b`` (R, l, m): (R, n, l).

    Examples
    --------
    >>> all_squares(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[0.0], [3.0]]])).tolist()
    [[[0.0, 9.0], [1.0, 4.0]]]
    """
    r, n, columns = len(a), a.shape[1], b.shape[1]
    a, b = by_dimension(a)[:, :, None], by_dimension(b)[:, None]
    result = a.new_empty(r, n, columns)
    runs = min(r, max(1, CHUNK // columns))
    step = max(1, CHUNK // (runs * columns))
    for of in (slice(first, first + runs) for first in range(0, r, runs)):
        for rows in (slice(start, start + step) for start in range(0, n, step)):
            result[of, rows] = squares(a[of, rows], b[of])
    return result


def by_dimension(x: Tensor) -> Tensor:
    """``x`` (..., n, m), laid out so that the values of one dimension are side by side.

    Examples
    --------
    >>> by_dimension(torch.zeros(5, 3)).stride()
    (1, 5)
    """
    return x.mT.contiguous().mT


def distance_blocks(a: Tensor, b: Tensor, *, row_bytes: int, max_bytes: int) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances between ``a`` (R, n, m) and ``b`` (R, l, m), a block of rows at a time.

    For means and maxima; to rank by distance is the work of `search.ranked_blocks`. Up to ``DIRECT_UP_TO`` dimensions
    the squared differences are summed, so equal points are at distance 0 exactly. Beyond, a matrix product of the centred points does the work, and squared
    distances under its rounding error, ``m eps (|a|^2 + |b|^2)``, count as 0 (a distance of 4e-7 of the points' norm
    at m = 512).

    Parameters
    ----------
    a, b : Tensor, float64
    row_bytes : int
        What one row of one run needs altogether, here and at the caller.
    max_bytes : int
        Bound on a block's need; one row of all runs is the least.

    Yields
    ------
    rows : slice
    distances : Tensor, (R, rows, l)
        The caller may write into it.

    Examples
    --------
    >>> a, b = torch.tensor([[[0.0], [1.0], [5.0]]]).double(), torch.tensor([[[0.0], [2.0]]]).double()
    >>> for rows, d in distance_blocks(a, b, row_bytes=16, max_bytes=32):
    ...     print(rows, d.tolist())
    slice(0, 2, None) [[[0.0, 2.0], [1.0, 1.0]]]
    slice(2, 3, None) [[[5.0, 3.0]]]
    """
    n, m = a.shape[1:]
    step = max(1, min(max_bytes, BLOCK_BYTES) // (row_bytes * len(a)))
    direct = m <= DIRECT_UP_TO
    if not direct:
        centre = b.mean(1, keepdim=True)
        a, b = a - centre, b - centre
        square_a, square_b = a.square().sum(-1), b.square().sum(-1)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        if direct:
            yield rows, torch.cdist(a[:, rows], b, compute_mode="donot_use_mm_for_euclid_dist")
        else:
            norms = square_a[:, rows, None] + square_b[:, None]  # (R, rows, l)
            found = torch.baddbmm(norms, a[:, rows], b.mT, alpha=-2)
            found[found <= m * torch.finfo(a.dtype).eps * norms] = 0
            yield rows, found.sqrt_()


def sums_and_maxima(points: Tensor, *labellings: Tensor, max_bytes: int) -> list[tuple[Tensor, Tensor]]:
    """For each labelling: each point's sum of distances to, and largest distance from, the points of its own label.

    Parameters
    ----------
    points : Tensor, (R, n, m), float64
    *labellings : Tensor, (R, n), int64
    max_bytes : int

    Returns
    -------
    list of (Tensor, Tensor), each (R, n)

    Examples
    --------
    >>> line, labels = torch.tensor([[[0.0], [1.0], [3.0], [9.0]]]), torch.tensor([[0, 0, 0, 1]])
    >>> [(total, largest)] = sums_and_maxima(line.double(), labels, max_bytes=2**20)
    >>> total.tolist(), largest.tolist()
    ([[4.0, 3.0, 5.0, 0.0]], [[3.0, 2.0, 3.0, 0.0]])
    """
    results = [(points.new_zeros(points.shape[:2]), points.new_zeros(points.shape[:2])) for _ in labellings]
    for rows, d in distance_blocks(points, points, row_bytes=48 * points.shape[1], max_bytes=max_bytes):
        for labels, (total, largest) in zip(labellings, results, strict=True):
            own = d.masked_fill(labels[:, rows, None] != labels[:, None], 0)  # (R, rows, n)
            total[:, rows], largest[:, rows] = own.sum(-1), own.amax(-1)
    return results


def mean_by(sums: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Mean pairwise distance in each label (R, L) from each point's sum (R, n); NaN for a label with fewer than two.

    Examples
    --------
    >>> mean_by(torch.tensor([[4.0, 3.0, 5.0, 0.0]]), torch.tensor([[0, 0, 0, 1]]), 2).tolist()
    [[2.0, nan]]
    """
    counts = sum_by(torch.ones_like(sums), labels, n_labels)
    return sum_by(sums, labels, n_labels) / torch.where(counts > 1, counts * (counts - 1), torch.nan)


def total_in_order(values: Tensor) -> Tensor:
    """Sum over the last axis, from its beginning to its end: zeros at the end change no digit.

    Examples
    --------
    >>> total_in_order(torch.tensor([[1.0, 2.0], [4.0, 0.0]])).tolist()
    [3.0, 4.0]
    """
    return values.cumsum(-1)[..., -1]


def mean_in_order(values: Tensor) -> Tensor:
    """Mean over the samples (R, n) that aren't NaN, summed in ascending order: the order of the samples changes no digit.

    Examples
    --------
    >>> mean_in_order(torch.tensor([[1.0, torch.nan, 2.0]])).tolist()
    [1.5]
    """
    exist = ~values.isnan()
    return total_in_order(values.nan_to_num(0).sort(-1).values) / exist.sum(-1)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """``x[r, index[r, i]]``: (R, l, m) and (R, i) to (R, i, m)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
