"""Positive policies: which same-label samples of the batch stand as an anchor's positives. EPS is `easy`."""

from __future__ import annotations

from torch import Tensor

from sim.samplers.policies import POSITIVES, Batch, Policy, draw, farthest, nearest
from sim.samplers.tuples import Chosen


def every(batch: Batch, _: Tensor | None) -> Chosen:
    """All same-label samples."""
    return Chosen(None, batch.same)


def random(batch: Batch, _: Tensor | None) -> Chosen:
    """One same-label sample, uniformly."""
    return draw(batch.same.to(batch.distances.dtype), batch.uniform("positive", 1))


def easy(batch: Batch, _: Tensor | None) -> Chosen:
    """Easy positive sampling (EPS): the nearest same-label sample (Levi et al. 2020; Xuan et al. 2020)."""
    return nearest(batch.distances, batch.same)


def hard(batch: Batch, _: Tensor | None) -> Chosen:
    """The farthest same-label sample (batch-hard, Hermans et al. 2017)."""
    return farthest(batch.distances, batch.same)


def semihard(batch: Batch, d_an: Tensor | None) -> Chosen:
    """The farthest same-label sample that is strictly nearer than the anchor's negative; none: the anchor is dropped.

    As in pytorch-metric-learning's ``BatchEasyHardMiner``.
    """
    assert d_an is not None
    return farthest(batch.distances, batch.same & (batch.distances < d_an.unsqueeze(-1)))


POSITIVES.register("all")(Policy(every, single=False))
POSITIVES.register("random")(Policy(random, random=True))
POSITIVES.register("easy")(Policy(easy))
POSITIVES.register("semihard")(Policy(semihard, reads_other_side=True))
POSITIVES.register("hard")(Policy(hard))
