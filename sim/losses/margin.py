"""Margin loss with a fixed or learnt boundary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sim.catalogue import LOSSES
from sim.errors import InvalidInput, choice
from sim.fused.pairs import DISTANCE, SQUARED
from sim.fused.terms import REDUCTIONS, Terms, divide, divisor, kernel
from sim.losses.base import Setting, TupleLoss, expand, per_run, reduce
from sim.samplers import Tuples

LEARN = ("none", "global", "class")
COUNTS = ("triplets", "pairs")


@LOSSES.register("margin")
class Margin(TupleLoss):
    """[D_ap - beta + alpha]_+ on positive and [beta + alpha - D_an]_+ on negative pairs (Wu et al. 2017, eq. 5).

    Parameters
    ----------
    alpha : float or Tensor (R,)
        Half-width of the margin around the boundary.
    beta : float or Tensor (R,)
        Boundary between positive and negative distances; the initial one if it is learnt.
    learn_beta : str
        ``none``: fixed; ``global``: one learnt boundary; ``class``: one for each label, that of the anchor is used.
    count : str
        ``triplets``: a pair counts once for each triplet it stands in (pytorch-metric-learning's ``MarginLoss``);
        ``pairs``: once (the sums of the theory).
    runs : int, optional
        R; needed if beta is learnt.
    classes : int, optional
        Number of labels t; needed for ``learn_beta="class"``.
    squared_distances, reduction
        See `TupleLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(Margin(alpha=0.2, beta=1.0)(points, labels, positive="all", negative="all").item(), 3)
    0.306
    """

    per_run = ("alpha", "beta")
    weighable = True
    published_negative = "distance_weighted"
    classes: int | None
    beta: Tensor

    def __init__(
        self,
        *,
        alpha: float | Tensor = 0.2,
        beta: float | Tensor = 1.2,
        learn_beta: str = "none",
        count: str = "triplets",
        runs: int | None = None,
        classes: int | None = None,
        squared_distances: bool = False,
        reduction: str = "avg_nonzero",
    ) -> None:
        super().__init__(alpha=alpha, squared_distances=squared_distances, reduction=reduction)
        choice("learn_beta", learn_beta, LEARN)
        choice("count", count, COUNTS)
        self.learn_beta, self.counts_triplets = learn_beta, count == "triplets"
        self.classes = classes if learn_beta == "class" else None
        start = per_run("beta", beta)
        if learn_beta == "none":
            self.register_buffer("beta", start)
            return
        if runs is None:
            raise InvalidInput("runs", None, "the number of runs, as beta is learnt")
        start = expand("beta", start, runs)
        if learn_beta == "class":
            if classes is None:
                raise InvalidInput("classes", None, "the number of classes, as beta is learnt per class")
            start = start.unsqueeze(1).expand(runs, classes)
        self.beta = nn.Parameter(start.clone())  # (R,) or (R, t)

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """With a fixed boundary at alpha, where each pair counts once, it is the contrastive loss that reaches to 2 alpha."""
        plain = params["learn_beta"] == "none" and params["count"] == "pairs" and not params["squared_distances"]
        if not plain or params["beta"] != params["alpha"] or params["reduction"] == "avg_nonzero":
            return name, params
        return "contrastive", {"alpha": 2 * params["alpha"], "squared": False, "reduction": params["reduction"]}

    def learnt(self) -> dict[str, Tensor]:
        """The boundary, averaged over classes."""
        return {} if self.learn_beta == "none" else {"beta": self.beta.detach().view(len(self.beta), -1).mean(1)}

    def boundaries(self, labels: Tensor) -> Tensor:
        """The boundary of each anchor, shape (R, B)."""
        if self.learn_beta == "class":
            return self.beta.gather(1, labels)
        return expand("beta", self.beta, len(labels)).unsqueeze(1).expand(labels.shape)

    def terms(self) -> Terms:
        """See `Loss.terms`."""
        options = (REDUCTIONS[self.reduction], LEARN.index(self.learn_beta), int(self.counts_triplets))
        start = self.beta if self.learn_beta == "none" else torch.zeros(())
        return Terms(_terms, SQUARED if self.squared_distances else DISTANCE, options, (self.alpha, start))

    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """See `TupleLoss.of_tuples`."""
        beta = self.boundaries(labels).to(alpha).unsqueeze(-1)  # (R, B, 1)
        alpha = alpha.view(-1, 1, 1)
        pos = (tuples.positive - beta + alpha).relu()  # (R, B, P)
        neg = ((beta + alpha).unsqueeze(-1) - tuples.negative).relu()  # (R, B, P or 1, N)
        pos_count, neg_count = (
            tuples.triplet_counts() if self.counts_triplets else (tuples.pos_mask.long(), tuples.neg_mask.long())
        )
        if self.weighting is not None:
            terms, counts = (
                torch.cat([a.flatten(1), b.flatten(1)], 1) for a, b in ((pos, neg), (pos_count, neg_count))
            )
            weights = self.weights(terms, counts > 0) * counts  # (R, all pairs)
            total, active = ((t * weights).sum(1) for t in (terms, terms > 0))
            return reduce(total, active, weights.sum(1), self.reduction)
        total = (pos * pos_count).sum((1, 2)) + (neg * neg_count).sum((1, 2, 3))  # (R,)
        active = ((pos > 0) * pos_count).sum((1, 2)) + ((neg > 0) * neg_count).sum((1, 2, 3))
        return reduce(total, active, pos_count.sum((1, 2)) + neg_count.sum((1, 2, 3)), self.reduction)


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
    """`Margin.of_tuples` for `sim.fused`."""
    alpha, learn, by_triplets = parameters[0], options[1], options[2]
    zero = p.dtype.type(0)
    total, active, count = zero, zero, zero
    for i in range(len(labels)):
        a, b = first_p[i], first_p[i + 1]
        c, d = first_n[i], first_n[i + 1]
        place = labels[i] if learn == 2 else 0
        beta = theta[place] if learn else parameters[1]
        weight_p = weight_n = p.dtype.type(1)
        if by_triplets:
            # A slot of paired lists is a triplet, if there are negatives at all.
            weight_p = p.dtype.type(min(d - c, 1) if paired else d - c)
            weight_n = p.dtype.type(1 if paired else b - a)
        pull = push = zero
        for k in range(a, b):
            gap = p[k] - beta + alpha
            slope_p[k] = weight_p if gap > zero else zero
            total += slope_p[k] * gap
            pull += slope_p[k]
        for k in range(c, d):
            gap = beta + alpha - n[k]
            slope_n[k] = -weight_n if gap > zero else zero
            total -= slope_n[k] * gap
            push -= slope_n[k]
        active += pull + push
        count += weight_p * p.dtype.type(b - a) + weight_n * p.dtype.type(d - c)
        if learn:
            slope_theta[place] += push - pull
    by = divisor(active, count, options[0])
    divide(slope_p, first_p[-1], by)
    divide(slope_n, first_n[-1], by)
    divide(slope_theta, len(slope_theta), by)
    return total / p.dtype.type(by)
