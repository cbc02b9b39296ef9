"""Expectations of logarithms of sums over random subsets, as one-dimensional integrals, with their derivatives.

For an anchor and a label y the other samples have the label independently: a_k = P(Y_k = y), b_k = 1 - a_k. With z_k = exp(x_k - top) and
f_k(u) = 1 - b_k + b_k exp(-u z_k) every expectation here is log(mean) + top + integral of [exp(-mean u) - E exp(-X u)] dv, u = e^v, for the random
sum X of the z_k, where E exp(-X u) is a product of the f_k (`sim.theory.nodes`). Derivatives are those of this whole expression, the mean's
included: it doesn't matter to the integral, but with it the integrand falls off as u^2 on the left, as the value's does. ``rest`` is what is left of
the mean's part, 1 / mean - integral of u exp(-mean u).

These are the tensor programs, for any device; `sim.theory.integral_kernels` computes the same rows faster on a CPU.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from sim import kernels
from sim.theory import integral_kernels
from sim.theory.expected import easiest
from sim.theory.nodes import BEYOND, FINE, NEGLIGIBLE, SMALLEST, first_node

ROW_ENTRIES = 2**20
"""Entries of x that the tensor program takes at once."""

Rows = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(x (r, n), places of the anchors themselves (r,), weights P(Y_i = y) (r, t)) -> values (r,), derivatives (r, n)."""


