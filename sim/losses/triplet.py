"""Triplet loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sim.catalogue import LOSSES
from sim.compiled import compiled
from sim.errors import choice
from sim.fused.elementary import softplus_row
from sim.fused.pairs import DISTANCE, SQUARED
from sim.fused.terms import REDUCTIONS, Terms, averaged, kernel
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

    def terms(self) -> Terms:
        """See `Loss.terms`."""
        value = SQUARED if self.squared_distances else DISTANCE
        return Terms(_terms, value, (REDUCTIONS[self.reduction], int(self.soft)), (self.alpha,))

    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """See `TupleLoss.of_tuples`."""
        if self.soft or not tuples.all_pairs or self.weighting is not None:
            gap = tuples.positive.unsqueeze(-1) - tuples.negative + alpha.view(-1, 1, 1, 1)  # (R, B, P, N)
            mask = tuples.pos_mask.unsqueeze(-1) & tuples.neg_mask if tuples.all_pairs else tuples.triplet_mask()
            return self.reduced(F.softplus(gap) if self.soft else gap.relu(), mask)
        # The hinge is linear where it is active: with the counts of active triplets at hand, the sum over B^3 triplets
        # is a sum over pairs, and its gradient too.
        of_positive, of_negative = active_counts(tuples, alpha)  # (R, B, B), (R, B, 1, B)
        if tuples.window is not None:
            below = active_counts(tuples, torch.zeros_like(alpha), inclusive=True)
            of_positive, of_negative = of_positive - below[0], of_negative - below[1]
        reach = tuples.positive + alpha.view(-1, 1, 1)  # (R, B, B)
        total = (of_positive * reach).sum((1, 2)) - (of_negative * tuples.negative).sum((1, 2, 3))
        return reduce(total, of_positive.sum((1, 2)), tuples.triplets(), self.reduction)


@compiled
def _exceeded(values: Any, limits: Any, out: Any) -> None:
    """How many limits each value exceeds; four values at a time, so that each limit is loaded once for four."""
    last = len(values) - 1
    for k in range(0, len(values), 4):
        # Beyond the end the last one again.
        k1, k2, k3 = min(k + 1, last), min(k + 2, last), min(k + 3, last)
        a, b, c, d = values[k], values[k1], values[k2], values[k3]
        of_a = of_b = of_c = of_d = np.int32(0)
        for j in range(len(limits)):
            # As narrow as a float32, so that both fit the same vectors: Numba would widen the sums.
            of_a = np.int32(of_a + np.int32(a > limits[j]))
            of_b = np.int32(of_b + np.int32(b > limits[j]))
            of_c = np.int32(of_c + np.int32(c > limits[j]))
            of_d = np.int32(of_d + np.int32(d > limits[j]))
        out[k3], out[k2], out[k1], out[k] = of_d, of_c, of_b, of_a


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
    """`Triplet.of_tuples` for `sim.fused`."""
    alpha, soft = parameters[0], options[1]
    zero, one = p.dtype.type(0), p.dtype.type(1)
    total, active, count = 0.0, 0.0, 0
    for i in range(len(labels)):
        a, b = first_p[i], first_p[i + 1]
        c, d = first_n[i], first_n[i + 1]
        positives, negatives = b - a, d - c
        if positives == 0 or negatives == 0:
            slope_p[a:b] = zero
            slope_n[c:d] = zero
        elif soft:
            if not paired:
                slope_n[c:d] = zero
            for k in range(a, b):
                start = c + k - a if paired else c
                length = 1 if paired else negatives
                x, y, slope = room[0, :length], room[1, :length], room[2, :length]
                for j in range(length):
                    x[j] = p[k] - n[start + j] + alpha
                softplus_row(x, y, slope, scale[:length])
                slope_p[k] = zero
                for j in range(length):
                    total += y[j]
                    active += y[j] > zero
                    slope_p[k] += slope[j]
                    slope_n[start + j] = -slope[j] if paired else slope_n[start + j] - slope[j]
                count += length
        elif paired or (positives == 1 and negatives == 1):
            for k in range(a, b):
                j = c + k - a
                gap = p[k] - n[j] + alpha
                hit = gap > zero
                total += gap if hit else zero
                active += hit
                slope_p[k] = one if hit else zero
                slope_n[j] = -one if hit else zero
            count += positives
        else:
            # The hinge is linear where it is active: how many active triplets each pair stands in says all.
            reach, below = room[0, :positives], room[1, :positives]
            away, pulled, pushed = room[2, :negatives], room[3, :positives], room[4, :negatives]
            for k in range(positives):
                reach[k] = p[a + k] + alpha
                below[k] = -reach[k]
            for k in range(negatives):
                away[k] = -n[c + k]
            _exceeded(reach, n[c:d], pulled)
            _exceeded(away, below, pushed)
            for k in range(positives):
                slope_p[a + k] = pulled[k]
                active += pulled[k]
                total += float(pulled[k]) * float(reach[k])
            for k in range(negatives):
                slope_n[c + k] = -pushed[k]
                total += float(pushed[k]) * float(away[k])
            count += positives * negatives
    return averaged(total, active, count, options[0], first_p, slope_p, first_n, slope_n)
