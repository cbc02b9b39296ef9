"""Clusterings of one class at a time: linked components, density clusters, spherical mixtures.

Points are in units of the link distance. Each clustering is written once: compiled where Numba is installed, run as it stands
(slower, same values) where not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.compiled import AVAILABLE, compiled
from sim.fused.elementary import exp_row, log_row

from .kernels import exact, squared_row

Points = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

FLOOR = 1 / 9
"""Added to every variance of a mixture: a third of the link distance, squared."""

TOLERANCE = 1e-3
"""A mixture is done when its mean log-likelihood changes by less than this."""

MOST_STEPS = 300
"""A mixture that would still gain a little then is a fair candidate: its BIC is that of the mixture it reached."""


@exact
def _components(x: Any) -> Any:
    n = x.shape[1]
    labels, queue, row = np.full(n, -1), np.empty(n, np.int64), np.empty(n)
    found, head, tail = 0, 0, 0
    for first in range(n):
        if labels[first] >= 0:
            continue
        labels[first], queue[tail] = found, first
        tail += 1
        while head < tail < n:
            squared_row(x, queue[head], row)
            head += 1
            for j in np.flatnonzero((row <= 1) & (labels < 0)):
                labels[j], queue[tail] = found, j
                tail += 1
        head = tail
        found += 1
    return labels


def components(points: Points) -> Ids:
    """Components (n,) of the graph that joins points (n, m) at most 1 apart; numbered by their first point, from 0.

    They are the single-linkage clusters at height 1. Memory grows with n, not with its square.

    Examples
    --------
    >>> components(np.array([[0.0], [5.0], [1.0], [2.0]])).tolist()
    [0, 1, 0, 0]
    """
    labels: Ids = _components(np.ascontiguousarray(points.T))
    return labels


def _kth(values: Any, k: int) -> Any:
    """The value that k others come before in increasing order; values are moved (Hoare's selection)."""
    first, last = 0, len(values) - 1
    while first < last:
        pivot = values[(first + last) // 2]
        i, j = first, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if k <= j:
            last = j
        elif k >= i:
            first = i
        else:
            break
    return values[k]


# NumPy's own takes Numba seven seconds to compile.
_chosen = exact(_kth) if AVAILABLE else lambda values, k: np.partition(values, k)[k]


@exact
def _spanning_tree(x: Any, smallest: int) -> Any:
    """Prim's tree of mutual reachability: ends (n - 1, 2) and lengths (n - 1,) of its edges, as they were found."""
    n = x.shape[1]
    row, core = np.empty(n), np.empty(n)
    for i in range(n):
        squared_row(x, i, row)
        core[i] = np.sqrt(_chosen(row, smallest - 1))  # a sample is its own first neighbour
    ends, lengths = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    nearest, source = np.full(n, np.inf), np.zeros(n, np.int64)
    taken = np.zeros(n)  # infinite where a sample is in the tree
    here = 0
    for step in range(n - 1):
        taken[here] = np.inf
        squared_row(x, here, row)
        reach = np.maximum(np.maximum(np.sqrt(row), core), core[here])
        source = source + (here - source) * (reach < nearest)
        nearest = np.minimum(nearest, reach)
        here = int(np.argmin(nearest + taken))
        ends[step, 0], ends[step, 1], lengths[step] = source[here], here, nearest[here]
    return ends, lengths


@exact
def _dendrogram(ends: Any) -> Any:
    """Nodes that each of the edges (n - 1, 2), shortest first, joins to node n + its number, and all nodes' sizes."""
    n = len(ends) + 1
    top, size, joined = np.arange(2 * n - 1), np.ones(2 * n - 1, np.int64), np.empty_like(ends)
    for i in range(n - 1):
        for side in range(2):
            node = ends[i, side]
            while top[node] != node:
                top[node] = top[top[node]]
                node = top[node]
            joined[i, side] = node
            top[node] = n + i
        size[n + i] = size[joined[i, 0]] + size[joined[i, 1]]
    return joined, size


@exact
def _stable_clusters(joined: Any, size: Any, heights: Any, smallest: int) -> int:
    n = len(heights) + 1
    root = 2 * n - 2
    # The condensed tree: a node of two large branches ends its cluster and begins two; small branches drop out.
    cluster = np.full(root + 1, -1)
    above, node_above = np.full(root + 1, -1), np.full(root + 1, -1)  # by node; by cluster: the node it splits from
    parent, birth, stability = np.zeros(root + 2, np.int64), np.zeros(root + 2), np.zeros(root + 2)
    queue = np.empty(root + 1, np.int64)
    queue[0], cluster[root], clusters, tail = root, 0, 1, 1
    for head in range(root + 1):  # breadth first: the order of the sums
        node = queue[head]
        if node < n:
            continue
        height, own = heights[node - n], cluster[node]
        rate = 1 / height if height > 0 else np.inf
        large = size[joined[node - n, 0]] >= smallest and size[joined[node - n, 1]] >= smallest
        for side in range(2):
            child = joined[node - n, side]
            above[child] = node
            queue[tail] = child
            tail += 1
            if own < 0:
                continue
            if large:
                cluster[child] = clusters
                parent[clusters], birth[clusters], node_above[clusters] = own, rate, node
                clusters += 1
                stability[own] += (rate - birth[own]) * size[child]
            elif size[child] >= smallest:
                cluster[child] = own
            else:
                for _ in range(size[child]):
                    stability[own] += rate - birth[own]

    # From the leaves up: a cluster is better than what it splits into unless that is more stable.
    better, within = np.full(clusters, False), np.zeros(clusters)
    for c in range(clusters - 1, -1, -1):
        if within[c] > stability[c]:
            stability[c] = within[c]
        else:
            better[c] = True
        if c > 0:
            within[parent[c]] += stability[c]
    counted, inside, seen = 0, np.full(clusters, False), np.full(root + 1, False)
    for c in range(clusters):
        inside[c] = c > 0 and (inside[parent[c]] or better[parent[c]])
        if inside[c] or not better[c]:
            continue
        # Clusters that meet below the link distance are one: that which their branch has become by then.
        branch = node_above[c]
        if branch < 0 or heights[branch - n] >= 1:
            counted += 1
            continue
        while above[branch] >= 0 and heights[above[branch] - n] < 1:
            branch = above[branch]
        counted += not seen[branch]
        seen[branch] = True
    return counted


def density_clusters(points: Points, smallest: int) -> int:
    """Number of HDBSCAN clusters of points (n, m), at least one; those that meet below height 1 are one.

    Campello, Moulavi and Sander 2013, excess of mass, one cluster allowed; merged as in Malzer and Baum 2020.

    Parameters
    ----------
    points : array, (n, m), float64
    smallest : int
        Least size of a cluster, and the neighbour (oneself included) whose distance is a sample's core distance; 2 to n.

    Examples
    --------
    >>> density_clusters(np.array([[0.0], [0.1], [5.0], [5.1]]), smallest=2)
    2
    """
    ends, lengths = _spanning_tree(np.ascontiguousarray(points.T), smallest)
    order = np.argsort(
        lengths
    )  # as scikit-learn sorts: equal lengths, of which core distances make many, count in its order
    joined, size = _dendrogram(ends[order])
    with np.errstate(invalid="ignore"):  # samples on one point: infinite minus infinite
        return int(_stable_clusters(joined, size, lengths[order], smallest))


@compiled
def _expect(x: Any, weights: Any, means: Any, variances: Any, shares: Any, room: Any, scale: Any) -> float:
    """Each component's share (k, n) of each sample; the mean log-likelihood."""
    k, m = means.shape
    top, total, squares = room[0], room[1], room[2]
    for c in range(k):
        squares[:] = 0
        for a in range(m):
            squares += (x[a] - means[c, a]) * (x[a] - means[c, a])
        constant = np.log(weights[c]) - m / 2 * np.log(2 * np.pi * variances[c])
        np.subtract(constant, squares / (2 * variances[c]), shares[c])
    top[:] = -np.inf
    for c in range(k):
        top[:] = np.maximum(top, shares[c])  # not into ``top``: Numba knows no ``out=``, and NumPy no third argument
    total[:] = 0
    for c in range(k):
        np.subtract(shares[c], top, shares[c])
        exp_row(shares[c], shares[c], scale)
        total += shares[c]
    for c in range(k):
        np.divide(shares[c], total, shares[c])
    log_row(total, squares, scale)
    return float(np.mean(top + squares))


@compiled
def _maximise(x: Any, shares: Any, weights: Any, means: Any, variances: Any) -> None:
    k, m = means.shape
    for c in range(k):
        mass, spread = shares[c].sum() + 10 * np.finfo(np.float64).eps, 0.0
        for a in range(m):
            means[c, a] = np.dot(shares[c], x[a]) / mass
            spread += np.dot(shares[c], (x[a] - means[c, a]) * (x[a] - means[c, a]))
        weights[c], variances[c] = mass, spread / (mass * m) + FLOOR
    weights /= weights.sum()


@compiled
def _mixture_bic(x: Any, labels: Any, k: int) -> float:
    m, n = x.shape
    shares, room, scale = np.zeros((k, n)), np.empty((3, n)), np.empty(n, np.int64)
    for i in range(n):
        shares[labels[i], i] = 1.0
    weights, means, variances = np.empty(k), np.empty((k, m)), np.empty(k)
    _maximise(x, shares, weights, means, variances)
    bound, change, step = -np.inf, np.inf, 0
    while abs(change) >= TOLERANCE and step < MOST_STEPS:
        new = _expect(x, weights, means, variances, shares, room, scale)
        _maximise(x, shares, weights, means, variances)
        change = new - bound
        bound, step = new, step + 1
    likelihood = _expect(x, weights, means, variances, shares, room, scale)
    return float(-2 * n * likelihood + (k * (m + 2) - 1) * math.log(n))


def mixture_bic(points: Points, labels: Ids) -> float:
    """BIC of the spherical Gaussian mixture that expectation maximisation reaches from clusters.

    Parameters
    ----------
    points : array, (n, m), float64
    labels : array, (n,), int64
        The clusters, from 0; none is empty.

    Examples
    --------
    >>> line = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> mixture_bic(line, np.array([0, 0, 1, 1])) < mixture_bic(line, np.zeros(4, dtype=np.int64))
    True
    """
    return float(_mixture_bic(np.ascontiguousarray(points.T), labels, int(labels.max()) + 1))


@exact
def _cut(joined: Any, heights: Any, k: int) -> Any:
    """Labels (n,) from 0 of the at most k clusters that a tree is in below a height; equal heights join together."""
    n = len(heights) + 1
    label = np.full(2 * n - 1, -1)
    label[2 * n - 2], found = 0, 1
    limit = heights[n - 1 - k] if k < n else -1.0
    for node in range(2 * n - 2, n - 1, -1):
        for side in range(2):
            child = joined[node - n, side]
            if heights[node - n] <= limit or side == 0:
                label[child] = label[node]
            else:
                label[child] = found
                found += 1
    return label[:n]


def mixture_components(points: Points, k_max: int) -> int:
    """Number of components, up to ``k_max``, of the spherical Gaussian mixture with the least BIC.

    Each mixture starts from the Ward clusters of that number. Of equal BICs the smallest number counts.

    Examples
    --------
    >>> mixture_components(np.array([[0.0], [0.1], [5.0], [5.1]]), k_max=3)
    2
    """
    from scipy.cluster.hierarchy import linkage

    tree = linkage(points, "ward")
    joined, heights = tree[:, :2].astype(np.int64), np.ascontiguousarray(tree[:, 2])
    ks = range(1, min(k_max, len(points)) + 1)
    scores = [mixture_bic(points, _cut(joined, heights, k)) for k in ks]
    return 1 + int(np.argmin(scores))