def all_positives(x: Tensor, p: Tensor, fine: int = FINE) -> tuple[Tensor, Tensor]:
    """E sum over positives j of log(exp(x_j) + sum over negatives k of exp(x_k)) - x_j, for every anchor.

    Parameters
    ----------
    x : Tensor, shape (rows, n), float64
        Row r is that of anchor r % n; its own entry isn't read.
    p : Tensor, shape (n, t), float64
        P(Y_i = y).
    fine : int
        Nodes a doubling.

    Returns
    -------
    (value, slope) : Tensors, shapes (rows,) and (rows, n)

    Examples
    --------
    Without noise, one positive at 0 and one negative at log 3: log(1 + 3).

    >>> x = torch.tensor([[0.0, 0.0, math.log(3)]], dtype=torch.float64)
    >>> value, slope = all_positives(x, torch.tensor([[1, 0], [1, 0], [0, 1]], dtype=torch.float64))
    >>> round(value.exp().item(), 10), slope[0].numpy().round(10).tolist()
    (4.0, [0.0, -0.75, 0.75])
    """

    def rows(x: Tensor, own: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        z, top = _exponentials(x, own)
        value, slope = x.new_zeros(len(x)), torch.zeros_like(x)
        labels, rest = [], []
        for y in range(p.shape[1]):
            a = p[:, y].expand_as(x).scatter(1, own[:, None], 0.0)  # (r, n)
            b, mass, w = 1 - a, a.sum(-1), weight[:, y]
            of_negatives = (b * z).sum(-1, keepdim=True)
            mean = ((a * (z + of_negatives - b * z)).sum(-1) / mass.clamp_min(SMALLEST)).clamp_min(SMALLEST)
            value += w * (mass * (mean.log() + top) - (a * x.scatter(1, own[:, None], 0.0)).sum(-1))
            slope -= w[:, None] * a
            labels.append((a, b, mass, w, mean))
            rest.append(1 / mean)
        for h, u in _nodes(z.sum(-1), fine):
            e, open_ = torch.expm1(-u[:, None] * z), False
            for y, (a, b, mass, w, mean) in enumerate(labels):
                rest[y] = rest[y] - h * u * (-mean * u).exp()
                factors = (1 + b * e).clamp_min(SMALLEST)
                q = (1 + e) / factors
                product, total = factors.prod(-1), (a * q).sum(-1)
                value += h * w * (mass * (-mean * u).exp() - product * total)
                slope += (h * u * w * product)[:, None] * z * q * (b * (total[:, None] - a * q) + a)
                open_ |= _open(product * total, mass, mean * u, w)
            if not open_:
                break
        for of_mean, (a, b, mass, w, _) in zip(rest, labels, strict=True):
            slope += torch.where(mass > 0, w * of_mean, 0.0)[:, None] * z * (a + b * (mass[:, None] - a))
        return value, slope

    return _run(x, p, fine, rows, integral_kernels.all_positives)


def easy_positives(x: Tensor, p: Tensor, fine: int = FINE) -> tuple[Tensor, Tensor]:
    """The same for the nearest positive alone: E log(exp(x_j) + sum over negatives of exp(x_k)) - x_j, j the positive with the largest x.

    See `all_positives`. Samples nearer than the nearest positive are negatives for sure.

    Examples
    --------
    >>> x = torch.tensor([[0.0, 0.0, math.log(3)]], dtype=torch.float64)
    >>> value, slope = easy_positives(x, torch.tensor([[1, 0], [1, 0], [0, 1]], dtype=torch.float64))
    >>> round(value.exp().item(), 10)
    4.0
    """

    def rows(x: Tensor, own: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        near, order = x.scatter(1, own[:, None], -torch.inf).sort(dim=-1, descending=True, stable=True)
        near, order = near[:, :-1], order[:, :-1]  # (r, n - 1): without the anchor
        top = near[:, 0]
        z = (near - top[:, None]).exp()
        value, slope = x.new_zeros(len(x)), torch.zeros_like(z)
        labels, rest = [], []
        for y in range(p.shape[1]):
            a = p[:, y][order]
            b, w, rho = 1 - a, weight[:, y], easiest(a)
            mass = rho.sum(-1)
            after = (b * z).flip(-1).cumsum(-1).flip(-1) - b * z
            mean = ((rho * (z.cumsum(-1) + after)).sum(-1) / mass.clamp_min(SMALLEST)).clamp_min(SMALLEST)
            value += w * (mass * (mean.log() + top) - (rho * near).sum(-1))
            slope -= w[:, None] * rho
            labels.append((b, rho, mass, w, mean))
            rest.append(1 / mean)
        for h, u in _nodes(z.sum(-1), fine):
            e, open_ = torch.expm1(-u[:, None] * z), False
            for y, (b, rho, mass, w, mean) in enumerate(labels):
                rest[y] = rest[y] - h * u * (-mean * u).exp()
                factors = 1 + b * e
                share = rho * (1 + e).cumprod(-1) * _of_those_after(factors)
                total = share.sum(-1)
                before = share.cumsum(-1) - share
                value += h * w * (mass * (-mean * u).exp() - total)
                of_farther = b * (1 + e) / factors.clamp_min(SMALLEST) * before
                slope += (h * u * w)[:, None] * z * (total[:, None] - before + of_farther)
                open_ |= _open(total, mass, mean * u, w)
            if not open_:
                break
        for of_mean, (b, rho, mass, w, _) in zip(rest, labels, strict=True):
            nearer = rho.cumsum(-1) - rho
            slope += torch.where(mass > 0, w * of_mean, 0.0)[:, None] * z * (mass[:, None] - nearer + b * nearer)
        return value, torch.zeros_like(x).scatter(1, order, slope)

    return _run(x, p, fine, rows, integral_kernels.easy_positives)


def log_of_sum(x: Tensor, chances: Tensor, p: Tensor, one: bool, fine: int = FINE) -> tuple[Tensor, Tensor]:
    """E log(1 + S), S = sum of exp(x_k) over those others that are taken; or E [log S; S > 0], the part of the labellings that take any.

    Parameters
    ----------
    x, p, fine
        See `all_positives`.
    chances : Tensor, shape (t, n), float64
        P(k is taken | the anchor's label is y).
    one : bool
        Whether the 1 is added.

    Examples
    --------
    One other, taken in half of the labellings.

    >>> x, chances = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64), torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    >>> for one in (True, False):
    ...     value, slope = log_of_sum(x, chances, torch.ones(2, 1, dtype=torch.float64), one)
    ...     print(round((2 * value).exp().item(), 10), round(slope[0, 1].item(), 10))
    4.0 0.375
    3.0 0.5
    """

    def rows(x: Tensor, own: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        z, top = _exponentials(x, own, 0.0 if one else -torch.inf)
        constant = (-top).exp() if one else torch.zeros_like(top)  # (r,)
        value, slope = x.new_zeros(len(x)), torch.zeros_like(x)
        labels, rest = [], []
        for y in range(p.shape[1]):
            b, w = chances[y].expand_as(x).scatter(1, own[:, None], 0.0), weight[:, y]
            # P(any is taken), by who is the first: nothing cancels.
            first = torch.zeros_like(b) if one else easiest(b)
            mass = torch.ones_like(top) if one else first.sum(-1)
            mean = ((constant + (b * z).sum(-1)) / mass.clamp_min(SMALLEST)).clamp_min(SMALLEST)
            value += torch.where(mass > 0, w * mass * (mean.log() + top), 0.0)
            labels.append((b, first, mass, w, mean))
            rest.append(1 / mean)
        for h, u in _nodes(constant + z.sum(-1), fine):
            e, open_ = torch.expm1(-u[:, None] * z), False
            for y, (b, first, mass, w, mean) in enumerate(labels):
                rest[y] = rest[y] - h * u * (-mean * u).exp()
                factors = (1 + b * e).clamp_min(SMALLEST)
                product = factors.prod(-1) * (-constant * u).exp()
                there = product if one else (first * (1 + e) * _of_those_after(factors)).sum(-1)
                value += h * w * (mass * (-mean * u).exp() - there)
                slope += (h * u * w * product)[:, None] * z * b * (1 + e) / factors
                open_ |= _open(there, mass, mean * u, w)
            if not open_:
                break
        for of_mean, (b, _, mass, w, _) in zip(rest, labels, strict=True):
            slope += torch.where(mass > 0, w * of_mean, 0.0)[:, None] * z * b
        return value, slope

    return _run(x, p, fine, rows, integral_kernels.log_of_sum, chances, one)


def _run(x: Tensor, p: Tensor, fine: int, rows: Rows, kernel: Callable[..., None], *rest: Any) -> tuple[Tensor, Tensor]:
    """All rows, by the kernel, which takes ``rest`` after x, on all threads; or by the tensor program, in blocks."""
    n = len(p)
    if kernels.usable(x):
        value, slope = x.new_zeros(len(x)), x.new_zeros(x.shape)
        kernels.over_runs(kernel, len(x), x, *rest, p, fine, out=(value, slope))
        return value, slope
    found = []
    for at in torch.split(torch.arange(len(x), device=x.device), max(1, ROW_ENTRIES // n)):
        own = at % n
        found.append(rows(x[at], own, p[own]))
    value, slope = (torch.cat(parts) for parts in zip(*found, strict=True))
    return value, slope


def _of_those_after(factors: Tensor) -> Tensor:
    """Products of the factors behind each, shape of ``factors`` (r, n)."""
    return torch.cat([factors[:, 1:].flip(-1).cumprod(-1).flip(-1), torch.ones_like(factors[:, :1])], -1)


def _exponentials(x: Tensor, own: Tensor, floor: float = -torch.inf) -> tuple[Tensor, Tensor]:
    """exp(x - top), 0 at the row's own place, and top: the largest entry of the others, or the floor."""
    others = x.scatter(1, own[:, None], -torch.inf)
    top = others.max(-1).values.clamp_min(floor)
    return (others - top[:, None]).exp(), top


def _nodes(largest: Tensor, fine: int) -> Iterator[tuple[float, Tensor]]:
    """The step and the nodes u (r,), without end."""
    start = torch.tensor([first_node(total, fine) for total in largest.tolist()], dtype=largest.dtype).to(
        largest.device
    )
    for k in itertools.count():
        yield math.log(2.0) / fine, start * 2.0 ** (k / fine)


def _open(there: Tensor, mass: Tensor, means: Tensor, weight: Tensor) -> bool:
    """Whether a row isn't done."""
    going = (there > NEGLIGIBLE * mass) | (means < BEYOND)
    return bool((going & (weight > 0) & (mass > 0)).any())
