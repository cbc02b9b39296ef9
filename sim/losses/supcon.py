"""Supervised contrastive loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim.catalogue import LOSSES
from sim.fused.elementary import softplus_row
from sim.fused.pairs import DOT
from sim.fused.terms import REDUCTIONS, Terms, averaged, kernel, softmax_row
from sim.losses.base import Setting, SimilarityLoss, masked_logsumexp
from sim.samplers import Tuples


@LOSSES.register("supcon")
class SupCon(SimilarityLoss):
    """- mean over positives of log(exp(s_ap / T) / sum over positives and negatives), a term an anchor (Khosla et al. 2020, eq. 2).

    Parameters
    ----------
    temperature : float or Tensor (R,)
        T > 0.
    cosine, reduction
        See `SimilarityLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(SupCon(temperature=0.5)(points, labels, positive="all", negative="all").item(), 3)
    0.348
    """

    weighable = True
    per_run = ("temperature",)
    temperature: Tensor

    def __init__(
        self, *, temperature: float | Tensor = 0.1, cosine: bool = True, reduction: str = "avg_nonzero"
    ) -> None:
        super().__init__(cosine=cosine, reduction=reduction)
        self.parameter("temperature", temperature, above=0.0)

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """With one positive an anchor it is NT-Xent, but that an anchor without negatives counts as 0 in a plain mean."""
        name, params = super().same_as(name, params, setting)
        return ("ntxent", params) if setting.one_positive and params["reduction"] != "mean" else (name, params)

    def terms(self) -> Terms:
        """See `Loss.terms`."""
        return Terms(_terms, DOT, (REDUCTIONS[self.reduction],), (self.temperature,), self.cosine)

    def of_similarities(self, tuples: Tuples) -> Tensor:
        """See `SimilarityLoss.of_similarities`."""
        temperature = self.column("temperature", tuples.positive)
        positive = tuples.positive / temperature  # (R, B, P)
        positives = masked_logsumexp(positive, tuples.pos_mask).unsqueeze(-1)  # (R, B, 1)
        negatives = masked_logsumexp(tuples.negative / temperature.unsqueeze(-1), tuples.neg_mask)  # (R, B, P or 1)
        share = (torch.logaddexp(positives, negatives) - positive).where(tuples.pos_mask, 0.0)  # (R, B, P)
        count = tuples.pos_mask.sum(-1)  # (R, B)
        terms = share.sum(-1) / count.clamp_min(1)
        return self.reduced(terms, count > 0)


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
    """`SupCon.of_similarities` for `sim.fused`."""
    temperature = parameters[0]
    zero, one = p.dtype.type(0), p.dtype.type(1)
    total, active, count = zero, 0, 0
    for i in range(len(labels)):
        a, b = first_p[i], first_p[i + 1]
        c, d = first_n[i], first_n[i + 1]
        positives, negatives = b - a, d - c
        if positives == 0:
            slope_n[c:d] = zero
            continue
        x, gaps, rest, shares = room[0, : max(positives, negatives)], room[1], room[2], room[3]
        for k in range(positives):
            x[k] = p[a + k] / temperature
        pull = softmax_row(x[:positives], slope_p[a:b], scale)
        term = zero
        # By how much the denominator's logarithm exceeds that of the positives alone, and the negatives' share in it.
        if paired and negatives:
            for k in range(positives):
                gaps[k] = n[c + k] / temperature - pull
            length = positives
        elif negatives:
            for k in range(negatives):
                x[k] = n[c + k] / temperature
            gaps[0] = softmax_row(x[:negatives], slope_n[c:d], scale) - pull
            length = 1
        else:
            gaps[0] = -np.inf
            length = 1
        softplus_row(gaps[:length], rest[:length], shares[:length], scale[:length])
        of_positives = zero
        for k in range(positives):
            at = k if length > 1 else 0
            term += pull + rest[at] - p[a + k] / temperature
            of_positives += one - shares[at]
        mean = one / p.dtype.type(positives)
        term *= mean
        for k in range(a, b):
            slope_p[k] = (slope_p[k] * of_positives * mean - mean) / temperature
        for k in range(negatives):
            if paired:
                slope_n[c + k] = shares[k] * mean / temperature
            else:
                slope_n[c + k] *= shares[0] / temperature
        total += term
        active += term > zero
        count += 1
    return averaged(total, active, count, options[0], first_p, slope_p, first_n, slope_n)
