"""Tuples of a batch in factorised form: which positives and which negatives stand beside each anchor.

A loss never sees a dense (anchor, positive, negative) array. Positives are P slots an anchor, negatives N slots an
anchor (or an anchor and positive); P and N are 1 for policies that choose and B for those that keep all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sim import distances, kernels


@dataclass(frozen=True)
class Chosen:
    """What a policy chose for each anchor.

    Attributes
    ----------
    index : Tensor, int64, or None
        Batch positions: (R, B, P) for positives; (R, B, P or 1, N) for negatives. None: slot s is batch position s.
    mask : Tensor, bool
        Which slots hold a choice; of ``index``'s shape ((R, B, B) or (R, B, 1, B) where ``index`` is None).

    Examples
    --------
    The nearest of three samples, for each of two anchors; the second one has none.

    >>> chosen = Chosen(torch.tensor([[[2], [0]]]), torch.tensor([[[True], [False]]]))
    >>> chosen.index[chosen.mask].tolist()
    [2]
    """

    index: Tensor | None
    mask: Tensor


@dataclass(frozen=True)
class Tuples:
    """The tuples of R batches with differentiable distances or similarities.

    Attributes
    ----------
    positive : Tensor, shape (R, B, P)
        From each anchor to its positives: distances, or similarities where a loss asked for these.
    negative : Tensor, shape (R, B, P or 1, N)
        From each anchor to its negatives, alike.
    pos_mask : Tensor, bool, shape of ``positive``
    neg_mask : Tensor, bool, shape of ``negative``
    window : Tensor, shape (R,), or None
        If given, only triplets with 0 < negative - positive <= window count (all semi-hard triplets).

    Examples
    --------
    One anchor, positives at 1 and 3, negatives at 2 and 4.

    >>> positive, negative = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[[2.0, 4.0]]]])
    >>> tuples = Tuples(positive, negative, positive > 0, negative > 0)
    >>> tuples.all_pairs, tuples.triplets().tolist()
    (True, [4])
    >>> Tuples(positive, negative, positive > 0, negative > 0, window=torch.tensor([1.0])).triplets().tolist()  # 1-2, 3-4
    [2]
    """

    positive: Tensor
    negative: Tensor
    pos_mask: Tensor
    neg_mask: Tensor
    window: Tensor | None = None

    @property
    def all_pairs(self) -> bool:
        """Whether every positive meets every negative of its anchor (P = N = B): the case that must not be expanded."""
        return self.positive.shape[2] > 1 and self.negative.shape[2] == 1 and self.negative.shape[3] > 1

    def triplets(self) -> Tensor:
        """Number of triplets, shape (R,), int64."""
        if self.all_pairs and self.window is None:
            return (self.pos_mask.sum(2) * self.neg_mask.sum((2, 3))).sum(1)
        return self.triplet_counts()[0].sum((1, 2))

    def triplet_mask(self) -> Tensor:
        """Bool mask (R, B, P, N) of the triplets; not for `all_pairs`.

        Examples
        --------
        >>> positive, negative = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[[2.0], [5.0]]]])  # a negative for each positive
        >>> tuples = Tuples(positive, negative, positive > 0, negative > 0, window=torch.tensor([1.0]))
        >>> tuples.triplet_mask().tolist()
        [[[[True], [False]]]]
        """
        mask = self.pos_mask.unsqueeze(-1) & self.neg_mask
        if self.window is not None:
            gap = self.negative - self.positive.unsqueeze(-1)  # (R, B, P, N)
            mask = mask & (gap > 0) & (gap <= self.window.view(-1, 1, 1, 1))
        return mask

    def triplet_counts(self) -> tuple[Tensor, Tensor]:
        """In how many triplets each positive slot and each negative slot stands; shapes of ``positive`` and ``negative``.

        Examples
        --------
        >>> positive, negative = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[[2.0, 4.0, 5.0]]]])
        >>> tuples = Tuples(positive, negative, positive > 0, negative > 4)  # a single negative counts
        >>> [counts.tolist() for counts in tuples.triplet_counts()]
        [[[[1, 1]]], [[[[0, 0, 2]]]]]
        """
        if self.all_pairs and self.window is not None:
            within = active_counts(self, self.window, inclusive=True)
            not_above = active_counts(self, torch.zeros_like(self.window), inclusive=True)
            return within[0] - not_above[0], within[1] - not_above[1]
        if self.all_pairs:
            per_positive = self.pos_mask * self.neg_mask.sum(-1)  # (R, B, B)
            return per_positive, self.neg_mask * self.pos_mask.sum(2)[..., None, None]
        mask = self.triplet_mask()
        per_negative = mask.sum(2, keepdim=True) if self.negative.shape[2] == 1 else mask  # (R, B, P or 1, N)
        return mask.sum(-1), per_negative.long()


def gather_tuples(
    embeddings: Tensor,
    matrix: Tensor | None,
    positives: Chosen,
    negatives: Chosen,
    window: Tensor | None = None,
    squared: bool = False,
) -> Tuples:
    """Differentiable distances of chosen tuples.

    Parameters
    ----------
    embeddings : Tensor, shape (R, B, m)
    matrix : Tensor, shape (R, B, B), or None
        All distances, differentiable, where they are needed anyway; without them only the chosen ones are computed.
    positives, negatives : Chosen
    window : Tensor, shape (R,), or None
        See `Tuples`.
    squared : bool
        Give squared distances.

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [1.0], [3.0]]])
    >>> positives = Chosen(torch.tensor([[[1], [0], [0]]]), torch.tensor([[[True], [True], [False]]]))
    >>> negatives = Chosen(torch.tensor([[[[2]], [[2]], [[1]]]]), torch.ones(1, 3, 1, 1, dtype=torch.bool))
    >>> tuples = gather_tuples(line, None, positives, negatives, squared=True)
    >>> tuples.positive.flatten().tolist(), tuples.negative.flatten().tolist()
    ([1.0, 1.0, 9.0], [9.0, 4.0, 4.0])
    """
    runs, batch, _ = embeddings.shape

    def of(index: Tensor | None) -> Tensor:
        if index is None:
            assert matrix is not None
            return matrix
        flat = index.reshape(runs, batch, -1)  # (R, B, slots)
        columns = distances.to_columns(embeddings, flat) if matrix is None else matrix.gather(2, flat)
        return columns.view(index.shape)

    positive = of(positives.index)  # (R, B, P)
    negative = of(negatives.index)  # (R, B, P or 1, N)
    if negatives.index is None:
        negative = negative.unsqueeze(2)
    if squared:
        positive, negative = positive.square(), negative.square()
    return Tuples(positive, negative, positives.mask, negatives.mask, window)


def active_counts(tuples: Tuples, alpha: Tensor, *, inclusive: bool = False) -> tuple[Tensor, Tensor]:
    """For all pairs: how many triplets with positive + alpha > negative each positive and each negative stands in.

    Sorting each row once replaces the B^3 comparisons by B^2 log B. Both counts compare the same rounded numbers
    (positive + alpha against negative), so they always agree on which triplets are active, ties included.

    Parameters
    ----------
    tuples : Tuples with `all_pairs`; ``window`` is ignored.
    alpha : Tensor, shape (R,)
    inclusive : bool
        Count positive + alpha >= negative instead.

    Returns
    -------
    (Tensor, Tensor)
        Integer counts, shapes (R, B, B) and (R, B, 1, B); 0 where masked.

    Examples
    --------
    One anchor, positives at 1 and 3, negatives at 2 and 4.

    >>> positive, negative = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[[2.0, 4.0]]]])
    >>> tuples = Tuples(positive, negative, positive > 0, negative > 0)
    >>> [counts.tolist() for counts in active_counts(tuples, torch.tensor([1.0]))]
    [[[[0, 1]]], [[[[1, 0]]]]]
    >>> [counts.tolist() for counts in active_counts(tuples, torch.tensor([1.0]), inclusive=True)]
    [[[[1, 2]]], [[[[2, 1]]]]]
    """
    if tuples.positive.shape[1] <= kernels.BRUTE_FORCE_UP_TO and kernels.usable(tuples.positive):
        reached = tuples.positive.detach() + alpha.view(-1, 1, 1)  # (R, B, B)
        negative, neg_mask = tuples.negative.detach().squeeze(2), tuples.neg_mask.squeeze(2)
        counts = kernels.active_counts(reached, negative, tuples.pos_mask, neg_mask, inclusive)
        return counts[0], counts[1].unsqueeze(2)
    reach = (tuples.positive.detach() + alpha.view(-1, 1, 1)).masked_fill(~tuples.pos_mask, torch.inf)
    negatives = tuples.negative.detach().squeeze(2).masked_fill(~tuples.neg_mask.squeeze(2), torch.inf)
    within_reach = torch.searchsorted(negatives.sort(-1).values, reach, right=inclusive)  # (R, B, B), of each positive
    out_of_reach = torch.searchsorted(
        reach.sort(-1).values, negatives, right=not inclusive
    )  # (R, B, B), of each negative
    of_positive = within_reach * tuples.pos_mask
    of_negative = (tuples.pos_mask.sum(-1, keepdim=True) - out_of_reach).unsqueeze(2) * tuples.neg_mask
    return of_positive, of_negative
