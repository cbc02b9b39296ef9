"""Multi-similarity loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sim.catalogue import LOSSES
from sim.compiled import compiled
from sim.fused.elementary import softplus_row
from sim.fused.pairs import DOT
from sim.fused.terms import REDUCTIONS, Terms, averaged, kernel, softmax_row
from sim.losses.base import SimilarityLoss, masked_logsumexp
from sim.samplers import Tuples


@LOSSES.register("multi_similarity")
class MultiSimilarity(SimilarityLoss):
    """(1/alpha) log(1 + sum_p exp(-alpha (s - base))) + (1/beta) log(1 + sum_n exp(beta (s - base))) (Wang et al. 2019, eq. 13).

    A term an anchor, averaged over all anchors. The authors' pair mining is separate: choose pairs by the policies.

    Parameters
    ----------
    alpha, beta : float or Tensor (R,)
        Sharpness on the positive and the negative side, > 0.
    base : float or Tensor (R,)
        Similarity around which pairs are weighted.
    cosine, reduction
        See `SimilarityLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(MultiSimilarity()(points, labels, positive="all", negative="all").item(), 3)
    0.213
    """

    title = "multi-similarity"
    weighable = True
    per_run = ("alpha", "beta", "base")
    alpha: Tensor
    beta: Tensor
    base: Tensor

    def __init__(
        self,
        *,
        alpha: float | Tensor = 2.0,
        beta: float | Tensor = 50.0,
        base: float | Tensor = 0.5,
        cosine: bool = True,
        reduction: str = "mean",
    ) -> None:
        super().__init__(cosine=cosine, reduction=reduction)
        self.parameter("alpha", alpha, above=0.0)
        self.parameter("beta", beta, above=0.0)
        self.parameter("base", base)

    def terms(self) -> Terms:
        """See `Loss.terms`."""
        return Terms(_terms, DOT, (REDUCTIONS[self.reduction],), (self.alpha, self.beta, self.base), self.cosine)

    def of_similarities(self, tuples: Tuples) -> Tensor:
        """See `SimilarityLoss.of_similarities`."""
        alpha, beta, base = (self.column(name, tuples.positive) for name in self.per_run)
        # A log of a sum an anchor on each side, (R, B).
        positive = masked_logsumexp(-alpha * (tuples.positive - base), tuples.pos_mask)
        negative = masked_logsumexp(beta * (tuples.negative.flatten(2) - base), tuples.neg_mask.flatten(2))
        zero = torch.zeros_like(positive)
        terms = torch.logaddexp(positive, zero) / alpha.squeeze(-1) + torch.logaddexp(negative, zero) / beta.squeeze(-1)
        return self.reduced(terms, torch.ones_like(terms, dtype=torch.bool))


@compiled
def _side(sharpness: float, base: float, values: Any, slopes: Any, room: Any, scale: Any) -> Any:
    """log(1 + sum exp(sharpness (s - base))) / |sharpness|, and its derivatives."""
    if len(values) == 0:
        return values.dtype.type(0)
    x, term, slope = room[0, : len(values)], room[1, :1], room[2, :1]
    for k in range(len(values)):
        x[k] = sharpness * (values[k] - base)
    room[3, 0] = softmax_row(x, slopes, scale)
    softplus_row(room[3, :1], term, slope, scale[:1])
    sign = values.dtype.type(1 if sharpness > 0 else -1)
    for k in range(len(values)):
        slopes[k] *= sign * slope[0]
    return term[0] / abs(sharpness)


@kernel
def _terms(
    options: Any,
    parameters: Any,
    labels: Any,
    first_p: Any,
    p: Any,
    first_n: Any,
    n: Any,
    paired: int,
    theta: Any,
    slope_p: Any,
    slope_n: Any,
    slope_theta: Any,
    room: Any,
    scale: Any,
) -> Any:
    """`MultiSimilarity.of_similarities` for `sim.fused`."""
    alpha, beta, base = parameters[0], parameters[1], parameters[2]
    total, active = p.dtype.type(0), 0
    for i in range(len(labels)):
        a, b = first_p[i], first_p[i + 1]
        c, d = first_n[i], first_n[i + 1]
        term = _side(-alpha, base, p[a:b], slope_p[a:b], room, scale)
        term += _side(beta, base, n[c:d], slope_n[c:d], room, scale)
        total += term
        active += term > 0
    return averaged(total, active, len(labels), options[0], first_p, slope_p, first_n, slope_n)
