"""One run's tuples: which samples of the batch stand beside each anchor, at what distance or similarity, and the way back.

What the policies choose is kept as lists, one anchor after the other: anchor i has the positives ``p[first_p[i]:first_p[i + 1]]`` and
the negatives ``n[first_n[i]:first_n[i + 1]]``. In *paired* lists the k-th negative of an anchor belongs to its k-th positive; otherwise
every positive meets every negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiled import FAST, compiled
from sim.fused.choices import (
    ALL,
    EASY,
    HARD,
    RANDOM,
    SEMIHARD,
    WEIGHTED,
    choose,
    cumulative_weights,
    group,
    inverted,
    listed,
    nearest_beyond,
    squared_row,
)
from sim.fused.stages import stage

DISTANCE, SQUARED, DOT = range(3)
"""What a loss is given of a pair: Euclidean distance, its square, dot product."""


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


@compiled(fastmath=FAST)
def _singles(
    value: int, x: Any, of: Any, values: Any, first: Any, at: Any, out: Any, dim: int, batch: int, stride: int
) -> None:
    """Fill lists of at most one sample an anchor, ``of``; -1: none."""
    for i in range(batch):
        values[i] = 0
    for k in range(dim):
        points = x[k * stride : k * stride + batch]
        if value == DOT:
            for i in range(batch):
                values[i] += points[i] * points[max(of[i], 0)]
        else:
            for i in range(batch):
                gap = points[i] - points[max(of[i], 0)]
                values[i] += gap * gap
    if value == DISTANCE:
        for i in range(batch):
            values[i] = np.sqrt(values[i])
    count = first[0] = 0
    for i in range(batch):
        # The next one takes the place of what isn't there.
        at[count], out[count] = of[i], values[i]
        count += of[i] >= 0
        first[i + 1] = count


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
    mine: Any
    theirs: Any
    mine, theirs = np.int64(1), np.int64(0)  # no literals, for which Numba would compile functions of their own
    of_p, of_n = groups[:stride], groups[stride : 2 * stride]
    groups = groups[2 * stride :]
    if positive in (ALL, RANDOM) or negative in (ALL, RANDOM):
        group(labels, groups)
    if positive == SEMIHARD:
        choose(negative, theirs, x, labels, u_neg, beyond, of_n, beyond, room, scale, groups, dim, batch, stride)
        choose(positive, mine, x, labels, u_pos, beyond, of_p, beyond, room, scale, groups, dim, batch, stride)
    else:
        if positive != ALL:
            choose(positive, mine, x, labels, u_pos, beyond, of_p, beyond, room, scale, groups, dim, batch, stride)
        if negative in (EASY, HARD) or (positive != ALL and negative != ALL):
            choose(negative, theirs, x, labels, u_neg, beyond, of_n, beyond, room, scale, groups, dim, batch, stride)
    if positive == SEMIHARD or negative == SEMIHARD:
        for i in range(batch if positive != ALL else 0):
            # The side that waits for the other one takes it down with it where it finds nothing.
            if (positive == SEMIHARD and of_p[i] < 0) or (negative == SEMIHARD and of_n[i] < 0):
                of_p[i] = of_n[i] = -1
    if positive != ALL and negative != ALL:
        _singles(value, x, of_p, values, first_p, at_p, p, dim, batch, stride)
        _singles(value, x, of_n, values, first_n, at_n, n, dim, batch, stride)
        return
    count_p = count_n = 0
    first_p[0] = first_n[0] = 0
    for i in range(batch):
        if value != DOT or positive != ALL or negative != ALL:
            squared_row(x, i, row, dim, batch, stride)
        _values(value, row, x, i, entries, dim, batch, stride)
        before = count_p
        if positive == ALL:
            count_p = _keep(groups, mine, i, entries, at_p, p, count_p)
        elif of_p[i] >= 0:
            at_p[count_p], p[count_p] = of_p[i], entries[of_p[i]]
            count_p += 1
        if negative == ALL:
            count_n = _keep(groups, theirs, i, entries, at_n, n, count_n)
        elif positive != ALL or negative in (EASY, HARD):
            if of_n[i] >= 0:
                at_n[count_n], n[count_n] = of_n[i], entries[of_n[i]]
                count_n += 1
        elif negative == SEMIHARD:
            kept = before
            for k in range(before, count_p):
                a = at_p[k]
                b = nearest_beyond(row, labels, labels[i], row[a])
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
def _keep(groups: Any, of_own: int, i: int, entries: Any, at: Any, out: Any, count: int) -> int:
    """Append all samples of the anchor's label but itself, or of other labels."""
    batch = len(entries)
    found = listed(groups, batch, of_own, i)
    length = len(found) - of_own
    place, value = at[count : count + length], out[count : count + length]
    before = groups[batch + i] if of_own else length
    for j in range(before):
        place[j] = found[j]
        value[j] = entries[found[j]]
    for j in range(before, length):
        place[j] = found[j + 1]
        value[j] = entries[found[j + 1]]
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
    if kind == WEIGHTED:
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
    if dim == 2 and value != DOT:
        _few_in_plane(x, first_p, at_p, slope_p, first_n, at_n, slope_n, gradient, room, batch, stride)
    else:
        _few_in_space(value, x, first_p, at_p, slope_p, first_n, at_n, slope_n, gradient, room, dim, batch, stride)
    for i in range(batch):
        if _few(first_p, first_n, i):
            continue
        for j in range(batch):
            row[j] = 0
        for k in range(first_p[i], first_p[i + 1]):
            row[at_p[k]] += slope_p[k]
        for k in range(first_n[i], first_n[i + 1]):
            row[at_n[k]] += slope_n[k]
        _from_row(value, row, x, i, gradient, dim, batch, stride)


