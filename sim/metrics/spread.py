"""How far a class, a mode and the whole sample spread.

*Class collapse* (all samples of a class on one point) takes every within-class quantity to 0 and leaves
``between_mean``, ``pi_inter`` and ``global_spread`` alone; *total collapse* (all samples on one point) takes those to
0 too. Quantities that compare the two are then 0/0: NaN, rather than a number that would look like a finding. All
distances are Euclidean, in the units of the embedding, and unless stated otherwise they scale with it.

Means over classes or modes leave out those with a single sample (they have no pair); if none is left the value is NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import kernels
from .base import Runs, metric
from .pairs import DIRECT_UP_TO, Groups, group, mean_by, sum_by, sums_and_maxima

ROUNDING = 2.0**-40
"""Differences of class means below this share of the largest distance to the mean of all are taken for rounding: sums in
another order make as much."""


def centred(runs: Runs) -> Tensor:
    """Embeddings minus their mean, (R, n, m).

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare([[0.0], [2.0], [10.0]], [0, 0, 1], None, DEFAULT)
    >>> centred(next(chunks)).flatten().tolist()
    [-4.0, -2.0, 6.0]
    """
    return group(runs.x, torch.zeros_like(runs.classes), 1).deviations


def rounding(runs: Runs) -> Tensor:
    """What is taken for rounding between two class means, as a distance, (R,).

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare([[0.0], [2.0], [10.0]], [0, 0, 1], None, DEFAULT)
    >>> (rounding(next(chunks)) / ROUNDING).tolist()
    [6.0]
    """
    return ROUNDING * runs.once(centred).square().sum(-1).amax(-1).sqrt()


def class_means(runs: Runs) -> Tensor:
    """Class means about the mean of all, (R, K, m): where the embedding is makes no difference to their rounding.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare([[0.0], [2.0], [10.0]], [0, 0, 1], None, DEFAULT)
    >>> class_means(next(chunks)).flatten().tolist()
    [-3.0, 6.0]
    """
    return group(runs.once(centred), runs.classes, runs.n_classes).means


def class_groups(runs: Runs) -> Groups:
    """Class sizes, class means, and deviations from them.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([0, 0, 1]), None, DEFAULT)
    >>> class_groups(next(chunks)).means.tolist()
    [[[1.0], [9.0]]]
    """
    return group(runs.x, runs.classes, runs.n_classes)


def mode_groups(runs: Runs) -> Groups:
    """The same for the modes, that is the (class, mode) pairs.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), DEFAULT)
    >>> mode_groups(next(chunks)).means.tolist()
    [[[0.0], [2.0], [9.0]]]
    """
    return group(runs.x, runs.fine, len(runs.class_of_fine))


def pairwise(runs: Runs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each sample's sum of distances to its class, largest of these, sums to its mode and to everyone: four (R, n).

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([0, 0, 1]), None, DEFAULT)
    >>> own_class, _, _, total = pairwise(next(chunks))
    >>> own_class.tolist(), total.tolist()
    ([[2.0, 2.0, 0.0]], [[11.0, 9.0, 16.0]])
    """
    if kernels.usable(runs.x) and runs.x.shape[2] <= DIRECT_UP_TO:
        own_class, largest, own_mode, total = kernels.distance_sums(runs.once(kernels.side_by_side))
        return own_class, largest, own_mode, total
    everyone = torch.zeros_like(runs.classes)
    (own_class, largest), (own_mode, _), (total, _) = sums_and_maxima(
        runs.x, runs.classes, runs.fine, everyone, max_bytes=runs.options.max_bytes
    )
    return own_class, largest, own_mode, total


def _same_class_pairs(runs: Runs) -> Tensor:
    """Number of ordered pairs of distinct samples of one class, (R,)."""
    counts = runs.once(class_groups).counts
    return (counts * (counts - 1)).sum(-1)


def mean_within(runs: Runs) -> Tensor:
    """See `within_mean`, (R,)."""
    return runs.once(pairwise)[0].sum(-1) / _same_class_pairs(runs)


def mean_between(runs: Runs) -> Tensor:
    """See `between_mean`, (R,)."""
    own_class, _, _, total = runs.once(pairwise)  # each (R, n)
    n = runs.x.shape[1]
    return (total - own_class).sum(-1) / (n * (n - 1) - _same_class_pairs(runs))


def mean_mode_gap(runs: Runs) -> Tensor:
    """See `mode_gap`, (R,)."""
    modes, k = runs.once(mode_groups), runs.n_classes
    # Modes that are absent from a run go to an extra class, which is cut off again.
    owner = torch.where(modes.present, runs.class_of_fine, k)  # (R, F)
    ((sums, _),) = sums_and_maxima(modes.means, owner, max_bytes=runs.options.max_bytes)
    return mean_by(sums, owner, k + 1)[:, :k].nanmean(-1)


