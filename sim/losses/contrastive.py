"""Contrastive loss, linear and squared."""

from __future__ import annotations

import torch
from torch import Tensor

from sim.catalogue import LOSSES
from sim.errors import choice
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

    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """See `TupleLoss.of_tuples`."""
        pos = tuples.positive * tuples.pos_mask  # (R, B, P)
        neg = (alpha.view(-1, 1, 1, 1) - tuples.negative).clamp_min(0) * tuples.neg_mask  # (R, B, P or 1, N)
        if self.squared:
            pos, neg = pos.square(), neg.square()
        sides = [(t.flatten(1), mask.flatten(1)) for t, mask in ((pos, tuples.pos_mask), (neg, tuples.neg_mask))]
        if self.reduction == "avg_nonzero":
            return self.reduced(*sides[0]) + self.reduced(*sides[1])  # (R,)
        return self.reduced(*(torch.cat(both, 1) for both in zip(*sides, strict=True)))
