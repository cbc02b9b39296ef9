"""How many pieces a class is in, and whether the pieces are its true modes. All of these cluster, hence are heavy.

Every count works at one stated scale, the *link distance*: ``options.scale`` times the mean between-class distance of
the run, or ``options.link_distance``. A class whose diameter is at most that is one sub-cluster for every counter, so
class collapse and total collapse give 1. Differences below ``RESOLUTION`` of the embeddings' root mean square norm
never count as gaps (total collapse up to single-precision rounding).

The three counters fail in different places (300 samples of a class in 2 dimensions unless stated, link distance 0.2,
15 draws):

============================================  =====================  =====================  ===================
a class                                       subclusters_linkage    subclusters_hdbscan    subclusters_gmm
============================================  =====================  =====================  ===================
1 to 8 blobs at distance 1, deviation <= 0.1  right                  right                  right
4 such blobs of 3 samples each                right                  right                  right
2 points at distance 0.15; 0.2; 0.25          1; 1; 2                1; 1; 2                1; 2; 2
2 touching blobs: distance 0.3, dev. 0.05     1: no gap              1: no gap              2
1 Gaussian, deviation up to 0.5               1                      1                      1
uniform ball of radius 0.2; 1                 1; 1                   1; 1                   1; 1 to 6
ring of radius 0.3                            1                      1                      6 or 7
2 blobs joined by a thin bridge               1                      2                      3: bridge counts
4 blobs in 32 dimensions, deviation 0.05      1: all dust            4                      4
1 Gaussian of 12 samples, deviation 0.3       1 to 4                 1 to 4                 1, seldom 2
============================================  =====================  =====================  ===================

So linkage and HDBSCAN need neighbours inside a piece to be nearer than the link distance (linkage all of them; in
many dimensions, or with few samples, they are not), and gaps to be wider. The mixture needs round pieces. A class in
dust counts 1 by linkage, but its ``mode_purity`` is then near 0. Where the three agree, believe them.

Linkage and HDBSCAN take classes of any size. For the mixture the pairs of a class have to fit into ``options.max_bytes``:
4 n^2 bytes, with n the samples of the class. ``NotComputable`` names the bytes that would do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .base import NotComputable, Options, Runs, metric, times_power_of_two
from .clustering import Ids, Points, components, density_clusters, mixture_components
from .pairs import max_by
from .spread import mean_between, pairwise

RESOLUTION = 1e-6
"""Differences below this share of the embeddings' RMS norm are taken for rounding (single precision: 6e-8)."""

Piece = tuple[int, Ids, Points | None]

CLOSER = 1 + 1e-9
"""A gap counts as no wider than the link distance up to this factor: gaps that are equal on paper differ by rounding."""


def link_distances(runs: Runs) -> Tensor:
    """The link distance of each run, (R,).

    Examples
    --------
    >>> from sim.metrics.base import prepare
    >>> _, chunks = prepare(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1]), None, Options())
    >>> round(link_distances(next(chunks)).item(), 6)  # a fifth of 10
    2.0
    """
    rounding = RESOLUTION * runs.x.square().sum(-1).mean(-1).sqrt()
    stated = runs.options.link_distance
    if stated is None:
        wanted = runs.options.scale * runs.once(mean_between)
    else:
        wanted = torch.full_like(rounding, stated)
        if runs.exponents is not None:
            wanted = times_power_of_two(wanted, -runs.exponents)
    link = CLOSER * torch.maximum(wanted, rounding)
    # 32 digits of 53 are kept: those that change with the order of the samples are not among them.
    split = (2**21 + 1) * link
    return torch.where(split.isinf(), link, split - (split - link))


def class_points(runs: Runs) -> list[Piece]:
    """For each class of each run: the run, its samples, and their points about their mean in link distances.

    The points are None if the class fits into one link distance. Samples come in the order of their coordinates, so
    what a clustering makes of ties does not depend on the order they were given in.
    """
    link = runs.once(link_distances)
    diameters = max_by(runs.once(pairwise)[1], runs.classes, runs.n_classes)
    one_piece = (diameters <= link[:, None]).cpu().numpy()
    x, classes, links = runs.x.cpu().numpy(), runs.classes.cpu().numpy(), link.cpu().numpy()
    found: list[Piece] = []
    for run in range(len(x)):
        for k in np.unique(classes[run]):
            members = np.flatnonzero(classes[run] == k)
            members = members[np.lexsort(x[run, members].T)]
            points = x[run, members]
            found.append((run, members, None if one_piece[run, k] else (points - points.mean(0)) / links[run]))
    return found


