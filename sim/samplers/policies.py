"""What positive and negative policies share: the view of a batch that they choose from, and how they choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sim.errors import InvalidInput
from sim.kernels import Choice
from sim.samplers.draws import Draws
from sim.samplers.tuples import Chosen


@dataclass(frozen=True)
class Batch:
    """R batches as a policy sees them; nothing here carries a gradient.

    Attributes
    ----------
    distances : Tensor, shape (R, B, B), float32 or float64
    same : Tensor, bool, shape (R, B, B)
        Same label, self excluded by position.
    other : Tensor, bool, shape (R, B, B)
        Different label.
    dim : int
        Embedding dimension m.
    draws : Draws or None
        Where random policies get their numbers.

    Examples
    --------
    Samples at 0 and 1 of one class and one at 3 of another; the nearest of an anchor's class, and whether there is one.

    >>> distances = torch.tensor([[[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]])
    >>> same = torch.tensor([[[0, 1, 0], [1, 0, 0], [0, 0, 0]]]) > 0
    >>> batch = Batch(distances, same, ~same & (distances > 1), dim=1, draws=None)
    >>> chosen = nearest(batch.distances, batch.same)
    >>> chosen.index[0, :2, 0].tolist(), chosen.mask[0, :, 0].tolist()
    ([1, 0], [True, True, False])
    """

    distances: Tensor
    same: Tensor
    other: Tensor
    dim: int
    draws: Draws | None

    def uniform(self, purpose: str, slots: int) -> Tensor:
        """Uniforms (R, B, slots) of the purpose's own stream."""
        return uniform(self.draws, purpose, self.distances, slots)


def uniform(draws: Draws | None, purpose: str, like: Tensor, slots: int) -> Tensor:
    """Uniforms (R, B, slots) for ``like`` (R, B, ...); refused where there is no source of random numbers.

    Examples
    --------
    >>> uniform(None, "negative", torch.zeros(1, 4, 4), 1)
    Traceback (most recent call last):
    sim.errors.InvalidInput: generator: got None; allowed: a torch.Generator or Draws, as negative sampling is random
    """
    if draws is None:
        raise InvalidInput("generator", None, f"a torch.Generator or Draws, as {purpose} sampling is random")
    return draws.uniform(purpose, like, (*like.shape[:2], slots))


@dataclass(frozen=True)
class Memory:
    """Embeddings of earlier batches, without a gradient (He et al. 2020; Wang et al. 2020).

    Attributes
    ----------
    embeddings : Tensor, shape (R, Q, m)
    labels : Tensor, shape (R, Q), int64
        -1 where nothing is stored yet.

    Examples
    --------
    Two samples of one class; the memory holds a sample of it and one of another, and has a place left.

    >>> from sim.samplers import select
    >>> memory = Memory(torch.tensor([[[0.0], [5.0], [0.0]]]), torch.tensor([[0, 1, -1]]))
    >>> x, labels = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0, 0]])
    >>> tuples = select(x, labels, positive="easy", negative="memory", memory=memory)
    >>> tuples.negative[tuples.neg_mask].tolist()
    [5.0, 4.0]
    """

    embeddings: Tensor
    labels: Tensor


Reference = Callable[[Sequence[float], Sequence[int], float, float], list[int]]
"""See `Policy.reference`."""


@dataclass(frozen=True)
class Policy:
    """A registered policy.

    Attributes
    ----------
    choose : callable
        (batch, distances of the other side's choice) -> choice. A positive policy is given the distance of the anchor's
        negative (R, B) if it `reads_other_side`, else None; a negative policy the distances of its positives (R, B, P), or None
        if these are still to be chosen.
    reads_other_side : bool
        It chooses by the distance of the other side's choice (semi-hard policies), which is therefore chosen first.
    single : bool
        It chooses one sample an anchor (or an anchor and positive) rather than keeping all.
    windowed : bool
        Its triplets are limited to 0 < d_an - d_ap <= alpha (all semi-hard triplets).
    random : bool
        It draws numbers.
    memory : bool
        It takes samples from a `Memory`, not from the batch.
    on_sphere : bool
        It is defined for embeddings of norm 1 only.
    kernel : kernels.Choice or None
        Its code in compiled kernels, where it has one.
    title : str
        What figures call it; empty: its name.
    reference : callable or None
        Its definition in plain Python, which tests hold it to, for policies without random numbers: (distances of one anchor to all
        samples, positions it may choose from, distance of the other side's choice or NaN, alpha) -> positions chosen.

    Examples
    --------
    >>> from sim.samplers import POSITIVES
    >>> POSITIVES["hard"].single, POSITIVES["hard"].random, POSITIVES["all"].single
    (True, False, False)
    >>> POSITIVES["hard"].reference([0.0, 1.0, 3.0, 2.0], [1, 2], float("nan"), 0.1)
    [2]
    """

    choose: Callable[[Batch, Tensor | None], Chosen]
    reads_other_side: bool = False
    single: bool = True
    windowed: bool = False
    random: bool = False
    memory: bool = False
    on_sphere: bool = False
    kernel: Choice | None = None
    title: str = ""
    reference: Reference | None = None


def nearest(distances: Tensor, mask: Tensor) -> Chosen:
    """The nearest masked sample of each row; ties go to the lowest position. Shapes (..., B) -> index (..., 1).

    Examples
    --------
    >>> row = torch.tensor([0.0, 2.0, 1.0, 1.0])
    >>> nearest(row, torch.tensor([False, True, True, True])).index.tolist()
    [2]
    """
    return Chosen(distances.masked_fill(~mask, torch.inf).argmin(-1, keepdim=True), mask.any(-1, keepdim=True))


def farthest(distances: Tensor, mask: Tensor) -> Chosen:
    """The farthest masked sample of each row; ties go to the lowest position. Shapes (..., B) -> index (..., 1).

    Examples
    --------
    >>> farthest(torch.tensor([0.0, 2.0, 1.0, 2.0]), torch.tensor([True, True, True, True])).index.tolist()
    [1]
    """
    return Chosen(distances.masked_fill(~mask, -torch.inf).argmax(-1, keepdim=True), mask.any(-1, keepdim=True))


def draw(weights: Tensor, uniforms: Tensor) -> Chosen:
    """Draw columns with probability proportional to weight, by inverting each row's cumulative sum.

    Parameters
    ----------
    weights : Tensor, shape (R, B, C), >= 0
    uniforms : Tensor, shape (R, B, S), in [0, 1)

    Returns
    -------
    Chosen
        index and mask (R, B, S); a row of zeros gives no choice.

    Examples
    --------
    >>> weights = torch.tensor([[[1.0, 0.0, 3.0]]])
    >>> draw(weights, torch.tensor([[[0.0, 0.2, 0.25, 0.9]]])).index.tolist()
    [[[0, 0, 2, 2]]]
    """
    cumulative = weights.cumsum(-1)  # (R, B, C)
    total = cumulative[..., -1:]  # (R, B, 1)
    index = torch.searchsorted(cumulative, uniforms * total, right=True)  # (R, B, S)
    # u * total can round up to total itself: the last column with weight is then meant.
    last = (cumulative < total).sum(-1, keepdim=True)  # (R, B, 1)
    return Chosen(torch.minimum(index, last), (total > 0).expand_as(index))


def nearest_of(row: Sequence[float], candidates: Sequence[int]) -> list[int]:
    """The first of the nearest candidates, for a policy's `reference`.

    Examples
    --------
    >>> nearest_of([0.0, 2.0, 1.0, 1.0], [1, 2, 3])
    [2]
    """
    return [min(candidates, key=lambda j: row[j])] if candidates else []


def farthest_of(row: Sequence[float], candidates: Sequence[int]) -> list[int]:
    """The first of the farthest candidates, for a policy's `reference`.

    Examples
    --------
    >>> farthest_of([0.0, 2.0, 1.0, 2.0], [1, 2, 3]), farthest_of([0.0], [])
    ([1], [])
    """
    return [max(candidates, key=lambda j: row[j])] if candidates else []
