"""Lifted structure loss, generalised."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sim.catalogue import LOSSES
from sim.fused.pairs import DISTANCE, SQUARED
from sim.fused.terms import REDUCTIONS, Terms, averaged, kernel, softmax_row
from sim.losses.base import Setting, TupleLoss, masked_logsumexp
from sim.samplers import Tuples


@LOSSES.register("lifted")
class Lifted(TupleLoss):
    """[log sum_p exp(D_ap) + log sum_n exp(alpha - D_an)]_+, a term an anchor (Song et al. 2016 as in Hermans et al. 2017, eq. 8).

    Equals pytorch-metric-learning's ``GeneralizedLiftedStructureLoss(neg_margin=alpha, pos_margin=0)``; an anchor without
    a positive or without a negative has no term.

    Parameters
    ----------
    alpha, squared_distances, reduction
        See `TupleLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(Lifted(alpha=1.0)(points, labels, positive="all", negative="all").item(), 3)
    0.478
    """

    weighable = True

    def __init__(
        self, *, alpha: float | Tensor = 1.0, squared_distances: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(alpha=alpha, squared_distances=squared_distances, reduction=reduction)

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """With one positive and one negative an anchor it is the triplet loss."""
        if not (setting.one_positive and setting.one_negative):
            return name, params
        return "triplet", {**params, "soft": False}

    def terms(self) -> Terms:
        """See `Loss.terms`."""
        value = SQUARED if self.squared_distances else DISTANCE
        return Terms(_terms, value, (REDUCTIONS[self.reduction],), (self.alpha,))

    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """See `TupleLoss.of_tuples`."""
        whole = tuples.pos_mask.any(-1) & tuples.neg_mask.flatten(2).any(-1)  # (R, B)
        pull = masked_logsumexp(tuples.positive, tuples.pos_mask)  # (R, B)
        push = masked_logsumexp(alpha.view(-1, 1, 1) - tuples.negative.flatten(2), tuples.neg_mask.flatten(2))
        terms = (pull + push).where(whole, 0.0).relu()  # (R, B)
        return self.reduced(terms, whole)


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
    """`Lifted.of_tuples` for `sim.fused`."""
    alpha = parameters[0]
    zero = p.dtype.type(0)
    total, active, count = zero, 0, 0
    for i in range(len(labels)):
        a, b = first_p[i], first_p[i + 1]
        c, d = first_n[i], first_n[i + 1]
        term = zero
        if b > a and d > c:
            count += 1
            away = room[0, : d - c]
            for k in range(d - c):
                away[k] = alpha - n[c + k]
            term = softmax_row(p[a:b], slope_p[a:b], scale) + softmax_row(away, slope_n[c:d], scale)
        if term > zero:
            total += term
            active += 1
            for k in range(c, d):
                slope_n[k] = -slope_n[k]
        else:
            slope_p[a:b] = zero
            slope_n[c:d] = zero
    return averaged(total, active, count, options[0], first_p, slope_p, first_n, slope_n)
