"""Samplers: positives, negatives and batches, each a registered policy."""

from __future__ import annotations

import torch
from torch import Tensor

from sim import distances, kernels
from sim.catalogue import NEGATIVES, POSITIVES
from sim.errors import InvalidInput
from sim.samplers.draws import Draws, RunDraws, TorchDraws, as_draws
from sim.samplers.policies import Batch, Memory, uniform
from sim.samplers.tuples import Chosen, Tuples, active_counts, gather_tuples

__all__ = [
    "NEGATIVES",
    "POSITIVES",
    "Batch",
    "Chosen",
    "Draws",
    "Memory",
    "RunDraws",
    "TorchDraws",
    "Tuples",
    "active_counts",
    "as_draws",
    "check_pair",
    "choose",
    "select",
]


def check_pair(positive: str, negative: str) -> None:
    """Refuse unknown policies and pairs that don't make sense.

    Raises
    ------
    InvalidInput
        For an unknown name; when both sides are semi-hard (each waits for the other's choice); when a semi-hard
        positive has no single negative to be nearer than.
    """
    pos, neg = POSITIVES[positive], NEGATIVES[negative]
    if pos.reads_other_side and (neg.reads_other_side or not neg.single):
        allowed = [n for n in NEGATIVES if NEGATIVES[n].single and not NEGATIVES[n].reads_other_side]
        raise InvalidInput("negative", negative, f"one of {', '.join(allowed)} with positive={positive!r}")


def choose(batch: Batch, positive: str, negative: str) -> tuple[Chosen, Chosen]:
    """Choose positives and negatives, the side that reads the other one last.

    Where that side finds nothing, what it was to stand beside is dropped too: half a tuple is no choice of its own.
    """
    pos, neg = POSITIVES[positive], NEGATIVES[negative]
    if pos.reads_other_side:
        negatives = neg.choose(batch, None)
        assert negatives.index is not None
        d_an = batch.distances.gather(2, negatives.index.squeeze(-1)).squeeze(-1)
        positives = pos.choose(batch, d_an)
        return positives, Chosen(negatives.index, negatives.mask & positives.mask.unsqueeze(-1))
    positives = pos.choose(batch, None)
    d_ap = batch.distances if positives.index is None else batch.distances.gather(2, positives.index)
    negatives = neg.choose(batch, d_ap)
    if neg.reads_other_side:
        positives = Chosen(positives.index, positives.mask & negatives.mask.any(-1))
    return positives, negatives


def _compiled_choice(
    embeddings: Tensor, labels: Tensor, positive: str, negative: str, generator: torch.Generator | Draws | None
) -> tuple[Chosen, Chosen]:
    """What `choose` gives for two policies that choose one sample each."""
    draws = as_draws(generator)
    uniforms = [
        uniform(draws, purpose, embeddings, 1).squeeze(-1) if policy.random else None
        for purpose, policy in (("positive", POSITIVES[positive]), ("negative", NEGATIVES[negative]))
    ]
    index, mask = kernels.choose_singles(embeddings, labels, positive, negative, *uniforms)
    return Chosen(index[0].unsqueeze(-1), mask[0].unsqueeze(-1)), Chosen(
        index[1][..., None, None], mask[1][..., None, None]
    )


def _against_memory(
    embeddings: Tensor, labels: Tensor, positive: str, draws: Draws | None, squared: bool, dot: bool, memory: Memory
) -> Tuples:
    """Positives of the batch, negatives of the memory."""
    with torch.no_grad():
        same = (labels.unsqueeze(2) == labels.unsqueeze(1)) & ~torch.eye(
            labels.shape[1], dtype=torch.bool, device=labels.device
        )
        batch = Batch(distances.pairwise(embeddings.detach()), same, ~same, embeddings.shape[-1], draws)
        positives = POSITIVES[positive].choose(batch, None)
        other = (memory.labels.unsqueeze(1) != labels.unsqueeze(2)) & (memory.labels >= 0).unsqueeze(1)
    matrix = embeddings @ embeddings.mT if dot else distances.pairwise(embeddings)
    d_ap = matrix if positives.index is None else matrix.gather(2, positives.index)
    d_an = embeddings @ memory.embeddings.mT if dot else distances.between(embeddings, memory.embeddings)
    if squared:
        d_ap, d_an = d_ap.square(), d_an.square()
    return Tuples(d_ap, d_an.unsqueeze(2), positives.mask, other.unsqueeze(2))


def select(
    embeddings: Tensor,
    labels: Tensor,
    *,
    positive: str,
    negative: str,
    generator: torch.Generator | Draws | None = None,
    alpha: Tensor | None = None,
    squared: bool = False,
    dot: bool = False,
    memory: Memory | None = None,
) -> Tuples:
    """The tuples of R batches under a positive and a negative policy.

    Parameters
    ----------
    embeddings : Tensor, shape (R, B, m)
    labels : Tensor, shape (R, B), int64
    positive, negative : str
        Names of policies, see `POSITIVES` and `NEGATIVES`.
    generator : torch.Generator or Draws, optional
        Needed by the random policies.
    alpha : Tensor, shape (R,), optional
        The margin; needed by ``semihard_all``.
    squared : bool
        Give squared distances (policies choose by rank, except that `semihard_all`'s window is then squared too).
    dot : bool
        Give dot products instead of distances (policies still choose by distance).

    memory : Memory, optional
        Needed by the policy ``memory``: all its samples of other labels are an anchor's negatives.

    Raises
    ------
    InvalidInput
        See `check_pair`; also if shapes don't agree or a random policy has no generator.
    """
    if embeddings.dim() != 3 or labels.shape != embeddings.shape[:2]:
        raise InvalidInput("labels", tuple(labels.shape), f"(R, B) of embeddings (R, B, m) {tuple(embeddings.shape)}")
    check_pair(positive, negative)
    if NEGATIVES[negative].memory:
        if memory is None:
            raise InvalidInput("memory", None, f"embeddings of earlier batches, as negative={negative!r}")
        return _against_memory(embeddings, labels, positive, as_draws(generator), squared, dot, memory)
    if not dot and positive in kernels.SINGLE and negative in kernels.SINGLE and kernels.usable(embeddings):
        return gather_tuples(
            embeddings, None, *_compiled_choice(embeddings, labels, positive, negative, generator), squared=squared
        )
    # With single choices on both sides only 2B distances need a gradient, not B^2.
    keeps_all = not (POSITIVES[positive].single and NEGATIVES[negative].single)
    matrix = distances.pairwise(embeddings if keeps_all and not dot else embeddings.detach())
    with torch.no_grad():
        same = labels.unsqueeze(2) == labels.unsqueeze(1)
        other = ~same
        same = same & ~torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device)
        batch = Batch(matrix.detach(), same, other, embeddings.shape[-1], as_draws(generator))
        positives, negatives = choose(batch, positive, negative)
    window = None
    if NEGATIVES[negative].windowed:
        if alpha is None:
            raise InvalidInput("alpha", None, f"a margin, as negative={negative!r} is limited by it")
        window = alpha
    if dot:
        return gather_tuples(embeddings, embeddings @ embeddings.mT, positives, negatives, window)
    return gather_tuples(embeddings, matrix if keeps_all else None, positives, negatives, window, squared)
