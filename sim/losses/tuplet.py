"""Losses that put a positive against all negatives in one softmax: N-pair and NT-Xent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sim.catalogue import LOSSES
from sim.fused.elementary import softplus_row
from sim.fused.pairs import DOT
from sim.fused.terms import REDUCTIONS, Terms, averaged, kernel, softmax_row
from sim.losses.base import Setting, SimilarityLoss, masked_logsumexp
from sim.samplers import Sampling, Tuples


class Tuplet(SimilarityLoss):
    """log(1 + sum_n exp((s_an - s_ap) / temperature)), once for each (anchor, positive); other positives stay outside.

    Parameters
    ----------
    temperature : float or Tensor (R,)
        > 0.
    cosine, reduction
        See `SimilarityLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> loss = Tuplet(temperature=1.0, cosine=False, reduction="mean")
    >>> round(loss(points, labels, positive="all", negative="all").item(), 3)  # log(1 + e^(0 - 0.8)), log(1 + e^(0.6 - 0.8))
    0.485
    """

    weighable = True
    per_run: tuple[str, ...] = ("temperature",)
    temperature: Tensor

    def __init__(self, *, temperature: float | Tensor, cosine: bool, reduction: str) -> None:
        super().__init__(cosine=cosine, reduction=reduction)
        self.parameter("temperature", temperature, above=0.0)

    def of_similarities(self, tuples: Tuples) -> Tensor:
        """See `SimilarityLoss.of_similarities`."""
        temperature = self.column("temperature", tuples.positive)
        negatives = masked_logsumexp(tuples.negative / temperature.unsqueeze(-1), tuples.neg_mask)  # (R, B, P or 1)
        gap = negatives - tuples.positive / temperature  # (R, B, P)
        return self.reduced(torch.logaddexp(gap, torch.zeros_like(gap)), tuples.pos_mask & tuples.neg_mask.any(-1))


@LOSSES.register("ntxent")
class NTXent(Tuplet):
    """NT-Xent / InfoNCE on cosines (van den Oord et al. 2018; Chen et al. 2020, eq. 1), as in pytorch-metric-learning.

    With ``positive="easy"``, ``negative="hard"`` and temperature 0.1 it is the loss of Xuan et al. (2020).

    Parameters
    ----------
    temperature, cosine, reduction
        See `Tuplet`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(NTXent(temperature=0.5)(points, labels, positive="easy", negative="all").item(), 3)
    0.348
    """

    def __init__(
        self, *, temperature: float | Tensor = 0.07, cosine: bool = True, reduction: str = "avg_nonzero"
    ) -> None:
        super().__init__(temperature=temperature, cosine=cosine, reduction=reduction)

    def terms(self) -> Terms:
        """See `Loss.terms`."""
        return Terms(_terms, DOT, (REDUCTIONS[self.reduction],), (self.temperature,), self.cosine)


@LOSSES.register("npair")
class NPair(Tuplet):
    """N-pair loss on dot products with all chosen negatives (Sohn 2016, eq. 6), and his penalty on the norms.

    Sohn's batches hold one (anchor, positive) a class and take the other classes' positives as negatives;
    here the negative policy says which samples stand against the positive.

    Parameters
    ----------
    l2 : float or Tensor (R,)
        Weight (0: none) of the mean squared norm of the batch.
    temperature, cosine, reduction
        See `Tuplet`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(NPair()(points, labels, positive="easy", negative="all").item(), 3)
    0.485
    """

    title = "N-pair"
    per_run = ("temperature", "l2")
    l2: Tensor

    def __init__(
        self,
        *,
        temperature: float | Tensor = 1.0,
        l2: float | Tensor = 0.0,
        cosine: bool = False,
        reduction: str = "avg_nonzero",
    ) -> None:
        super().__init__(temperature=temperature, cosine=cosine, reduction=reduction)
        self.parameter("l2", l2)

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """Without the penalty it is NT-Xent, on dot products."""
        name, params = super().same_as(name, params, setting)
        if params["l2"] != 0:
            return name, params
        return "ntxent", {k: v for k, v in params.items() if k != "l2"}

    def terms(self) -> Terms | None:
        """See `Loss.terms`; the penalty isn't of tuples."""
        if bool((self.l2 != 0).any()):
            return None
        return Terms(_terms, DOT, (REDUCTIONS[self.reduction],), (self.temperature,), self.cosine)

    def compute(self, embeddings: Tensor, labels: Tensor, sampling: Sampling) -> Tensor:
        """See `Loss.compute`."""
        loss = super().compute(embeddings, labels, sampling)
        # The penalty is on the norms as they are, before any normalisation.
        return loss + self.column("l2", loss).flatten() * embeddings.square().sum(-1).mean(-1)


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
    """`Tuplet.of_similarities` for `sim.fused`."""
    temperature = parameters[0]
    zero = p.dtype.type(0)
    total, active, count = zero, 0, 0
    for i in range(len(labels)):
        a, b = first_p[i], first_p[i + 1]
        c, d = first_n[i], first_n[i + 1]
        positives, negatives = b - a, d - c
        if positives == 0 or negatives == 0:
            slope_p[a:b] = zero
            slope_n[c:d] = zero
        else:
            gaps, terms, slopes = room[0, :positives], room[1, :positives], room[2, :positives]
            against = zero
            if not paired:
                x = room[3, :negatives]
                for k in range(negatives):
                    x[k] = n[c + k] / temperature
                against = softmax_row(x, slope_n[c:d], scale)
            for k in range(positives):
                gaps[k] = (n[c + k] / temperature if paired else against) - p[a + k] / temperature
            softplus_row(gaps, terms, slopes, scale[:positives])
            push = zero
            for k in range(positives):
                total += terms[k]
                active += terms[k] > zero
                slope_p[a + k] = -slopes[k] / temperature
                push += slopes[k]
            for k in range(negatives):
                slope_n[c + k] = (slopes[k] if paired else slope_n[c + k] * push) / temperature
            count += positives
    return averaged(total, active, count, options[0], first_p, slope_p, first_n, slope_n)
