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
from sim.fused.lanes import extremes
from sim.fused.stages import stage
from sim.kernels import Choice

DISTANCE, SQUARED, DOT = range(3)
"""What a loss is given of a pair: Euclidean distance, its square, dot product."""

_RANDOM, _EASY, _HARD, _SEMIHARD = int(Choice.RANDOM), int(Choice.EASY), int(Choice.HARD), int(Choice.SEMIHARD)
_ALL, _WEIGHTED = int(Choice.ALL), int(Choice.DISTANCE_WEIGHTED)

# Choices compare numbers that are there, or infinite; a run with NaN is stopped anyway.
FAST = ("contract", "nnan", "nsz", "reassoc")


@compiled(fastmath=FAST)
def squared_row(x: Any, i: int, row: Any, dim: int, batch: int, stride: int) -> None:
    """Squared distances from sample i to all."""
    if dim == 2:
        # The plane, where most is looked at: one loop instead of three.
        across, up = x[:batch], x[stride : stride + batch]
        a, b = across[i], up[i]
        for j in range(batch):
            row[j] = (across[j] - a) * (across[j] - a) + (up[j] - b) * (up[j] - b)
        return
    for j in range(batch):
        row[j] = 0
    for k in range(dim):
        points = x[k * stride : k * stride + batch]
        here = points[i]
        for j in range(batch):
            gap = points[j] - here
            row[j] += gap * gap


@compiled(fastmath=FAST)
def dot_row(x: Any, i: int, row: Any, dim: int, batch: int, stride: int) -> None:
    """Dot products of sample i with all."""
    for j in range(batch):
        row[j] = 0
    for k in range(dim):
        points = x[k * stride : k * stride + batch]
        here = points[i]
        for j in range(batch):
            row[j] += points[j] * here


@compiled
def _choose(
    kind: int,
    of_own: int,
    x: Any,
    labels: Any,
    u: Any,
    beyond: Any,
    chosen: Any,
    squared: Any,
    room: Any,
    scale: Any,
    groups: Any,
    dim: int,
    batch: int,
    stride: int,
) -> None:
    """What a policy of single samples chooses for every anchor, -1: nothing, and at which squared distance.

    ``beyond``: squared distances of the other side's choices; what is written may take their place.
    """
    row, limit = room[0], room[1]
    if kind == _RANDOM:
        for i in range(batch):
            listed = _listed(groups, batch, of_own, i)
            count = len(listed) - of_own
            left = min(int(u[i] * count), count - 1)
            # The anchor itself stands in the list of its label.
            left += of_own and left >= groups[batch + i]
            chosen[i] = listed[left] if count > 0 else -1
    elif kind == _WEIGHTED:
        for i in range(batch):
            squared_row(x, i, row[:batch], dim, batch, stride)
            total = cumulative_weights(row[:batch], labels, labels[i], limit[:batch], room[2, :batch], scale, dim)
            chosen[i] = inverted(room[2, :batch], row.dtype.type(u[i]) * total, total) if total > 0 else -1
    else:
        # An easy positive is near, an easy negative far; a semi-hard negative is the nearest, a positive the farthest.
        near = (kind == _EASY) == (of_own == 1)
        if kind == _SEMIHARD:
            near = of_own == 0
        sign = row.dtype.type(1 if near else -1)
        for i in range(batch):
            limit[i] = sign * beyond[i] if kind == _SEMIHARD else row.dtype.type(-np.inf)
        extremes(sign, x, labels, of_own, limit, squared, chosen, dim, batch, stride)
        for i in range(batch):
            squared[i] *= sign
        return
    for i in range(batch):
        squared[i] = squared_between(x, i, chosen[i], dim, stride) if chosen[i] >= 0 else np.inf


@compiled(fastmath=("contract",))
def squared_between(x: Any, i: int, j: int, dim: int, stride: int) -> float:
    """Squared distance of two samples, summed in the order, and rounded, as in `sim.fused.lanes`: ties stay ties."""
    total = x.dtype.type(0)
    for k in range(dim):
        gap = x[k * stride + i] - x[k * stride + j]
        total += gap * gap
    return total


