"""What policies choose in one run's batch: single samples for every anchor, and who has the same label."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiled import FAST, compiled
from sim.fused.elementary import exp_row, log_row
from sim.fused.lanes import extremes
from sim.kernels import Choice
from sim.samplers.negatives import DISTANCE_CUTOFF, DISTANCE_FLOOR

RANDOM, EASY, HARD, SEMIHARD = int(Choice.RANDOM), int(Choice.EASY), int(Choice.HARD), int(Choice.SEMIHARD)
ALL, WEIGHTED = int(Choice.ALL), int(Choice.DISTANCE_WEIGHTED)


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


@compiled
def group(labels: Any, groups: Any) -> None:
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
def listed(groups: Any, batch: int, of_own: int, i: int) -> Any:
    """The samples of anchor i's label, itself among them, or all others."""
    k = groups[i]
    first, last = groups[2 * batch + k - 1] if k else 0, groups[2 * batch + k]
    if of_own:
        return groups[3 * batch + first : 3 * batch + last]
    return groups[(4 + k) * batch : (5 + k) * batch - (last - first)]


@compiled
def choose(
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
    if kind == RANDOM:
        for i in range(batch):
            candidates = listed(groups, batch, of_own, i)
            count = len(candidates) - of_own
            left = min(int(u[i] * count), count - 1)
            # The anchor itself stands in the list of its label.
            left += of_own and left >= groups[batch + i]
            chosen[i] = candidates[left] if count > 0 else -1
    elif kind == WEIGHTED:
        for i in range(batch):
            squared_row(x, i, row[:batch], dim, batch, stride)
            total = cumulative_weights(row[:batch], labels, labels[i], limit[:batch], room[2, :batch], scale, dim)
            chosen[i] = inverted(room[2, :batch], row.dtype.type(u[i]) * total, total) if total > 0 else -1
    else:
        # An easy positive is near, an easy negative far; a semi-hard negative is the nearest, a positive the farthest.
        near = (kind == EASY) == (of_own == 1)
        if kind == SEMIHARD:
            near = of_own == 0
        sign = row.dtype.type(1 if near else -1)
        for i in range(batch):
            limit[i] = sign * beyond[i] if kind == SEMIHARD else row.dtype.type(-np.inf)
        extremes(sign, x, labels, of_own, limit, squared, chosen, dim, batch, stride)
        for i in range(batch):
            squared[i] *= sign
        return
    for i in range(batch):
        squared[i] = squared_between(x, i, chosen[i], dim, stride) if chosen[i] >= 0 else np.inf


@compiled(fastmath=("contract",))
def squared_between(x: Any, i: int, j: int, dim: int, stride: int) -> Any:
    """Squared distance of two samples, summed in the order, and rounded, as in `sim.fused.lanes`: ties stay ties."""
    total = x.dtype.type(0)
    for k in range(dim):
        gap = x[k * stride + i] - x[k * stride + j]
        total += gap * gap
    return total


@compiled(fastmath=("contract", "nsz"))
def cumulative_weights(row: Any, labels: Any, own: int, room: Any, weights: Any, scale: Any, dim: int) -> Any:
    """``weights``: cumulative weights of `sim.samplers.negatives.distance_weighted` over other labels; their total is returned."""
    real = row.dtype.type
    floor, cutoff = real(DISTANCE_FLOOR), real(DISTANCE_CUTOFF)
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
def nearest_beyond(row: Any, labels: Any, own: int, limit: float) -> int:
    """The first of the nearest samples of other labels that are farther than a limit; -1: there is none."""
    best, place = row.dtype.type(np.inf), -1
    for j in range(len(row)):
        if labels[j] != own and row[j] > limit and row[j] < best:
            best, place = row[j], j
    return place
