"""Neural collapse of an embedding without a classifier (Papyan, Han and Donoho 2020; Galanti et al. 2022).

NC1, NC2, CDNV and the nearest-class-centre accuracy of NC4. NC3 compares class means with a classifier's weights,
which an embedding does not have. A class of one bump and a class of two modes with the same variance have the same
NC1 and CDNV: these quantities alone cannot show that modes were kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Runs, metric
from .pairs import distance_blocks, group, mean_in_order, sum_by
from .search import ranked_blocks
from .spread import centred, class_groups, class_means, rounding


def centre_axes(runs: Runs) -> tuple[Tensor, Tensor]:
    """Singular values (R, q) and right singular vectors (R, q, m) of the class means about the mean of them.

    Singular values that may be rounding (`spread.ROUNDING`) are 0: class means that are equal on paper coincide.

    Examples
    --------
    >>> from sim.metrics.base import DEFAULT, prepare
    >>> _, chunks = prepare(torch.tensor([[0.0, 0.0], [6.0, 0.0]]), torch.tensor([0, 1]), None, DEFAULT)
    >>> singular, axes = centre_axes(next(chunks))  # means 3 to either side, along the first axis
    >>> [round(s, 3) for s in singular[0].square().tolist()], [round(abs(a), 3) for a in axes[0, 0].tolist()]
    ([18.0, 0.0], [1.0, 0.0])
    """
    classes = runs.once(class_groups)
    absent = (~classes.present).long()
    means = group(runs.once(class_means), absent, 2).deviations * classes.present[..., None]  # (R, K, m)
    _, singular, axes = torch.linalg.svd(means, full_matrices=False)
    return torch.where(singular > runs.once(rounding)[:, None], singular, 0), axes


@metric(degree=0)
def nc1(runs: Runs) -> Tensor:
    r"""NC1, variability collapse: :math:`\mathrm{tr}(S_W S_B^{+}) / K`.

    .. math::

        S_W = \frac{1}{n} \sum_i (e_i - \mu_{c_i})(e_i - \mu_{c_i})^T, \quad
        S_B = \frac{1}{K} \sum_c (\mu_c - \bar\mu)(\mu_c - \bar\mu)^T

    with :math:`\bar\mu` the mean of the class means; the pseudo-inverse drops eigenvalues below max(K, m) times the
    machine epsilon of the largest. Only the spread along the directions that separate class means counts.

    Range [0, inf); does not change with scale, shift or rotation; class collapse 0; total collapse, and whenever all
    class means coincide, NaN.

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1])
    >>> round(nc1(x, classes).item(), 6)  # variance 1 within classes, 25 between them, K = 2
    0.02
    >>> nc1(torch.tensor([[0.0], [0.0], [5.0], [5.0]]), classes).item()  # class collapse
    0.0
    """
    singular, axes = runs.once(centre_axes)
    eps = torch.finfo(singular.dtype).eps * max(runs.n_classes, runs.x.shape[2])
    kept = singular.square() > eps * singular[:, :1].square()
    variance = (runs.once(class_groups).deviations @ axes.mT).square().mean(1)  # (R, q)
    ratio = torch.where(kept, variance / singular.square(), 0).sum(-1)
    return torch.where(kept.any(-1), ratio, torch.nan)


@metric(degree=0)
def nc2(runs: Runs) -> Tensor:
    r"""NC2, distance of the class means from a simplex.

    .. math:: \lVert M M^T / \lVert M M^T \rVert_F - (I - 11^T/K) / \sqrt{K - 1} \rVert_F

    M holds the K class means minus their mean, one a row. Range [0, sqrt(2)): 0 if all class means are equally far
    from each other, and for K = 2 always. Class collapse onto a simplex 0; total collapse, and whenever all class
    means coincide, NaN.

    Examples
    --------
    >>> classes = torch.arange(3)
    >>> round(nc2(torch.eye(3), classes).item(), 3)  # an equilateral triangle
    0.0
    >>> round(nc2(torch.tensor([[0.0], [1.0], [2.0]]), classes).item(), 3)  # three means on a line
    0.765
    """
    singular, _ = runs.once(centre_axes)
    squares = singular.square()
    # Both matrices have norm 1, so the squared distance is 2 - 2 <.,.>; the rows of M sum to 0, so <.,.> is a trace.
    product = squares.sum(-1) / squares.square().sum(-1).sqrt()
    others = runs.once(class_groups).present.sum(-1).double() - 1
    return (2 - 2 * product / others.sqrt()).clamp_min(0).sqrt()


@metric(degree=0)
def cdnv(runs: Runs) -> Tensor:
    r"""Class-distance normalised variance, mean over pairs of classes.

    .. math:: \frac{v_a + v_b}{2 \lVert \mu_a - \mu_b \rVert^2}

    :math:`v_c` is the mean squared distance of class c's samples from their mean (Galanti et al. 2022). Range [0,
    inf]: infinite if two class means coincide; does not change with scale; class collapse 0; total collapse NaN
    (0/0).

    Examples
    --------
    >>> x, classes = torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([0, 0, 1, 1])
    >>> round(cdnv(x, classes).item(), 6)  # (1 + 1) / (2 * 10**2)
    0.01
    >>> cdnv(torch.zeros(4, 1), classes).item()  # total collapse
    nan
    """
    classes = runs.once(class_groups)
    squares = sum_by(classes.deviations.square().sum(-1), runs.classes, runs.n_classes)
    variance = squares / classes.counts  # (R, K)
    k = runs.n_classes
    total = torch.zeros_like(variance[:, 0])
    means, least = runs.once(class_means), runs.once(rounding)[:, None, None]
    for rows, d in distance_blocks(means, means, row_bytes=48 * k, max_bytes=runs.options.max_bytes):
        d.masked_fill_(d <= least, 0)
        ratio = (variance[:, rows, None] + variance[:, None]) / (2 * d.square())  # (R, rows, K)
        pair = classes.present[:, rows, None] & classes.present[:, None]
        pair.diagonal(rows.start, 1, 2).fill_(False)
        total += torch.where(pair, ratio, 0).sum((-2, -1))
    present = classes.present.sum(-1)
    return total / (present * (present - 1))


@metric(degree=0)
def ncc_accuracy(runs: Runs) -> Tensor:
    """Share of samples whose nearest class mean is that of their own class (the nearest-class-centre rule of NC4).

    A sample with its own class mean tied for nearest among k counts 1/k, the chance of a random choice. Distances that differ by
    rounding alone (`spread.ROUNDING`) are tied. Range [0, 1];
    class collapse 1; total collapse 1/K, chance.

    Examples
    --------
    The class means are 4 and 11, so the sample at 8 is nearer to that of the other class.

    >>> classes = torch.tensor([0, 0, 1, 1])
    >>> ncc_accuracy(torch.tensor([[0.0], [8.0], [10.0], [12.0]]), classes).item()
    0.75
    >>> ncc_accuracy(torch.zeros(4, 1), classes).item()  # total collapse: chance
    0.5
    """
    present, tolerance = runs.once(class_groups).present, runs.once(rounding)
    x, means = runs.once(centred), runs.once(class_means)
    right = torch.zeros_like(x[..., 0])
    blocks = ranked_blocks(
        x,
        means,
        1,
        torch.arange(x.shape[1], device=x.device),
        lambda squares, _: squares.masked_fill_(~present[:, None], torch.inf),
        row_bytes=64 * runs.n_classes,
        max_bytes=runs.options.max_bytes,
    )
    for found in blocks:
        # Means that are equally far on paper differ by rounding.
        limit = (found.squares.clamp_min(0).sqrt() + tolerance[:, None, None]).square()  # (R, rows, 1)
        nearest = found.candidates <= limit  # (R, rows, K)
        own = nearest.gather(-1, runs.classes[:, found.rows, None])[..., 0]
        right[:, found.rows] = own / nearest.sum(-1).double()
    return mean_in_order(right)
