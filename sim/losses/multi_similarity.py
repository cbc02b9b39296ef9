"""Multi-similarity loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sim.catalogue import LOSSES
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

    def of_similarities(self, tuples: Tuples) -> Tensor:
        """See `SimilarityLoss.of_similarities`."""
        alpha, beta, base = (self.column(name, tuples.positive) for name in self.per_run)
        # A log of a sum an anchor on each side, (R, B).
        positive = masked_logsumexp(-alpha * (tuples.positive - base), tuples.pos_mask)
        negative = masked_logsumexp(beta * (tuples.negative.flatten(2) - base), tuples.neg_mask.flatten(2))
        zero = torch.zeros_like(positive)
        terms = torch.logaddexp(positive, zero) / alpha.squeeze(-1) + torch.logaddexp(negative, zero) / beta.squeeze(-1)
        return self.reduced(terms, torch.ones_like(terms, dtype=torch.bool))