def _mean_over_classes(runs: Runs, values: Iterator[tuple[int, float]]) -> Tensor:
    sums, counts = np.zeros(len(runs.x)), np.zeros(len(runs.x))
    for run, value in values:
        sums[run] += value
        counts[run] += 1
    return torch.from_numpy(sums / counts).to(runs.x.device)


def _smallest(options: Options, n: int) -> int:
    """Least number of samples of a sub-cluster that counts, in a class of ``n``."""
    return max(2, math.ceil(options.min_fraction * n))


def linkage_pieces(runs: Runs) -> list[tuple[int, Ids, Ids]]:
    """For each class of each run: the run, its samples, and the number of the component each is in, from 0.

    Examples
    --------
    >>> from sim.metrics.base import prepare
    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> _, chunks = prepare(x, classes, None, Options())
    >>> [len(set(labels.tolist())) for _, _, labels in linkage_pieces(next(chunks))]
    [2, 1]
    """
    pieces = []
    for run, members, points in runs.once(class_points):
        labels = np.zeros(len(members), dtype=np.int64) if points is None else components(points)
        pieces.append((run, members, labels))
    return pieces


def _counted(sizes: Ids, options: Options) -> npt.NDArray[np.bool_]:
    """Which components count: those large enough, or else the largest."""
    large = sizes >= _smallest(options, int(sizes.sum()))
    if not large.any():
        large[sizes.argmax()] = True
    return large


@metric(degree=0, heavy=True)
def subclusters_linkage(runs: Runs) -> Tensor:
    """Number of single-linkage components of a class at the link distance, mean over classes.

    Components of the graph that joins samples of the class at most a link distance apart. Those with fewer than
    ``options.min_fraction`` of the class's samples, or one sample, are not counted, but at least one is. Range
    [1, 1 / min_fraction]. Class collapse 1; total collapse 1.

    Examples
    --------
    The first class is in two pieces, the second one in one; in units of the distance of classes the gap is about 0.3.

    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> subclusters_linkage(x, classes).item(), subclusters_linkage(x, classes, options=Options(scale=0.4)).item()
    (1.5, 1.0)
    >>> subclusters_linkage(torch.zeros(6, 1), classes).item()  # total collapse
    1.0
    """
    pieces = runs.once(linkage_pieces)
    return _mean_over_classes(
        runs, ((run, float(_counted(np.bincount(labels), runs.options).sum())) for run, _, labels in pieces)
    )


@metric(degree=0, heavy=True)
def subclusters_hdbscan(runs: Runs) -> Tensor:
    """Number of HDBSCAN clusters of a class, mean over classes.

    Campello, Moulavi and Sander 2013, in the numbers of scikit-learn, with a minimum cluster size of ``options.min_fraction`` of
    the class, a single cluster allowed, and clusters that meet below the link distance merged (HDBSCAN(epsilon) of
    Malzer and Baum 2020). Noise does not count; a class that is all noise counts 1. Range [1, 1 / min_fraction].
    Class collapse 1; total collapse 1.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> subclusters_hdbscan(x, classes).item()  # two pieces in the first class, one in the second
    1.5
    """

    return _count_pieces(runs, lambda points: density_clusters(points, _smallest(runs.options, len(points))))


@metric(degree=0, heavy=True)
def subclusters_gmm(runs: Runs) -> Tensor:
    """Number of components of the spherical Gaussian mixture with the least BIC, mean over classes.

    From 1 to ``options.k_max``. Schwarz 1978; Fraley and Raftery 2002. Each mixture starts from the Ward clusters of
    that number, so no random number is drawn. A third of the link distance, squared, is added to every variance:
    blobs nearer than about the link distance gain nothing from a component of their own. Range [1, k_max]. Class
    collapse 1; total collapse 1.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> subclusters_gmm(x, classes).item()  # two pieces in the first class, one in the second
    1.5
    """

    def count(points: Points) -> int:
        need = 4 * len(points) * (len(points) - 1)  # all pairs of samples
        if need > runs.options.max_bytes:
            allowed = f"at least {need} to cluster a class of {len(points)} samples"
            raise NotComputable("max_bytes", runs.options.max_bytes, allowed)
        return mixture_components(points, runs.options.k_max)

    return _count_pieces(runs, count)


def _count_pieces(runs: Runs, count: Callable[[Points], int]) -> Tensor:
    found = runs.once(class_points)
    return _mean_over_classes(runs, ((run, 1.0 if points is None else count(points)) for run, _, points in found))