@compiled(fastmath=("contract", "nsz"))
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


@stage(
    "void row places word word word uniforms uniforms word word word words places row words places row room scale places"
)
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
    groups: Any,
) -> None:
    """Fill the lists: where they begin, positions in the batch, and what the loss is given; ``groups``: room for B (B + 4) places,
    and for two rows more."""
    scale = scale[:batch]
    row, weights, values, entries, beyond = room[0, :batch], room[1, :batch], room[2, :batch], room[3, :batch], room[4]
    mine, theirs = np.int64(1), np.int64(0)  # no literals, for which Numba would compile functions of their own
    of_p, of_n = groups[:stride], groups[stride : 2 * stride]
    groups = groups[2 * stride :]
    if positive == _ALL or negative == _ALL or positive == _RANDOM or negative == _RANDOM:
        _group(labels, groups)
    if positive == _SEMIHARD:
        _choose(negative, theirs, x, labels, u_neg, beyond, of_n, beyond, room, scale, groups, dim, batch, stride)
        _choose(positive, mine, x, labels, u_pos, beyond, of_p, beyond, room, scale, groups, dim, batch, stride)
    else:
        if positive != _ALL:
            _choose(positive, mine, x, labels, u_pos, beyond, of_p, beyond, room, scale, groups, dim, batch, stride)
        if negative == _EASY or negative == _HARD or (positive != _ALL and negative != _ALL):
            _choose(negative, theirs, x, labels, u_neg, beyond, of_n, beyond, room, scale, groups, dim, batch, stride)
    count_p = count_n = 0
    first_p[0] = first_n[0] = 0
    for i in range(batch):
        if positive == _ALL or negative == _ALL:
            if value != DOT or positive != _ALL or negative != _ALL:
                squared_row(x, i, row, dim, batch, stride)
            _values(value, row, x, i, entries, dim, batch, stride)
        before = count_p
        if positive == _ALL:
            count_p = _keep(groups, mine, i, entries, at_p, p, count_p)
        else:
            # The side that waits for the other one takes it down with it where it finds nothing.
            if (positive == _SEMIHARD and of_p[i] < 0) or (negative == _SEMIHARD and of_n[i] < 0):
                of_p[i] = of_n[i] = -1
            if of_p[i] >= 0:
                at_p[count_p], p[count_p] = of_p[i], between(value, x, i, of_p[i], dim, stride)
                count_p += 1
        if negative == _ALL:
            count_n = _keep(groups, theirs, i, entries, at_n, n, count_n)
        elif positive != _ALL or negative == _EASY or negative == _HARD:
            if of_n[i] >= 0:
                at_n[count_n], n[count_n] = of_n[i], between(value, x, i, of_n[i], dim, stride)
                count_n += 1
        elif negative == _SEMIHARD:
            kept = before
            for k in range(before, count_p):
                a = at_p[k]
                b = _nearest_beyond(row, labels, labels[i], row[a])
                if b >= 0:
                    at_p[kept], p[kept] = a, p[k]
                    at_n[count_n], n[count_n] = b, entries[b]
                    kept += 1
                    count_n += 1
            count_p = kept
        else:
            count_n = _drawn(
                negative, row, labels, labels[i], u_neg[i * batch : (i + 1) * batch], entries, at_p, before, count_p,
                at_n, n, count_n, values, weights, scale, dim
            )  # fmt: skip
        first_p[i + 1], first_n[i + 1] = count_p, count_n


@compiled(fastmath=FAST)
def _nearest_beyond(row: Any, labels: Any, own: int, limit: float) -> int:
    """The first of the nearest samples of other labels that are farther than a limit; -1: there is none."""
    best, place = row.dtype.type(np.inf), -1
    for j in range(len(row)):
        if labels[j] != own and row[j] > limit and row[j] < best:
            best, place = row[j], j
    return place


