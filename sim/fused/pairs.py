"""One run's tuples: which samples of the batch stand beside each anchor, at what distance or similarity, and the way back.

What the policies choose is kept as lists, one anchor after the other: anchor i has the positives ``p[first_p[i]:first_p[i + 1]]`` and
the negatives ``n[first_n[i]:first_n[i + 1]]``. In *paired* lists the k-th negative of an anchor belongs to its k-th positive; otherwise
every positive meets every negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiled import compiled
from sim.fused.elementary import exp_row, log_row
from sim.kernels import Choice

DISTANCE, SQUARED, DOT = range(3)
"""What a loss is given of a pair: Euclidean distance, its square, dot product."""

_RANDOM, _EASY, _HARD, _SEMIHARD = int(Choice.RANDOM), int(Choice.EASY), int(Choice.HARD), int(Choice.SEMIHARD)
_ALL, _WEIGHTED = int(Choice.ALL), int(Choice.DISTANCE_WEIGHTED)

# Choices compare numbers that are there, or infinite; a run with NaN is stopped anyway.
FAST = {"nnan", "nsz", "reassoc", "contract"}


@compiled(fastmath=FAST)
def squared_row(x: Any, i: int, row: Any, dim: int, batch: int, stride: int) -> None:
    """Squared distances from sample i to all."""
    for j in range(batch):
        row[j] = 0
    for k in range(dim):
        here = x[k * stride + i]
        for j in range(batch):
            gap = x[k * stride + j] - here
            row[j] += gap * gap


@compiled(fastmath=FAST)
def dot_row(x: Any, i: int, row: Any, dim: int, batch: int, stride: int) -> None:
    """Dot products of sample i with all."""
    for j in range(batch):
        row[j] = 0
    for k in range(dim):
        here = x[k * stride + i]
        for j in range(batch):
            row[j] += x[k * stride + j] * here


@compiled(fastmath=FAST)
def _extreme(sign: int, row: Any, labels: Any, own: int, of_own: bool, i: int, beyond: float, values: Any) -> int:
    """The first of the least ``sign * row`` above ``sign * beyond`` among samples of one's own label, or of others; -1: none."""
    real = row.dtype.type
    infinite, factor = real(np.inf), real(sign)
    limit = factor * real(beyond)
    for j in range(len(row)):
        value = factor * row[j]
        wanted = (labels[j] == own) == of_own
        values[j] = value if wanted and value > limit else infinite
    if of_own:
        values[i] = infinite
    best = infinite
    for j in range(len(row)):
        best = min(best, values[j])
    if best == infinite:
        return -1
    place = np.int32(len(row))
    for j in range(len(row)):
        place = min(place, np.int32(j) if values[j] == best else np.int32(len(row)))
    return int(place)


@compiled(fastmath=FAST)
def _one(
    kind: int,
    of_own: bool,
    row: Any,
    labels: Any,
    i: int,
    u: Any,
    beyond: float,
    values: Any,
    weights: Any,
    scale: Any,
    dim: int,
) -> int:
    """What a policy of single samples chooses for anchor i; -1: nothing."""
    own = labels[i]
    if kind == _RANDOM:
        count = 0
        for j in range(len(row)):
            count += (labels[j] == own) == of_own
        count -= of_own
        left = min(int(u * count), count - 1)
        for j in range(len(row)):
            if (labels[j] == own) == of_own and not (of_own and j == i):
                if left == 0:
                    return j
                left -= 1
        return -1
    if kind == _WEIGHTED:
        total = cumulative_weights(row, labels, own, values, weights, scale, dim)
        return inverted(weights, row.dtype.type(u) * total, total) if total > 0 else -1
    # An easy positive is near, an easy negative far.
    near = (kind == _EASY) == of_own
    if kind == _SEMIHARD:
        near = not of_own
    else:
        beyond = -np.inf if near else np.inf
    return _extreme(1 if near else -1, row, labels, own, of_own, i, beyond, values)