def agreements(runs: Runs) -> list[tuple[int, Ids]]:
    """For each class of each run: the run, and how many samples each of its modes has in each component, (modes, components).

    Examples
    --------
    >>> from sim.metrics.base import prepare
    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> _, chunks = prepare(x, classes, torch.tensor([0, 1, 1, 1, 0, 0]), Options())
    >>> [table.tolist() for _, table in agreements(next(chunks))]
    [[[1, 0], [1, 2]], [[2]]]
    """
    tables = []
    fine = runs.fine.cpu().numpy()
    for run, members, labels in runs.once(linkage_pieces):
        modes, mode = np.unique(fine[run, members], return_inverse=True)
        columns = int(labels.max()) + 1
        cells = np.bincount(mode * columns + labels, minlength=len(modes) * columns)
        tables.append((run, cells.reshape(len(modes), columns)))
    return tables


def _agreement(runs: Runs, score: Callable[[Ids], float]) -> Tensor:
    """Mean over classes of the score of its modes and components."""
    return _mean_over_classes(runs, ((run, score(table)) for run, table in runs.once(agreements)))


@metric(degree=0, heavy=True)
def mode_purity(runs: Runs) -> Tensor:
    """Purity of the single-linkage sub-clusters, mean over classes.

    Share of a class's samples that are in a counted sub-cluster (see ``subclusters_linkage``) and of the mode most
    frequent there. Samples outside the counted ones are errors, so splitting a class to dust does not make it pure.
    Range (0, 1]. Class and total collapse: the share of the largest mode, 1 / (number of modes) if balanced. A class
    of one mode in one piece 1.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> modes = torch.tensor([0, 0, 1, 1, 0, 0])
    >>> mode_purity(x, classes, modes).item()
    1.0
    >>> mode_purity(torch.zeros(6, 1), classes, modes).item()  # 1/2 in the class of two modes, 1 in the other
    0.75
    """

    return _agreement(runs, lambda table: float(table.max(0)[_counted(table.sum(0), runs.options)].sum() / table.sum()))


@metric(degree=0, heavy=True)
def mode_nmi(runs: Runs) -> Tensor:
    """Normalised mutual information of a class's modes and its components, mean over classes.

    Mutual information over the arithmetic mean of the two entropies. All single-linkage components take part, small
    ones too. Range [0, 1]. Class and total collapse 0 for a class of two modes or more. A class of one mode scores 1
    in one component and 0 in several. Dust scores above 0 here, by ``mode_ari`` it does not.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> modes = torch.tensor([0, 0, 1, 1, 0, 0])
    >>> round(mode_nmi(x, classes, modes).item(), 3)
    1.0
    >>> round(mode_nmi(torch.zeros(6, 1), classes, modes).item(), 3)  # 0 in the class of two modes, 1 in the other
    0.5
    """

    def score(table: Ids) -> float:
        n, modes, pieces = table.sum(), table.sum(1), table.sum(0)
        entropies = [math.fsum(sizes * np.log(n / sizes)) for sizes in (modes, pieces)]  # times n, as the next one
        there = table > 0
        mutual = math.fsum(table[there] * np.log(n * table[there] / np.outer(modes, pieces)[there]))
        if len(modes) == len(pieces) == 1:
            return 1.0
        return 2 * mutual / sum(entropies) if mutual > n * np.finfo(np.float64).eps else 0.0

    return _agreement(runs, score)


@metric(degree=0, heavy=True)
def mode_ari(runs: Runs) -> Tensor:
    """Adjusted Rand index of a class's modes and its single-linkage components, mean over classes.

    Hubert and Arabie 1985. Range [-0.5, 1]: 1 if they agree, 0 on average for random components. Class and total
    collapse 0 for a class of two modes or more. A class of one mode scores 1 in one component and 0 in several.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0], [20.1]]), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> round(mode_ari(x, classes, torch.tensor([0, 0, 1, 1, 0, 0])).item(), 3)
    1.0
    >>> round(mode_ari(x, classes, torch.tensor([0, 1, 0, 1, 0, 0])).item(), 3)  # modes across the pieces: -0.5, and 1
    0.25
    """

    def score(table: Ids) -> float:
        both, modes, pieces, every = (
            float((sizes * (sizes - 1) // 2).sum()) for sizes in (table, table.sum(1), table.sum(0), table.sum())
        )  # pairs of samples in one cell, one mode, one component, and all
        most = (modes + pieces) / 2
        if both == most:
            return 1.0
        chance = modes * pieces / every
        return (both - chance) / (most - chance)

    return _agreement(runs, score)