@compiled
def _group(labels: Any, groups: Any) -> None:
    """Write down who has the same label. B places each: a sample's label, numbered anew; its rank among those of its label; where the
    list of a label ends; these lists, one after the other; then for each label the list of all others."""
    batch = len(labels)
    number, rank, end = groups[:batch], groups[batch : 2 * batch], groups[2 * batch : 3 * batch]
    mates = groups[3 * batch : 4 * batch]
    found = 0
    for i in range(batch):
        k = 0
        while k < found and labels[mates[k]] != labels[i]:
            k += 1
        if k == found:
            mates[k] = i
            found += 1
        number[i] = k
    count = 0
    for k in range(found):
        others = groups[(4 + k) * batch : (5 + k) * batch]
        first, rest = count, 0
        for j in range(batch):
            if number[j] == k:
                mates[count] = j
                rank[j] = count - first
                count += 1
            else:
                others[rest] = j
                rest += 1
        end[k] = count


@compiled
def _listed(groups: Any, batch: int, of_own: int, i: int) -> Any:
    """The samples of anchor i's label, itself among them, or all others."""
    k = groups[i]
    first, last = groups[2 * batch + k - 1] if k else 0, groups[2 * batch + k]
    if of_own:
        return groups[3 * batch + first : 3 * batch + last]
    return groups[(4 + k) * batch : (5 + k) * batch - (last - first)]


@compiled(fastmath=FAST)
def _keep(groups: Any, of_own: int, i: int, entries: Any, at: Any, out: Any, count: int) -> int:
    """Append all samples of the anchor's label but itself, or of other labels."""
    batch = len(entries)
    listed = _listed(groups, batch, of_own, i)
    length = len(listed) - of_own
    place, value = at[count : count + length], out[count : count + length]
    before = groups[batch + i] if of_own else length
    for j in range(before):
        place[j] = listed[j]
        value[j] = entries[listed[j]]
    for j in range(before, length):
        place[j] = listed[j + 1]
        value[j] = entries[listed[j + 1]]
    return count + length


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
def _coefficients(value: int, count: int, values: Any, slopes: Any) -> None:
    """By what the difference of two samples is multiplied, from the derivative with respect to their distance; in place."""
    if value == DISTANCE:
        for k in range(count):
            # Two samples at one place: zero is an element of the subdifferential.
            slopes[k] = slopes[k] / values[k] if values[k] > 0 else slopes.dtype.type(0)
    elif value == SQUARED:
        for k in range(count):
            slopes[k] *= slopes.dtype.type(2)


@stage("void word row words places row row words places row row row room word word word")
def back(
    value: int,
    x: Any,
    first_p: Any,
    at_p: Any,
    p: Any,
    slope_p: Any,
    first_n: Any,
    at_n: Any,
    n: Any,
    slope_n: Any,
    gradient: Any,
    room: Any,
    dim: int,
    batch: int,
    stride: int,
) -> None:
    """Gradient for the samples from the derivatives with respect to the lists' values, which are overwritten."""
    row = room[0, :batch]
    _coefficients(value, first_p[batch], p, slope_p)
    _coefficients(value, first_n[batch], n, slope_n)
    for k in range(dim * stride):
        gradient[k] = 0
    for i in range(batch):
        if first_p[i + 1] - first_p[i] + first_n[i + 1] - first_n[i] <= 2:
            for k in range(first_p[i], first_p[i + 1]):
                _between(value, slope_p[k], x, i, at_p[k], gradient, dim, stride)
            for k in range(first_n[i], first_n[i + 1]):
                _between(value, slope_n[k], x, i, at_n[k], gradient, dim, stride)
            continue
        for j in range(batch):
            row[j] = 0
        for k in range(first_p[i], first_p[i + 1]):
            row[at_p[k]] += slope_p[k]
        for k in range(first_n[i], first_n[i + 1]):
            row[at_n[k]] += slope_n[k]
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