@compiled
def _few(first_p: Any, first_n: Any, i: int) -> bool:
    """Whether an anchor has so few tuples that they are taken one by one."""
    return bool(first_p[i + 1] - first_p[i] + first_n[i + 1] - first_n[i] <= 2)


@compiled
def _few_in_plane(
    x: Any,
    first_p: Any,
    at_p: Any,
    slope_p: Any,
    first_n: Any,
    at_n: Any,
    slope_n: Any,
    gradient: Any,
    room: Any,
    batch: int,
    stride: int,
) -> None:
    """The share of anchors with few tuples, for distances in the plane, where most is looked at: both coordinates at once.

    What pulls an anchor is summed apart from what its partners are pulled by: no sum waits for the one before.
    """
    across, up = x[:batch], x[stride : stride + batch]
    to_right, upwards = gradient[:batch], gradient[stride : stride + batch]
    own_right, own_up = room[1, :batch], room[2, :batch]
    for i in range(batch):
        a, b = across[i], up[i]
        right = above = x.dtype.type(0)
        if _few(first_p, first_n, i):
            for k in range(first_p[i], first_p[i + 1]):
                j, slope = np.uint32(at_p[k]), slope_p[k]
                pull, lift = slope * (a - across[j]), slope * (b - up[j])
                right += pull
                above += lift
                to_right[j] -= pull
                upwards[j] -= lift
            for k in range(first_n[i], first_n[i + 1]):
                j, slope = np.uint32(at_n[k]), slope_n[k]
                pull, lift = slope * (a - across[j]), slope * (b - up[j])
                right += pull
                above += lift
                to_right[j] -= pull
                upwards[j] -= lift
        own_right[i], own_up[i] = right, above
    for i in range(batch):
        to_right[i] += own_right[i]
        upwards[i] += own_up[i]


@compiled
def _few_in_space(
    value: int,
    x: Any,
    first_p: Any,
    at_p: Any,
    slope_p: Any,
    first_n: Any,
    at_n: Any,
    slope_n: Any,
    gradient: Any,
    room: Any,
    dim: int,
    batch: int,
    stride: int,
) -> None:
    """The same in any dimension, and for dot products: one coordinate after the other."""
    own = room[1, :batch]
    for coordinate in range(dim):
        start = coordinate * stride
        points, slopes = x[start : start + batch], gradient[start : start + batch]
        for i in range(batch):
            here, total = points[i], x.dtype.type(0)
            if _few(first_p, first_n, i):
                for k in range(first_p[i], first_p[i + 1]):
                    there, slope = points[at_p[k]], slope_p[k]
                    total += slope * (there if value == DOT else here - there)
                    slopes[at_p[k]] += slope * (here if value == DOT else there - here)
                for k in range(first_n[i], first_n[i + 1]):
                    there, slope = points[at_n[k]], slope_n[k]
                    total += slope * (there if value == DOT else here - there)
                    slopes[at_n[k]] += slope * (here if value == DOT else there - here)
            own[i] = total
        for i in range(batch):
            slopes[i] += own[i]


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
