"""Contrastive loss, linear and squared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sim.catalogue import LOSSES
from sim.errors import choice
from sim.fused.pairs import DISTANCE
from sim.fused.terms import REDUCTIONS, Terms, divide, divisor, kernel
from sim.losses.base import TupleLoss
from sim.samplers import Tuples


@LOSSES.register("contrastive")
class Contrastive(TupleLoss):
    """D_ap on positive and [alpha - D_an]_+ on negative pairs; squared: D_ap^2 and [alpha - D_an]_+^2 (Hadsell et al. 2006).

    Each pair counts once. With ``reduction="avg_nonzero"`` positive and negative pairs are averaged apart and added, as
    in pytorch-metric-learning's ``ContrastiveLoss(pos_margin=0, neg_margin=alpha)``; the other reductions treat them as
    one set of pairs, as the theory does.

    Parameters
    ----------
    alpha : float or Tensor (R,)
        Distance beyond which a negative pair costs nothing.
    squared : bool
        Square the terms (not the distance inside the hinge).
    reduction
        See `TupleLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(Contrastive(alpha=1.0)(points, labels, positive="all", negative="all").item(), 3)
    0.738
    """

    weighable = True

    def __init__(self, *, alpha: float | Tensor = 1.0, squared: bool = False, reduction: str = "avg_nonzero") -> None:
        super().__init__(alpha=alpha, squared_distances=False, reduction=reduction)
        choice("squared", squared, (True, False))
        self.squared = squared

    def terms(self) -> Terms:
        """See `Loss.terms`."""
        return Terms(_terms, DISTANCE, (REDUCTIONS[self.reduction], int(self.squared)), (self.alpha,))

    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """See `TupleLoss.of_tuples`."""
        pos = tuples.positive * tuples.pos_mask  # (R, B, P)
        neg = (alpha.view(-1, 1, 1, 1) - tuples.negative).relu() * tuples.neg_mask  # (R, B, P or 1, N)
        if self.squared:
            pos, neg = pos.square(), neg.square()
        sides = [(t.flatten(1), mask.flatten(1)) for t, mask in ((pos, tuples.pos_mask), (neg, tuples.neg_mask))]
        if self.reduction == "avg_nonzero":
            return self.reduced(*sides[0]) + self.reduced(*sides[1])  # (R,)
        return self.reduced(*(torch.cat(both, 1) for both in zip(*sides, strict=True)))


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
    """`Contrastive.of_tuples` for `sim.fused`."""
    alpha, squared, reduction = parameters[0], options[1], options[0]
    zero, one = p.dtype.type(0), p.dtype.type(1)
    near, far, active_p, active_n = zero, zero, 0, 0
    pairs_p, pairs_n = first_p[-1], first_n[-1]
    for k in range(pairs_p):
        slope_p[k] = p.dtype.type(2) * p[k] if squared else one
        near += p[k] * p[k] if squared else p[k]
        active_p += (p[k] * p[k] if squared else p[k]) > zero
    for k in range(pairs_n):
        gap = max(alpha - n[k], zero)
        slope_n[k] = p.dtype.type(-2) * gap if squared else (-one if gap > zero else zero)
        far += gap * gap if squared else gap
        active_n += (gap * gap if squared else gap) > zero
    if reduction == 0:
        # Each side averaged on its own.
        by_p, by_n = divisor(active_p, pairs_p, reduction), divisor(active_n, pairs_n, reduction)
    else:
        by_p = by_n = divisor(active_p + active_n, pairs_p + pairs_n, reduction)
    divide(slope_p, pairs_p, by_p)
    divide(slope_n, pairs_n, by_n)
    return near / p.dtype.type(by_p) + far / p.dtype.type(by_n)