def mean_of_classes(runs: Runs) -> Tensor:
    """Mean over the classes of the mean distance inside each, (R,)."""
    return mean_by(runs.once(pairwise)[0], runs.classes, runs.n_classes).nanmean(-1)


def mean_of_centres(runs: Runs) -> Tensor:
    """Mean distance of two class means, (R,)."""
    absent = (~runs.once(class_groups).present).long()
    ((sums, _),) = sums_and_maxima(runs.once(class_means), absent, max_bytes=runs.options.max_bytes)
    mean = mean_by(sums, absent, 2)[:, 0]
    return torch.where(mean > runs.once(rounding), mean, 0)


@metric(degree=1)
def within_mean(runs: Runs) -> Tensor:
    r"""Mean distance of two samples of one class.

    .. math:: \frac{\sum_{i \ne j,\, c_i = c_j} \lVert e_i - e_j \rVert}{\#\{i \ne j,\, c_i = c_j\}}

    All pairs weigh the same, so large classes weigh more than in ``pi_intra``. Range [0, inf); class collapse 0;
    total collapse 0.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [1.0], [3.0], [9.0]]), torch.tensor([0, 0, 0, 1])
    >>> within_mean(x, classes).item()  # of the distances 1, 2 and 3
    2.0
    """
    return runs.once(mean_within)


@metric(degree=1)
def within_rms(runs: Runs) -> Tensor:
    r"""Root mean square distance of two samples of one class, over all such pairs.

    With :math:`S_c` the sum of squared distances of class c's samples from their mean and :math:`n_c` their number,
    it is :math:`\sqrt{\sum_c 2 n_c S_c / \sum_c n_c (n_c - 1)}`. Range [0, inf), at least ``within_mean``; class
    collapse 0; total collapse 0.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [1.0], [3.0], [9.0]]), torch.tensor([0, 0, 0, 1])
    >>> round(within_rms(x, classes).item() ** 2, 3)  # the mean of 1, 4 and 9
    4.667
    """
    classes = runs.once(class_groups)
    squares = sum_by(classes.deviations.square().sum(-1), runs.classes, runs.n_classes)
    return (2 * (classes.counts * squares).sum(-1) / _same_class_pairs(runs)).sqrt()


@metric(degree=1)
def within_max(runs: Runs) -> Tensor:
    """Largest distance of two samples of one class (the largest class diameter).

    Range [0, inf); class collapse 0; total collapse 0. It is 0 too where no class has two samples.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [1.0], [3.0], [9.0]]), torch.tensor([0, 0, 0, 1])
    >>> within_max(x, classes).item()
    3.0
    """
    return runs.once(pairwise)[1].amax(-1)


@metric(degree=1)
def between_mean(runs: Runs) -> Tensor:
    """Mean distance of two samples of different classes, over all such pairs.

    Range [0, inf); class collapse leaves it positive; total collapse 0.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1])
    >>> between_mean(x, classes).item()  # of the distances 10, 12, 8 and 10
    10.0
    """
    return runs.once(mean_between)


@metric(degree=0)
def relative_spread(runs: Runs) -> Tensor:
    """``within_mean / between_mean``: the spread of a class against the distance of classes.

    Does not change with scale. Range [0, inf); about 1 where classes are not separated at all; class collapse 0;
    total collapse NaN (0/0).

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1])
    >>> relative_spread(x, classes).item(), relative_spread(1000 * x, classes).item()
    (0.2, 0.2)
    >>> relative_spread(torch.zeros(4, 1), classes).item()  # total collapse
    nan
    """
    return runs.once(mean_within) / runs.once(mean_between)


@metric(degree=1)
def global_spread(runs: Runs) -> Tensor:
    """Root mean square distance of all samples from their mean. Tells total collapse from class collapse.

    Range [0, inf); class collapse leaves it positive; total collapse, and nothing else, 0.

    Examples
    --------
    >>> classes = torch.tensor([0, 0, 1, 1])
    >>> global_spread(torch.tensor([[0.0], [0.0], [6.0], [6.0]]), classes).item()  # class collapse
    3.0
    >>> global_spread(torch.zeros(4, 1), classes).item()  # total collapse
    0.0
    """
    return runs.once(centred).square().sum(-1).mean(-1).sqrt()


@metric(degree=1)
def mode_spread(runs: Runs) -> Tensor:
    """Mean distance of two samples of one mode, averaged over the modes.

    Range [0, inf); class collapse 0; total collapse 0. Small together with a large ``mode_gap``: the class kept its
    modes apart.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [6.0], [8.0], [16.0]]), torch.tensor([0, 0, 0, 0, 1])
    >>> mode_spread(x, classes, torch.tensor([0, 0, 1, 1, 0])).item()  # the lone sample has no pair
    2.0
    """
    return mean_by(runs.once(pairwise)[2], runs.fine, len(runs.class_of_fine)).nanmean(-1)