@compiled(fastmath={"nsz", "contract"})
def cumulative_weights(row: Any, labels: Any, own: int, room: Any, weights: Any, scale: Any, dim: int) -> float:
    """``weights``: cumulative weights of `sim.samplers.negatives.distance_weighted` over other labels; their total is returned."""
    real = row.dtype.type
    floor, cutoff = real(0.5), real(1.4)
    for j in range(len(row)):
        room[j] = min(max(row[j], floor * floor), cutoff * cutoff)  # squared
    log_row(room, weights, scale)
    for j in range(len(row)):
        room[j] = real(1) - room[j] / real(4)
    largest = real(-np.inf)
    for j in range(len(row)):
        # (2 - m) log D is half of that times log D^2.
        weights[j] *= real((2 - dim) / 2)
    if dim != 3:
        logs = np.empty(len(row), row.dtype)
        log_row(room, logs, scale)
        for j in range(len(row)):
            weights[j] -= real((dim - 3) / 2) * logs[j]
    for j in range(len(row)):
        inside = labels[j] != own and row[j] < cutoff * cutoff
        weights[j] = weights[j] if inside else real(-np.inf)
        largest = max(largest, weights[j])
    if largest == real(-np.inf):
        for j in range(len(row)):
            room[j] = real(1) if labels[j] != own else real(0)
    else:
        for j in range(len(row)):
            weights[j] = weights[j] - largest
        exp_row(weights, room, scale)
    total = real(0)
    for j in range(len(row)):
        total += room[j]
        weights[j] = total
    return total


@compiled
def inverted(cumulative: Any, wanted: float, total: float) -> int:
    """The first place whose cumulative weight exceeds ``wanted``; where rounding has put that on the total, the last with weight."""
    low, high = 0, len(cumulative) - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > wanted:
            high = middle
        else:
            low = middle + 1
    while low > 0 and cumulative[low - 1] == total:
        low -= 1
    return low


@compiled(fastmath=FAST)
def between(value: int, x: Any, i: int, j: int, dim: int, stride: int) -> float:
    """What a loss is given of one pair."""
    total = x.dtype.type(0)
    for k in range(dim):
        a, b = x[k * stride + i], x[k * stride + j]
        gap = a - b
        total += a * b if value == DOT else gap * gap
    return np.sqrt(total) if value == DISTANCE else total


@compiled(fastmath=FAST)
def _values(value: int, squared: Any, x: Any, i: int, out: Any, dim: int, batch: int, stride: int) -> None:
    """What a loss is given of anchor i and every sample."""
    if value == DOT:
        dot_row(x, i, out, dim, batch, stride)
    elif value == DISTANCE:
        for j in range(batch):
            out[j] = np.sqrt(squared[j])
    else:
        for j in range(batch):
            out[j] = squared[j]


@compiled
def find(
    x: Any,
    labels: Any,
    positive: int,
    negative: int,
    value: int,
    u_pos: Any,
    u_neg: Any,
    dim: int,
    batch: int,
    stride: int,
    first_p: Any,
    at_p: Any,
    p: Any,
    first_n: Any,
    at_n: Any,
    n: Any,
    room: Any,
    scale: Any,
) -> None:
    """Fill the lists: where they begin, positions in the batch, and what the loss is given."""
    row, weights, values, entries = room[0, :batch], room[1, :batch], room[2, :batch], room[3, :batch]
    scale = scale[:batch]
    count_p = count_n = 0
    first_p[0] = first_n[0] = 0
    for i in range(batch):
        own = labels[i]
        if positive != _ALL or negative != _ALL or value != DOT:
            squared_row(x, i, row, dim, batch, stride)
        if positive != _ALL:
            a = b = -1
            if positive == _SEMIHARD:
                b = _one(negative, False, row, labels, i, u_neg[i], 0.0, values, weights, scale, dim)
                if b >= 0:
                    a = _one(positive, True, row, labels, i, u_pos[i], row[b], values, weights, scale, dim)
                b = b if a >= 0 else -1
            else:
                a = _one(positive, True, row, labels, i, u_pos[i], 0.0, values, weights, scale, dim)
                if negative != _ALL and (negative != _SEMIHARD or a >= 0):
                    beyond = row[max(a, 0)]
                    b = _one(negative, False, row, labels, i, u_neg[i], beyond, values, weights, scale, dim)
                if negative == _SEMIHARD and b < 0:
                    a = -1
            if a >= 0:
                at_p[count_p], p[count_p] = a, between(value, x, i, a, dim, stride)
                count_p += 1
            if b >= 0:
                at_n[count_n], n[count_n] = b, between(value, x, i, b, dim, stride)
                count_n += 1
            if negative == _ALL:
                _values(value, row, x, i, entries, dim, batch, stride)
                count_n = _keep(labels, own, False, i, entries, at_n, n, count_n)
        else:
            _values(value, row, x, i, entries, dim, batch, stride)
            before = count_p
            count_p = _keep(labels, own, True, i, entries, at_p, p, count_p)
            if negative == _ALL:
                count_n = _keep(labels, own, False, i, entries, at_n, n, count_n)
            elif negative == _EASY or negative == _HARD:
                b = _one(negative, False, row, labels, i, u_neg[i], 0.0, values, weights, scale, dim)
                if b >= 0:
                    at_n[count_n], n[count_n] = b, entries[b]
                    count_n += 1
            elif negative == _SEMIHARD:
                kept = before
                for k in range(before, count_p):
                    a = at_p[k]
                    b = _one(negative, False, row, labels, i, u_neg[i], row[a], values, weights, scale, dim)
                    if b >= 0:
                        at_p[kept], p[kept] = a, p[k]
                        at_n[count_n], n[count_n] = b, entries[b]
                        kept += 1
                        count_n += 1
                count_p = kept
            else:
                count_n = _drawn(
                    negative, row, labels, own, u_neg[i * batch : (i + 1) * batch], entries, at_p, before, count_p,
                    at_n, n, count_n, values, weights, scale, dim
                )  # fmt: skip
        first_p[i + 1], first_n[i + 1] = count_p, count_n


