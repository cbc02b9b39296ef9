"""Positive policies: which same-label samples of the batch stand as an anchor's positives. EPS is `easy`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from sim.catalogue import POSITIVES
from sim.errors import InvalidInput
from sim.kernels import Choice
from sim.samplers.policies import Batch, Policy, draw, farthest, farthest_of, nearest, nearest_of
from sim.samplers.tuples import Chosen


def every(batch: Batch, _: Tensor | None) -> Chosen:
    """All same-label samples.

    Examples
    --------
    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 0, 1])
    >>> alike = labels == labels[:, None]
    >>> same = alike & ~torch.eye(4, dtype=torch.bool)
    >>> every(Batch(torch.cdist(x, x)[None], same[None], ~alike[None], 1, None), None).mask.sum(-1).tolist()
    [[2, 2, 2, 0]]
    """
    return Chosen(None, batch.same)


def random(batch: Batch, _: Tensor | None) -> Chosen:
    """One same-label sample, uniformly.

    Examples
    --------
    With a single other sample of the label there is no choice but that.

    >>> from sim.samplers import TorchDraws
    >>> same = torch.tensor([[[0, 0, 1], [0, 0, 0], [1, 0, 0]]]) > 0
    >>> batch = Batch(torch.zeros(1, 3, 3), same, ~same, 1, TorchDraws(torch.Generator().manual_seed(0)))
    >>> chosen = random(batch, None)
    >>> chosen.index[chosen.mask].tolist(), chosen.mask.flatten().tolist()
    ([2, 0], [True, False, True])
    """
    return draw(batch.same.to(batch.distances.dtype), batch.uniform("positive", 1))


def easy(batch: Batch, _: Tensor | None) -> Chosen:
    """Easy positive sampling (EPS): the nearest same-label sample (Levi et al. 2020; Xuan et al. 2020).

    Examples
    --------
    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 0, 1])
    >>> alike = labels == labels[:, None]
    >>> same = alike & ~torch.eye(4, dtype=torch.bool)
    >>> chosen = easy(Batch(torch.cdist(x, x)[None], same[None], ~alike[None], 1, None), None)
    >>> chosen.index[chosen.mask].tolist()  # the sample at 7 is alone in its class
    [1, 0, 1]
    """
    return nearest(batch.distances, batch.same)


def hard(batch: Batch, _: Tensor | None) -> Chosen:
    """The farthest same-label sample (batch-hard, Hermans et al. 2017).

    Examples
    --------
    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 0, 1])
    >>> alike = labels == labels[:, None]
    >>> same = alike & ~torch.eye(4, dtype=torch.bool)
    >>> chosen = hard(Batch(torch.cdist(x, x)[None], same[None], ~alike[None], 1, None), None)
    >>> chosen.index[chosen.mask].tolist()  # the sample at 7 is alone in its class
    [2, 2, 0]
    """
    return farthest(batch.distances, batch.same)


def semihard(batch: Batch, to_negative: Tensor | None) -> Chosen:
    """The farthest same-label sample that is strictly nearer than the anchor's negative; none: the anchor is dropped.

    As in pytorch-metric-learning's ``BatchEasyHardMiner``.

    Examples
    --------
    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 0, 1])
    >>> alike = labels == labels[:, None]
    >>> same = alike & ~torch.eye(4, dtype=torch.bool)
    >>> batch = Batch(torch.cdist(x, x)[None], same[None], ~alike[None], 1, None)
    >>> chosen = semihard(batch, torch.tensor([[2.0, 2.0, 2.0, 2.0]]))  # all negatives at distance 2
    >>> chosen.index[0, :2, 0].tolist(), chosen.mask[0, :, 0].tolist()
    ([1, 0], [True, True, False, False])
    """
    assert to_negative is not None
    return farthest(batch.distances, batch.same & (batch.distances < to_negative.unsqueeze(-1)))


@POSITIVES.family("k_easy", "K")
def k_easy(field: str, number: str) -> Policy:
    """The K nearest same-label samples (all, if there are fewer), K >= 1: between ``easy`` (K = 1) and ``all``. Ties go to the lowest
    positions.

    Examples
    --------
    >>> from sim.samplers import select
    >>> x, labels = torch.tensor([[[0.0], [1.0], [3.0], [7.0]]]), torch.tensor([[0, 0, 0, 0]])
    >>> select(x, labels, positive="k_easy:2", negative="all").positive.tolist()
    [[[1.0, 3.0], [1.0, 2.0], [2.0, 3.0], [4.0, 6.0]]]
    >>> k_easy("positive", "0")
    Traceback (most recent call last):
    sim.errors.InvalidInput: positive: got 'k_easy:0'; allowed: k_easy:K with an integer K >= 1
    """
    if not re.fullmatch("[1-9][0-9]{0,8}", number):
        raise InvalidInput(field, f"k_easy:{number}", "k_easy:K with an integer K >= 1")

    def choose(batch: Batch, _: Tensor | None) -> Chosen:
        slots = min(int(number), batch.distances.shape[-1])
        # Positions of the nearest, (R, B, slots); of an anchor with fewer mates some aren't of its label, and are masked.
        # Not `topk`: of samples at one distance it takes any.
        index = batch.distances.masked_fill(~batch.same, torch.inf).sort(dim=-1, stable=True).indices[..., :slots]
        return Chosen(index, batch.same.gather(2, index))

    def reference(row: Sequence[float], candidates: Sequence[int], _: float, __: float) -> list[int]:
        return sorted(candidates, key=lambda j: row[j])[: int(number)]

    return Policy(choose, single=False, title=f"{number} easiest", reference=reference)


@POSITIVES.family("easy_within", "D")
def easy_within(field: str, number: str) -> Policy:
    """The nearest same-label sample, if its distance is at most D > 0; else the anchor is dropped.

    Examples
    --------
    >>> from sim.samplers import select
    >>> x, labels = torch.tensor([[[0.0], [1.0], [3.0], [7.0]]]), torch.tensor([[0, 0, 0, 0]])
    >>> select(x, labels, positive="easy_within:2", negative="all").pos_mask.flatten().tolist()
    [True, True, True, False]
    >>> easy_within("positive", "far")
    Traceback (most recent call last):
    sim.errors.InvalidInput: positive: got 'easy_within:far'; allowed: easy_within:D with a number D > 0
    """
    limit = float(number) if re.fullmatch(r"[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?", number) else math.nan
    if not 0 < limit < math.inf:
        raise InvalidInput(field, f"easy_within:{number}", "easy_within:D with a number D > 0")

    def choose(batch: Batch, _: Tensor | None) -> Chosen:
        return nearest(batch.distances, batch.same & (batch.distances <= limit))

    def reference(row: Sequence[float], candidates: Sequence[int], _: float, __: float) -> list[int]:
        return nearest_of(row, [j for j in candidates if row[j] <= limit])

    return Policy(choose, title=f"easy within {number}", reference=reference)


def _semihard_reference(row: Sequence[float], candidates: Sequence[int], to_negative: float, _: float) -> list[int]:
    return farthest_of(row, [j for j in candidates if row[j] < to_negative])


POSITIVES.register("all")(
    Policy(every, single=False, kernel=Choice.ALL, reference=lambda row, candidates, *_: list(candidates))
)
POSITIVES.register("random")(Policy(random, random=True, kernel=Choice.RANDOM))
POSITIVES.register("easy")(
    Policy(
        easy, kernel=Choice.EASY, title="easy (EPS)", reference=lambda row, candidates, *_: nearest_of(row, candidates)
    )
)
POSITIVES.register("semihard")(
    Policy(semihard, reads_other_side=True, kernel=Choice.SEMIHARD, reference=_semihard_reference)
)
POSITIVES.register("hard")(
    Policy(hard, kernel=Choice.HARD, reference=lambda row, candidates, *_: farthest_of(row, candidates))
)
