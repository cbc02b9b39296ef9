"""The integrals of `sim.theory.integrals` a row at a time, compiled by Numba: what its tensor programs compute, three times and more as fast.

A row's nodes double: exp(-2 u z) - 1 = e (e + 2) with e = exp(-u z) - 1, so that no exponential is taken after the first nodes, and nothing is
lost where u z is small.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from sim.compiled import compiled
from sim.theory.nodes import BEYOND, NEGLIGIBLE, SMALLEST, first_node

# Sums and products in any order, but NaN stays NaN: what is outside of the numbers must be seen.
fast = functools.partial(compiled, fastmath=("contract", "reassoc", "nsz"))


@fast
def _exponentials(x: Any, own: int, floor: float, z: Any) -> float:
    """z = exp(x - top), 0 at the row's own place; top is the largest entry of the others, or the floor."""
    top = floor
    for k in range(len(x)):
        if k != own and x[k] > top:
            top = x[k]
    for k in range(len(x)):
        z[k] = np.exp(x[k] - top) if k != own else 0.0
    return top


@fast
def _start(z: Any, u: float, e: Any) -> None:
    """exp(-u z) - 1 at the nodes of the first doubling, of which ``e`` has a row each."""
    for f in range(len(e)):
        for k in range(len(z)):
            e[f, k] = np.expm1(-u * 2.0 ** (f / len(e)) * z[k])


@compiled(fastmath=())
def _double(row: Any) -> None:
    """exp(-u z) - 1 at twice the u. Near -1 by way of the exponential, lest what rounding left of it stay for ever."""
    for k in range(len(row)):
        whole = row[k] + 1.0
        row[k] = whole * whole - 1.0 if whole < 0.5 else row[k] * (row[k] + 2.0)


@fast
def all_positives(x: Any, p: Any, fine: int, value: Any, slope: Any, first: int, last: int) -> None:
    """`sim.theory.integrals.all_positives` of the rows from first to last, into zeros."""
    n, t = p.shape
    z, q, e = np.empty(n), np.empty(n), np.empty((fine, n))
    a, rest = np.empty((t, n)), np.zeros(t)
    mass, mean, open_ = np.empty(t), np.empty(t), np.empty(t, np.bool_)
    for r in range(first, last):
        own = r % n
        top = _exponentials(x[r], own, -np.inf, z)
        for y in range(t):
            of_negatives = 0.0
            for k in range(n):
                a[y, k] = p[k, y] if k != own else 0.0
                of_negatives += (1.0 - p[k, y]) * z[k]
            mass[y] = a[y].sum()
            open_[y] = p[own, y] > 0 and mass[y] > 0
            rest[y] = 0.0
            if not open_[y]:
                continue
            mean[y] = 0.0
            for k in range(n):
                mean[y] += a[y, k] * (z[k] + of_negatives - (1.0 - a[y, k]) * z[k])
                if k != own:
                    value[r] -= p[own, y] * a[y, k] * x[r, k]
                    slope[r, k] -= p[own, y] * a[y, k]
            mean[y] = max(mean[y] / mass[y], SMALLEST)
            rest[y] = 1.0 / mean[y]
            value[r] += p[own, y] * mass[y] * (np.log(mean[y]) + top)
        h = np.log(2.0) / fine
        start = first_node(z.sum(), fine)
        _start(z, start, e)
        node = 0
        while open_.any():
            u, row = start * 2.0 ** (node / fine), e[node % fine]
            for y in range(t):
                if not open_[y]:
                    continue
                rest[y] -= h * u * np.exp(-mean[y] * u)
                product, total, of_label = 1.0, 0.0, a[y]
                for k in range(n):
                    factor = max(1.0 + (1.0 - of_label[k]) * row[k], SMALLEST)
                    product *= factor
                    q[k] = (1.0 + row[k]) / factor
                    total += of_label[k] * q[k]
                value[r] += h * p[own, y] * (mass[y] * np.exp(-mean[y] * u) - product * total)
                scale = h * u * p[own, y] * product
                if scale > 0:
                    for k in range(n):
                        slope[r, k] += (
                            scale * z[k] * q[k] * ((1.0 - of_label[k]) * (total - of_label[k] * q[k]) + of_label[k])
                        )
                open_[y] = product * total > NEGLIGIBLE * mass[y] or mean[y] * u < BEYOND
            _double(row)
            node += 1
        for y in range(t):
            for k in range(n):
                b = 1.0 - a[y, k]
                slope[r, k] += p[own, y] * rest[y] * z[k] * (a[y, k] + b * (mass[y] - a[y, k]))