@compiled
def _keep(labels: Any, own: int, of_own: bool, i: int, entries: Any, at: Any, out: Any, count: int) -> int:
    """Append all samples of the anchor's label but itself, or of other labels."""
    for j in range(len(entries)):
        at[count], out[count] = j, entries[j]
        count += (labels[j] == own) == of_own and not (of_own and j == i)
    return count


@compiled
def _drawn(
    kind: int,
    row: Any,
    labels: Any,
    own: int,
    u: Any,
    entries: Any,
    at_p: Any,
    first: int,
    last: int,
    at_n: Any,
    n: Any,
    count: int,
    values: Any,
    weights: Any,
    scale: Any,
    dim: int,
) -> int:
    """Append a random negative for each of the anchor's positives."""
    if kind == _WEIGHTED:
        total = cumulative_weights(row, labels, own, values, weights, scale, dim)
    else:
        total = row.dtype.type(0)
        for j in range(len(row)):
            total += labels[j] != own
            weights[j] = total
    if total > 0:
        for k in range(first, last):
            b = inverted(weights, row.dtype.type(u[at_p[k]]) * total, total)
            at_n[count], n[count] = b, entries[b]
            count += 1
    return count


@compiled
def back(
    value: int,
    x: Any,
    first: Any,
    at: Any,
    values: Any,
    slopes: Any,
    gradient: Any,
    room: Any,
    dim: int,
    batch: int,
    stride: int,
) -> None:
    """Add what the derivatives ``slopes`` with respect to a list's values are to the gradient for the samples."""
    real = x.dtype.type
    row = room[0, :batch]
    for i in range(batch):
        count = first[i + 1] - first[i]
        if count > 2:
            for j in range(batch):
                row[j] = 0
        for k in range(first[i], first[i + 1]):
            slope = slopes[k]
            if value == DISTANCE:
                # Two samples at one place: zero is an element of the subdifferential.
                slope = slope / values[k] if values[k] > 0 else real(0)
            elif value == SQUARED:
                slope = real(2) * slope
            if count > 2:
                row[at[k]] += slope
            else:
                _between(value, slope, x, i, at[k], gradient, dim, stride)
        if count > 2:
            _from_row(value, row, x, i, gradient, dim, batch, stride)


@compiled
def _between(value: int, slope: float, x: Any, i: int, j: int, gradient: Any, dim: int, stride: int) -> None:
    for k in range(dim):
        here, there = k * stride + i, k * stride + j
        if value == DOT:
            gradient[here] += slope * x[there]
            gradient[there] += slope * x[here]
        else:
            pull = slope * (x[here] - x[there])
            gradient[here] += pull
            gradient[there] -= pull


@compiled
def _from_row(value: int, row: Any, x: Any, i: int, gradient: Any, dim: int, batch: int, stride: int) -> None:
    for k in range(dim):
        points, slopes = x[k * stride : k * stride + batch], gradient[k * stride : k * stride + batch]
        here, total = points[i], x.dtype.type(0)
        if value == DOT:
            for j in range(batch):
                total += row[j] * points[j]
                slopes[j] += row[j] * here
        else:
            for j in range(batch):
                pull = row[j] * (here - points[j])
                total += pull
                slopes[j] -= pull
        slopes[i] += total
