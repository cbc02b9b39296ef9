"""Exact nearest neighbours of large samples: faiss proposes in single precision, double precision decides."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

FROM = 5000
"""Samples from which the search pays."""

UP_TO = 128
"""Neighbours up to which it does: faiss keeps them in a heap."""

MORE = 8
"""Candidates beyond the neighbours wanted; the more, the fewer queries are unsure."""

BLOCK_BYTES = 32 * 2**20


def worthwhile(x: Tensor, k: int) -> bool:
    """Whether `search` is there, can and should be used on ``x`` (R, n, m).

    Examples
    --------
    >>> worthwhile(torch.zeros(1, 100, 2), k=1)  # too few samples
    False
    """
    return len(x) == 1 and x.shape[1] >= FROM and k <= UP_TO and x.is_cpu and find_spec("faiss") is not None


def search(x: Tensor, k: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Neighbours of the samples for which rounding in single precision can't have hidden any.

    Parameters
    ----------
    x : Tensor, (n, m), float64
    k : int
        Neighbours wanted, less than n.

    Yields
    ------
    rows : Tensor, (l,), int64
        The samples.
    distances : Tensor, (l, c), float64, c >= k
        To their candidates, ascending; all samples as near as the k-th are among them. Infinite for the sample itself.
    index : Tensor, (l, c), int64
        The candidates.
    """
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
    step = max(1, BLOCK_BYTES // (24 * wanted * m))
    for start in range(0, n, step):
        rows = torch.arange(start, min(start + step, n))
        index = found[rows]  # (rows, candidates)
        distances = (x[rows, None] - x[index]).square_().sum(-1).sqrt_()  # (rows, candidates)
        distances[index == rows[:, None]] = torch.inf
        distances, order = distances.sort(-1)
        # Whoever wasn't proposed is at least as far as the last one who was, up to the error.
        nearest_other = proposed[rows, -1].double() - error[rows]
        sure = nearest_other > (distances[:, k - 1] / scale).square()
        if wanted == n:
            sure[:] = True
        yield rows[sure], distances[sure], index.gather(1, order)[sure]