@metric(degree=1)
def mode_gap(runs: Runs) -> Tensor:
    """Mean distance of two mode means of one class, averaged over the classes with two modes or more.

    Range [0, inf); class collapse 0; total collapse 0; NaN where no class has two modes.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [6.0], [8.0], [16.0]]), torch.tensor([0, 0, 0, 0, 1])
    >>> mode_gap(x, classes, torch.tensor([0, 0, 1, 1, 0])).item()  # from 1 to 7
    6.0
    """
    return runs.once(mean_mode_gap)


@metric(degree=0)
def mode_separation(runs: Runs) -> Tensor:
    """``mode_gap / between_mean``: how far apart a class keeps its modes, against the distance of classes.

    Range [0, inf), does not change with scale; class collapse 0; total collapse NaN (0/0). About 1 where the modes of
    a class are as far apart as classes are.

    Examples
    --------
    The modes of the first class are 6 apart, the classes 12.

    >>> x, classes = torch.tensor([[0.0], [2.0], [6.0], [8.0], [16.0]]), torch.tensor([0, 0, 0, 0, 1])
    >>> mode_separation(x, classes, torch.tensor([0, 0, 1, 1, 0])).item()
    0.5
    """
    return runs.once(mean_mode_gap) / runs.once(mean_between)


@metric(degree=0)
def mode_variance_fraction(runs: Runs) -> Tensor:
    r"""Share of the within-class variance that lies between the modes (:math:`\eta^2` of the modes within the classes).

    .. math:: 1 - \frac{\sum_i \lVert e_i - \mu_{c_i m_i} \rVert^2}{\sum_i \lVert e_i - \mu_{c_i} \rVert^2}

    Classes are pooled, so a nearly collapsed class adds next to nothing rather than its rounding noise. Range [0, 1]:
    1 if each mode is a point, and on average (number of modes - number of classes) / (n - number of classes) if the
    embedding knows nothing of the modes. Does not change with scale, so it says nothing about how far a class has
    shrunk: read it beside ``relative_spread``. Class collapse and total collapse NaN (0/0).

    Examples
    --------
    Of the sum of squares about the class mean, 40, the two modes leave 4 within.

    >>> x, classes = torch.tensor([[0.0], [2.0], [6.0], [8.0], [16.0]]), torch.tensor([0, 0, 0, 0, 1])
    >>> modes = torch.tensor([0, 0, 1, 1, 0])
    >>> round(mode_variance_fraction(x, classes, modes).item(), 3)
    0.9
    >>> round(mode_variance_fraction(x / 1000, classes, modes).item(), 3)  # a class that has shrunk: no difference
    0.9
    """
    within_modes = runs.once(mode_groups).deviations.square().sum((-2, -1))
    within_classes = runs.once(class_groups).deviations.square().sum((-2, -1))
    return (1 - within_modes / within_classes).clamp_min(0)


@metric(degree=1)
def pi_intra(runs: Runs) -> Tensor:
    """Mean over classes of the mean distance of two samples of the class.

    Roth et al. 2020, "Revisiting Training Strategies and Generalization Performance in Deep Metric Learning". Range
    [0, inf); class collapse 0; total collapse 0. Not divided by a dataset constant, as the paper's plots are.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [10.0], [14.0]]), torch.tensor([0, 0, 1, 1])
    >>> pi_intra(x, classes).item()
    3.0
    """
    return runs.once(mean_of_classes)


@metric(degree=1)
def pi_inter(runs: Runs) -> Tensor:
    """Mean distance of two class means (Roth et al. 2020).

    Range [0, inf); class collapse leaves it positive; total collapse 0. Interleaved classes may have equal means,
    hence 0, without any collapse.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [10.0], [14.0]]), torch.tensor([0, 0, 1, 1])
    >>> pi_inter(x, classes).item()  # from 1 to 12
    11.0
    """
    return runs.once(mean_of_centres)


@metric(degree=0)
def pi_ratio(runs: Runs) -> Tensor:
    """``pi_intra / pi_inter`` (Roth et al. 2020: embedding space density).

    Range [0, inf]; does not change with scale; class collapse 0; total collapse NaN (0/0).

    Examples
    --------
    >>> classes = torch.tensor([0, 0, 1, 1])
    >>> pi_ratio(torch.tensor([[0.0], [2.0], [10.0], [12.0]]), classes).item()
    0.2
    >>> pi_ratio(torch.tensor([[0.0], [2.0], [0.0], [2.0]]), classes).item()  # equal class means
    inf
    """
    return runs.once(mean_of_classes) / runs.once(mean_of_centres)
