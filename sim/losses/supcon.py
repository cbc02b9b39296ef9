"""Supervised contrastive loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sim.catalogue import LOSSES
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
