"""Negative policies: which other-label samples of the batch stand as an anchor's negatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sim import kernels
from sim.catalogue import NEGATIVES
from sim.kernels import Choice
from sim.samplers.policies import Batch, Policy, draw, farthest, farthest_of, nearest, nearest_of
from sim.samplers.tuples import Chosen

DISTANCE_FLOOR = 0.5
DISTANCE_CUTOFF = 1.4


def _one_each(chosen: Chosen) -> Chosen:
    """(R, B, P) choices as one negative for each (anchor, positive): (R, B, P, 1)."""
    assert chosen.index is not None
    return Chosen(chosen.index.unsqueeze(-1), chosen.mask.unsqueeze(-1))


def _slots(to_positive: Tensor | None) -> int:
    return 1 if to_positive is None else to_positive.shape[2]


def every(batch: Batch, _: Tensor | None) -> Chosen:
    """All other-label samples.

    Examples
    --------
    >>> same = torch.tensor([[[0, 1, 0], [1, 0, 0], [0, 0, 0]]]) > 0
    >>> other = torch.tensor([[[0, 0, 1], [0, 0, 1], [1, 1, 0]]]) > 0
    >>> every(Batch(torch.zeros(1, 3, 3), same, other, 1, None), None).mask.sum(-1).flatten().tolist()
    [1, 1, 2]
    """
    return Chosen(None, batch.other.unsqueeze(2))


def random(batch: Batch, to_positive: Tensor | None) -> Chosen:
    """One other-label sample for each (anchor, positive), uniformly.

    Examples
    --------
    With a single sample of another label there is no choice but that, for each of the two positives of an anchor.

    >>> from sim.samplers import TorchDraws
    >>> other = torch.tensor([[[0, 0, 1], [0, 0, 1], [1, 0, 0]]]) > 0
    >>> batch = Batch(torch.zeros(1, 3, 3), ~other, other, 1, TorchDraws(torch.Generator().manual_seed(0)))
    >>> random(batch, torch.zeros(1, 3, 2)).index.squeeze(-1).tolist()
    [[[2, 2], [2, 2], [0, 0]]]
    """
    return _one_each(draw(batch.other.to(batch.distances.dtype), batch.uniform("negative", _slots(to_positive))))


def easy(batch: Batch, _: Tensor | None) -> Chosen:
    """The farthest other-label sample.

    Examples
    --------
    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    >>> alike = labels == labels[:, None]
    >>> batch = Batch(torch.cdist(x, x)[None], alike[None], ~alike[None], 1, None)
    >>> easy(batch, None).index.flatten().tolist()
    [3, 3, 0, 0]
    """
    return _one_each(farthest(batch.distances, batch.other))


def hard(batch: Batch, _: Tensor | None) -> Chosen:
    """The nearest other-label sample (batch-hard, Hermans et al. 2017).

    Examples
    --------
    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    >>> alike = labels == labels[:, None]
    >>> batch = Batch(torch.cdist(x, x)[None], alike[None], ~alike[None], 1, None)
    >>> hard(batch, None).index.flatten().tolist()
    [2, 2, 1, 1]
    """
    return _one_each(nearest(batch.distances, batch.other))


def semihard(batch: Batch, to_positive: Tensor | None) -> Chosen:
    """The nearest other-label sample strictly farther than the positive; none: the (anchor, positive) is dropped.

    FaceNet (Schroff et al. 2015), as in pytorch-metric-learning's ``BatchEasyHardMiner``. What that library's
    ``TripletMarginMiner`` calls semi-hard is `semihard_all`.

    Examples
    --------
    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    >>> alike = labels == labels[:, None]
    >>> batch = Batch(torch.cdist(x, x)[None], alike[None], ~alike[None], 1, None)
    >>> chosen = semihard(batch, torch.tensor([[[4.0], [4.0], [2.5], [7.0]]]))  # the positives' distances
    >>> chosen.index[chosen.mask].tolist(), chosen.mask.flatten().tolist()
    ([3, 3, 0], [True, True, True, False])
    """
    assert to_positive is not None
    if to_positive.shape[2] == 1:
        return _one_each(nearest(batch.distances, batch.other & (batch.distances > to_positive)))
    ordered, order = batch.distances.masked_fill(~batch.other, torch.inf).sort(dim=-1, stable=True)  # (R, B, B)
    place = torch.searchsorted(ordered, to_positive, right=True)  # (R, B, P): the first beyond each positive
    found = place < batch.other.sum(-1, keepdim=True)
    return _one_each(Chosen(order.gather(-1, place.clamp_max(order.shape[-1] - 1)), found))


def distance_weighted(batch: Batch, to_positive: Tensor | None) -> Chosen:
    """One other-label sample for each (anchor, positive), drawn against the density of distances on the sphere.

    log w = (2 - m) log D - (m - 3)/2 log(1 - D^2/4) with D >= 0.5, D < 1.4 only (Wu et al. 2017, eq. 4); an anchor
    whose negatives all lie beyond 1.4 draws uniformly, as in the authors' code. Defined for embeddings of norm 1.

    Examples
    --------
    Of two negatives on the circle one is at distance 1, the other one opposite, beyond 1.4: the first is always drawn.

    >>> from sim.samplers import TorchDraws
    >>> distances = torch.tensor([[[0.0, 1.0, 2.0], [1.0, 0.0, 3**0.5], [2.0, 3**0.5, 0.0]]])
    >>> other = torch.tensor([[[0, 1, 1], [1, 0, 0], [1, 0, 0]]]) > 0
    >>> batch = Batch(distances, ~other, other, 2, TorchDraws(torch.Generator().manual_seed(0)))
    >>> distance_weighted(batch, torch.zeros(1, 3, 4)).index[0, 0].flatten().tolist()
    [1, 1, 1, 1]
    """
    uniforms = batch.uniform("negative", _slots(to_positive))
    if kernels.usable(batch.distances):
        chosen = kernels.choose_distance_weighted(
            batch.distances, batch.other, batch.dim, DISTANCE_FLOOR, DISTANCE_CUTOFF, uniforms
        )
        return _one_each(Chosen(*chosen))
    distance = batch.distances.clamp_min(DISTANCE_FLOOR)
    near = batch.other & (distance < DISTANCE_CUTOFF)  # (R, B, B)
    inside = distance.clamp_max(DISTANCE_CUTOFF)
    log_weight = (2.0 - batch.dim) * inside.log() - (batch.dim - 3.0) / 2 * (1 - inside.square() / 4).log()
    # A maximum over each anchor's own candidates: a global one lets a single near pair underflow every other row.
    log_weight = log_weight.masked_fill(~near, -torch.inf)
    weight = (log_weight - log_weight.amax(-1, keepdim=True)).exp()  # (R, B, B)
    weight = torch.where(near.any(-1, keepdim=True), weight, batch.other.to(weight.dtype))
    return _one_each(draw(weight, uniforms))


def _semihard_reference(row: Sequence[float], candidates: Sequence[int], to_positive: float, _: float) -> list[int]:
    return nearest_of(row, [k for k in candidates if row[k] > to_positive])


def _window_reference(row: Sequence[float], candidates: Sequence[int], to_positive: float, alpha: float) -> list[int]:
    return [k for k in candidates if 0 < row[k] - to_positive <= alpha]


NEGATIVES.register("all")(
    Policy(every, single=False, kernel=Choice.ALL, reference=lambda row, candidates, *_: list(candidates))
)
NEGATIVES.register("random")(Policy(random, random=True, kernel=Choice.RANDOM))
NEGATIVES.register("easy")(
    Policy(easy, kernel=Choice.EASY, reference=lambda row, candidates, *_: farthest_of(row, candidates))
)
NEGATIVES.register("semihard")(
    Policy(semihard, reads_other_side=True, kernel=Choice.SEMIHARD, title="semi-hard", reference=_semihard_reference)
)
NEGATIVES.register("semihard_all")(
    Policy(every, single=False, windowed=True, title="all semi-hard", reference=_window_reference)
)
NEGATIVES.register("hard")(
    Policy(hard, kernel=Choice.HARD, reference=lambda row, candidates, *_: nearest_of(row, candidates))
)
NEGATIVES.register("memory")(Policy(every, single=False, memory=True))
NEGATIVES.register("distance_weighted")(
    Policy(
        distance_weighted,
        random=True,
        on_sphere=True,
        kernel=Choice.DISTANCE_WEIGHTED,
        title="distance-weighted",
    )
)
