"""How many directions an embedding uses: spectra of the within-class and of the total scatter.

Eigenvalues here do not change with rotation, shift or scale, once normalised. So they say nothing about how far a
class has shrunk: a class at a millionth of its former size keeps its effective rank. Read them beside
``relative_spread``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Runs, metric
from .spread import centred, class_groups

RHO_FLOOR = 1e-6
"""``rho`` raises singular values below this share of the largest to it; the rounding error of a spectrum is smaller."""


def _eigenvalues(deviations: Tensor) -> Tensor:
    """Largest min(n, m) eigenvalues of the scatter of ``deviations`` (..., n, m), ascending; the others are 0."""
    n, m = deviations.shape[-2:]
    scatter = deviations @ deviations.mT if n < m else deviations.mT @ deviations
    eigenvalues: Tensor = torch.linalg.eigvalsh(scatter)
    return eigenvalues.clamp_min(0)


def class_spectra(runs: Runs) -> Tensor:
    """Spectra of the classes' scatters as shares of their traces, (R, K, q): 0 if collapsed, NaN for one sample.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> x = torch.tensor([[3.0, 1.0], [3.0, -1.0], [-3.0, 1.0], [-3.0, -1.0], [9.0, 9.0]])
    >>> _, chunks = prepare(x, torch.tensor([0, 0, 0, 0, 1]), None, DEFAULT)
    >>> [round(share, 3) for share in class_spectra(next(chunks))[0, 0].tolist()]
    [0.1, 0.9]
    """
    groups = runs.once(class_groups)
    r, n, m = runs.x.shape
    sizes = groups.counts.long()
    longest = int(sizes.max())
    # Every class as a padded row of sample numbers: samples ordered by class, cut at the classes' sizes.
    order = runs.classes.argsort(dim=-1, stable=True)
    slots = torch.arange(longest, device=order.device)
    members = order.gather(1, ((sizes.cumsum(-1) - sizes)[..., None] + slots).clamp_max(n - 1).flatten(1))
    members = (members.view(r, -1, longest) + n * torch.arange(r, device=order.device)[:, None, None]).flatten(0, 1)
    filled = (slots < sizes[..., None]).flatten(0, 1)

    deviations = groups.deviations.flatten(0, 1)  # (R n, m)
    step = max(1, runs.options.max_bytes // (8 * (3 * longest * m + 3 * min(longest, m) ** 2)))
    parts = [
        _eigenvalues(deviations[index] * mask[..., None])
        for index, mask in zip(torch.split(members, step), torch.split(filled, step), strict=True)
    ]
    eigenvalues = torch.cat(parts).view(r, runs.n_classes, -1)  # (R, K, q)
    trace = eigenvalues.sum(-1, keepdim=True)
    shares = torch.where(trace > 0, eigenvalues / trace, 0)
    return torch.where(sizes[..., None] > 1, shares, torch.nan)


@metric(degree=0)
def effective_rank(runs: Runs) -> Tensor:
    r"""Effective rank of the within-class scatter, mean over classes.

    :math:`\exp(-\sum_k p_k \log p_k)` with :math:`p_k` the eigenvalues of a class's scatter (its singular values) as
    shares of their sum (Roy and Vetterli 2007, "The effective rank"). Range [1, min(m, n_c - 1)]: 1 on a line, m in a
    round ball. A collapsed class counts 0, the rank of a zero matrix; so class collapse and total collapse 0. Classes
    with one sample are left out.

    Examples
    --------
    The first class is a square, the second one a single sample, which is left out.

    >>> square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [9.0, 9.0]])
    >>> classes = torch.tensor([0, 0, 0, 0, 1])
    >>> stretched, collapsed = square * torch.tensor([1.0, 0.0]), square * 0
    >>> [round(effective_rank(x, classes).item(), 3) for x in (square, square / 1000, stretched, collapsed)]
    [2.0, 2.0, 1.0, 0.0]
    """
    shares = runs.once(class_spectra)
    ranks = torch.special.entr(shares).sum(-1).exp()
    return torch.where(shares.sum(-1) == 0, 0, ranks).nanmean(-1)


@metric(degree=0)
def participation_ratio(runs: Runs) -> Tensor:
    r"""Participation ratio of the within-class scatter, mean over classes.

    :math:`(\sum_k \lambda_k)^2 / \sum_k \lambda_k^2`, the reciprocal of the sum of squared shares. Range [1, min(m,
    n_c - 1)], at most ``effective_rank``. A collapsed class counts 0; so class collapse and total collapse 0. Classes
    with one sample are left out.

    Examples
    --------
    >>> x = torch.tensor([[3.0, 1.0], [3.0, -1.0], [-3.0, 1.0], [-3.0, -1.0], [9.0, 9.0]])
    >>> round(participation_ratio(x, torch.tensor([0, 0, 0, 0, 1])).item(), 3)  # 1 / (0.9**2 + 0.1**2)
    1.22
    """
    squares = runs.once(class_spectra).square().sum(-1)
    return torch.where(squares == 0, 0, 1 / squares).nanmean(-1)


@metric(degree=0)
def rho(runs: Runs) -> Tensor:
    r"""Spectral decay: how unevenly the embeddings as a whole use their dimensions.

    .. math:: \mathrm{KL}(u \Vert s) = -\log d - \frac{1}{d} \sum_{k \le d} \log s_k

    with :math:`s` the singular values of the n embeddings as shares of their sum, :math:`u` uniform and :math:`d =
    \min(m, n - 1)`. After Roth et al. 2020, with two changes: embeddings are centred first (their value changes with
    a shift), and singular values are floored at ``RHO_FLOOR`` of the largest (theirs is infinite once a rank is
    missing).

    Range [0, about 13]: 0 if all directions are used alike, or m = 1. Class collapse onto K points leaves rank K - 1,
    hence a large value if d is above that. Total collapse NaN (no direction at all).

    Examples
    --------
    >>> square, classes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]), torch.tensor([0, 0, 1, 1])
    >>> abs(round(rho(square, classes).item(), 3))
    0.0
    >>> round(rho(square * torch.tensor([1.0, 0.0]), classes).item(), 2)  # class collapse: a line in the plane
    6.21
    """
    deviations = runs.once(centred)
    d = min(deviations.shape[2], deviations.shape[1] - 1)
    singular = _eigenvalues(deviations)[..., -d:].sqrt()  # (R, d)
    singular = torch.maximum(singular, RHO_FLOOR * singular[..., -1:])
    shares = singular / singular.sum(-1, keepdim=True)
    return -torch.log(d * shares).mean(-1)