@fast
def easy_positives(x: Any, p: Any, fine: int, value: Any, slope: Any, first: int, last: int) -> None:
    """`sim.theory.integrals.easy_positives` of the rows from first to last, into zeros."""
    n, t = p.shape
    others = n - 1
    near, z, slopes = np.empty(others), np.empty(others), np.empty(others)
    after, share, e = np.empty(others), np.empty(others), np.empty((fine, others))
    a, rho = np.empty((t, others)), np.empty((t, others))
    mass, mean, rest, open_ = np.empty(t), np.empty(t), np.zeros(t), np.empty(t, np.bool_)
    for r in range(first, last):
        own = r % n
        order = np.argsort(-x[r], kind="mergesort")
        order = order[order != own]
        for k in range(others):
            near[k] = x[r, order[k]]
        top = _exponentials(near, -1, -np.inf, z)
        slopes[:] = 0.0
        for y in range(t):
            none_before, mass[y], mean[y] = 1.0, 0.0, 0.0
            of_negatives = 0.0
            for k in range(others):
                a[y, k] = p[order[k], y]
                rho[y, k] = a[y, k] * none_before
                none_before *= 1.0 - a[y, k]
                mass[y] += rho[y, k]
                of_negatives += (1.0 - a[y, k]) * z[k]
            open_[y] = p[own, y] > 0 and mass[y] > 0
            rest[y] = 0.0
            if not open_[y]:
                continue
            before = 0.0
            for k in range(others):
                before += z[k]
                of_negatives -= (1.0 - a[y, k]) * z[k]
                mean[y] += rho[y, k] * (before + of_negatives)
                value[r] -= p[own, y] * rho[y, k] * near[k]
                slopes[k] -= p[own, y] * rho[y, k]
            mean[y] = max(mean[y] / mass[y], SMALLEST)
            rest[y] = 1.0 / mean[y]
            value[r] += p[own, y] * mass[y] * (np.log(mean[y]) + top)
        h = np.log(2.0) / fine
        start = first_node(z.sum(), fine)
        _start(z, start, e)
        node = 0
        while open_.any():
            u, row = start * 2.0 ** (node / fine), e[node % fine]
            for y in range(t):
                if not open_[y]:
                    continue
                rest[y] -= h * u * np.exp(-mean[y] * u)
                product, total = 1.0, 0.0
                for k in range(others - 1, -1, -1):
                    after[k] = product
                    product *= 1.0 + (1.0 - a[y, k]) * row[k]
                product = 1.0
                for k in range(others):
                    product *= 1.0 + row[k]
                    share[k] = rho[y, k] * product * after[k]
                    total += share[k]
                value[r] += h * p[own, y] * (mass[y] * np.exp(-mean[y] * u) - total)
                before, scale = 0.0, h * u * p[own, y]
                for k in range(others):
                    b = 1.0 - a[y, k]
                    of_farther = b * (1.0 + row[k]) / max(1.0 + b * row[k], SMALLEST) * before
                    slopes[k] += scale * z[k] * (total - before + of_farther)
                    before += share[k]
                open_[y] = total > NEGLIGIBLE * mass[y] or mean[y] * u < BEYOND
            _double(row)
            node += 1
        for y in range(t):
            nearer = 0.0
            for k in range(others):
                slopes[k] += p[own, y] * rest[y] * z[k] * (mass[y] - nearer + (1.0 - a[y, k]) * nearer)
                nearer += rho[y, k]
        for k in range(others):
            slope[r, order[k]] = slopes[k]


@fast
def _any_taken(chances: Any, row: Any) -> float:
    """E [exp(-u S); S > 0] where ``row`` is exp(-u z) - 1, P(S > 0) where it is 0; by who is the first that is taken: nothing cancels."""
    found, none = 0.0, 1.0
    for k in range(len(chances)):
        found = found * (1.0 + chances[k] * row[k]) + none * chances[k] * (1.0 + row[k])
        none *= 1.0 - chances[k]
    return found


@fast
def log_of_sum(
    x: Any, chances: Any, one: bool, p: Any, fine: int, value: Any, slope: Any, first: int, last: int
) -> None:
    """`sim.theory.integrals.log_of_sum` of the rows from first to last, into zeros."""
    t, n = chances.shape
    z, e, q, nothing = np.empty(n), np.empty((fine, n)), np.empty(n), np.zeros(n)
    b, rest = np.empty((t, n)), np.zeros(t)
    mass, mean, open_ = np.empty(t), np.empty(t), np.empty(t, np.bool_)
    for r in range(first, last):
        own = r % n
        top = _exponentials(x[r], own, 0.0 if one else -np.inf, z)
        constant = np.exp(-top) if one else 0.0
        for y in range(t):
            mean[y] = constant
            for k in range(n):
                b[y, k] = chances[y, k] if k != own else 0.0
                mean[y] += b[y, k] * z[k]
            mass[y] = 1.0 if one else _any_taken(b[y], nothing)
            open_[y] = p[own, y] > 0 and mass[y] > 0
            rest[y] = 0.0
            if open_[y]:
                mean[y] = max(mean[y] / mass[y], SMALLEST)
                rest[y] = 1.0 / mean[y]
                value[r] += p[own, y] * mass[y] * (np.log(mean[y]) + top)
        h = np.log(2.0) / fine
        start = first_node(constant + z.sum(), fine)
        _start(z, start, e)
        node = 0
        while open_.any():
            u, row = start * 2.0 ** (node / fine), e[node % fine]
            for y in range(t):
                if not open_[y]:
                    continue
                rest[y] -= h * u * np.exp(-mean[y] * u)
                product, chance = 1.0, b[y]
                for k in range(n):
                    factor = max(1.0 + chance[k] * row[k], SMALLEST)
                    product *= factor
                    q[k] = chance[k] * (1.0 + row[k]) / factor
                product *= np.exp(-constant * u)
                there = product if one else _any_taken(chance, row)
                value[r] += h * p[own, y] * (mass[y] * np.exp(-mean[y] * u) - there)
                scale = h * u * p[own, y] * product
                if scale > 0:
                    for k in range(n):
                        slope[r, k] += scale * z[k] * q[k]
                open_[y] = there > NEGLIGIBLE * mass[y] or mean[y] * u < BEYOND
            _double(row)
            node += 1
        for y in range(t):
            for k in range(n):
                slope[r, k] += p[own, y] * rest[y] * z[k] * b[y, k]
