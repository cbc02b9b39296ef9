"""Triplet loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sim.catalogue import LOSSES
from sim.errors import choice
from sim.losses.base import TupleLoss, reduce
from sim.samplers import Tuples, active_counts


@LOSSES.register("triplet")
class Triplet(TupleLoss):
    """Hinge on triplets: [D_ap - D_an + alpha]_+ (Schroff et al. 2015; Weinberger & Saul 2009).

    Equals pytorch-metric-learning's ``TripletMarginLoss(margin=alpha)`` where that normalises nothing.

    Parameters
    ----------
    alpha : float or Tensor (R,)
        Margin.
    soft : bool
        log(1 + exp(D_ap - D_an + alpha)) instead of the hinge (Hermans et al. 2017). It has no active set to count, so that
        all triplets of a batch take O(B^3) time and memory; so they do with a weighting.
    squared_distances, reduction
        See `TupleLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(Triplet(alpha=1.0)(points, labels, positive="all", negative="all").item(), 3)
    0.478
    """

    weighable = counts_triplets = True

    def __init__(
        self,
        *,
        alpha: float | Tensor = 0.2,
        soft: bool = False,
        squared_distances: bool = False,
        reduction: str = "avg_nonzero",
    ) -> None:
        super().__init__(alpha=alpha, squared_distances=squared_distances, reduction=reduction)
        choice("soft", soft, (True, False))
        self.soft = soft

    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """See `TupleLoss.of_tuples`."""
        if self.soft or not tuples.all_pairs or self.weighting is not None:
            gap = tuples.positive.unsqueeze(-1) - tuples.negative + alpha.view(-1, 1, 1, 1)  # (R, B, P, N)
            mask = tuples.pos_mask.unsqueeze(-1) & tuples.neg_mask if tuples.all_pairs else tuples.triplet_mask()
            return self.reduced(F.softplus(gap) if self.soft else gap.clamp_min(0), mask)
        # The hinge is linear where it is active: with the counts of active triplets at hand, the sum over B^3 triplets
        # is a sum over pairs, and its gradient too.
        of_positive, of_negative = active_counts(tuples, alpha)  # (R, B, B), (R, B, 1, B)
        if tuples.window is not None:
            below = active_counts(tuples, torch.zeros_like(alpha), inclusive=True)
            of_positive, of_negative = of_positive - below[0], of_negative - below[1]
        reach = tuples.positive + alpha.view(-1, 1, 1)  # (R, B, B)
        total = (of_positive * reach).sum((1, 2)) - (of_negative * tuples.negative).sum((1, 2, 3))
        return reduce(total, of_positive.sum((1, 2)), tuples.triplets(), self.reduction)
