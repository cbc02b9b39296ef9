"""Contrastive loss, linear and squared."""

from __future__ import annotations

from torch import Tensor

from sim.errors import choice
from sim.losses.base import LOSSES, TupleLoss, reduce
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
    """

    def __init__(self, *, alpha: float | Tensor = 1.0, squared: bool = False, reduction: str = "avg_nonzero") -> None:
        super().__init__(alpha=alpha, squared_distances=False, reduction=reduction)
        choice("squared", squared, (True, False))
        self.squared = squared

    @property
    def counts_triplets(self) -> bool:
        """See `TupleLoss.counts_triplets`."""
        return False

    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """See `TupleLoss.of_tuples`."""
        pos = tuples.d_ap * tuples.pos_mask
        neg = (alpha.view(-1, 1, 1, 1) - tuples.d_an).clamp_min(0) * tuples.neg_mask
        if self.squared:
            pos, neg = pos.square(), neg.square()
        (p, p_active, p_count), (n, n_active, n_count) = (
            (terms.flatten(1).sum(1), (terms > 0).flatten(1).sum(1), mask.flatten(1).sum(1))
            for terms, mask in ((pos, tuples.pos_mask), (neg, tuples.neg_mask))
        )
        if self.reduction == "avg_nonzero":
            return reduce(p, p_active, p_count, self.reduction) + reduce(n, n_active, n_count, self.reduction)
        return reduce(p + n, p_active + n_active, p_count + n_count, self.reduction)
