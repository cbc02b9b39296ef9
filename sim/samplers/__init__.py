"""Samplers: positives, negatives and batches, each a registered policy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sim import distances, kernels
from sim.catalogue import NEGATIVES, POSITIVES
from sim.errors import InvalidInput
from sim.samplers.checks import checked_batch
from sim.samplers.draws import Draws, RunDraws, TorchDraws, as_draws
from sim.samplers.policies import Batch, Memory, Policy, uniform
from sim.samplers.tuples import Chosen, Tuples, active_counts, gather_tuples

__all__ = [
    "NEGATIVES",
    "POSITIVES",
    "Batch",
    "Chosen",
    "Draws",
    "Memory",
    "RunDraws",
    "Sampling",
    "TorchDraws",
    "Tuples",
    "active_counts",
    "as_draws",
    "checked_batch",
    "choose",
    "resolve",
    "select",
    "select_tuples",
]


@dataclass(frozen=True)
class Sampling:
    """How the tuples of a batch are found: resolved and checked once, used at every step. Made by `resolve`.

    Attributes
    ----------
    positive, negative : Policy
    draws : Draws or None
        Where random policies get their numbers.
    memory : Memory or None
        Where a memory policy finds its negatives.

    Examples
    --------
    >>> sampling = resolve("easy", "all")
    >>> sampling.positive.single, sampling.negative.single, sampling.compiled
    (True, False, False)
    """

    positive: Policy
    negative: Policy
    draws: Draws | None = None
    memory: Memory | None = None

    @property
    def compiled(self) -> bool:
        """Whether `sim.kernels.choose_singles` knows both policies."""
        return all(p.kernel is not None and p.kernel.single for p in (self.positive, self.negative))


def resolve(
    positive: str,
    negative: str,
    generator: torch.Generator | Draws | None = None,
    memory: Memory | None = None,
) -> Sampling:
    """Look up two policies, and refuse pairs that don't make sense.

    Parameters
    ----------
    positive, negative : str
        Names in `POSITIVES` and `NEGATIVES`.
    generator : torch.Generator or Draws, optional
        Needed by random policies.
    memory : Memory, optional
        Needed by memory policies.

    Raises
    ------
    InvalidInput
        For an unknown name; when both sides are semi-hard (each waits for the other's choice); when a semi-hard
        positive has no single negative to be nearer than.

    Examples
    --------
    >>> resolve("easy", "semihard").compiled
    True
    >>> resolve("semihard", "all")
    Traceback (most recent call last):
    sim.errors.InvalidInput: negative: got 'all'; allowed: one of random, easy, hard, distance_weighted with positive='semihard'
    """
    pos, neg = POSITIVES[positive], NEGATIVES[negative]
    if pos.reads_other_side and (neg.reads_other_side or not neg.single):
        allowed = [n for n in NEGATIVES if NEGATIVES[n].single and not NEGATIVES[n].reads_other_side]
        raise InvalidInput("negative", negative, f"one of {', '.join(allowed)} with positive={positive!r}")
    return Sampling(pos, neg, as_draws(generator), memory)


def choose(batch: Batch, sampling: Sampling) -> tuple[Chosen, Chosen]:
    """Choose positives and negatives, the side that reads the other one last.

    Where that side finds nothing, what it was to stand beside is dropped too: half a tuple is no choice of its own.

    Examples
    --------
    Samples at 0, 1 and 4 of one class and one at 3 of another. The nearest positive of the sample at 4 is at distance 3;
    no negative is farther, so it is dropped.

    >>> x, labels = torch.tensor([[[0.0], [1.0], [4.0], [3.0]]]), torch.tensor([[0, 0, 0, 1]])
    >>> batch = Batch(distances.pairwise(x), *_same_label(labels), 1, None)
    >>> positives, negatives = choose(batch, resolve("easy", "semihard"))
    >>> positives.index[0, :2, 0].tolist(), positives.mask[0, :, 0].tolist()
    ([1, 0], [True, True, False, False])
    """
    pos, neg = sampling.positive, sampling.negative
    if pos.reads_other_side:
        negatives = neg.choose(batch, None)  # (R, B, 1, 1)
        assert negatives.index is not None
        to_negative = batch.distances.gather(2, negatives.index.squeeze(-1)).squeeze(-1)  # (R, B)
        positives = pos.choose(batch, to_negative)
        return positives, Chosen(negatives.index, negatives.mask & positives.mask.unsqueeze(-1))
    positives = pos.choose(batch, None)
    to_positive = batch.distances if positives.index is None else batch.distances.gather(2, positives.index)
    negatives = neg.choose(batch, to_positive)
    if negatives.index is not None and negatives.index.shape[2] > 1:
        # One for each positive: a slot that holds none has none.
        negatives = Chosen(negatives.index, negatives.mask & positives.mask.unsqueeze(-1))
    if neg.reads_other_side:
        positives = Chosen(positives.index, positives.mask & negatives.mask.any(-1))
    return positives, negatives


def _compiled_choice(embeddings: Tensor, labels: Tensor, sampling: Sampling) -> tuple[Chosen, Chosen]:
    """What `choose` gives for two policies that choose one sample each."""
    sides = (("positive", sampling.positive), ("negative", sampling.negative))
    uniforms = [
        uniform(sampling.draws, purpose, embeddings, 1).squeeze(-1) if policy.random else None  # (R, B)
        for purpose, policy in sides
    ]
    kinds = [policy.kernel for _, policy in sides if policy.kernel is not None]
    index, mask = kernels.choose_singles(embeddings, labels, kinds[0], kinds[1], *uniforms)
    return Chosen(index[0].unsqueeze(-1), mask[0].unsqueeze(-1)), Chosen(
        index[1][..., None, None], mask[1][..., None, None]
    )


def _same_label(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of one label, self excluded, and pairs of two labels: (R, B) -> (R, B, B) twice."""
    same = labels.unsqueeze(2) == labels.unsqueeze(1)
    return same & ~torch.eye(labels.shape[1], dtype=torch.bool, device=labels.device), ~same


def _against_memory(
    embeddings: Tensor, labels: Tensor, sampling: Sampling, memory: Memory, squared: bool, dot: bool
) -> Tuples:
    """Positives of the batch, negatives of the memory."""
    with torch.no_grad():
        same, other = _same_label(labels)
        batch = Batch(distances.pairwise(embeddings.detach()), same, other, embeddings.shape[-1], sampling.draws)
        positives = sampling.positive.choose(batch, None)
        stored = (memory.labels.unsqueeze(1) != labels.unsqueeze(2)) & (memory.labels >= 0).unsqueeze(1)  # (R, B, Q)
    matrix = embeddings @ embeddings.mT if dot else distances.pairwise(embeddings)  # (R, B, B)
    positive = matrix if positives.index is None else matrix.gather(2, positives.index)  # (R, B, P)
    negative = embeddings @ memory.embeddings.mT if dot else distances.between(embeddings, memory.embeddings)
    if squared:
        positive, negative = positive.square(), negative.square()
    return Tuples(positive, negative.unsqueeze(2), positives.mask, stored.unsqueeze(2))


def select_tuples(
    embeddings: Tensor,
    labels: Tensor,
    sampling: Sampling,
    *,
    alpha: Tensor | None = None,
    squared: bool = False,
    dot: bool = False,
) -> Tuples:
    """The tuples of R batches under resolved policies, as at every step of a training: the batch is not checked. See `select`.

    Examples
    --------
    >>> x, labels = torch.tensor([[[0.0], [1.0], [3.0], [7.0]]]), torch.tensor([[0, 0, 0, 1]])
    >>> select_tuples(x, labels, resolve("easy", "hard")).triplets().item()
    3
    >>> select_tuples(x, labels, resolve("all", "all")).triplets().item()
    6
    """
    if sampling.negative.memory:
        if sampling.memory is None:
            raise InvalidInput("memory", None, "embeddings of earlier batches, as the negatives come from a memory")
        return _against_memory(embeddings, labels, sampling, sampling.memory, squared, dot)
    if not dot and sampling.compiled and kernels.usable(embeddings):
        return gather_tuples(embeddings, None, *_compiled_choice(embeddings, labels, sampling), squared=squared)
    # With single choices on both sides only 2B distances need a gradient, not B^2.
    keeps_all = not (sampling.positive.single and sampling.negative.single)
    matrix = distances.pairwise(embeddings if keeps_all and not dot else embeddings.detach())  # (R, B, B)
    with torch.no_grad():
        same, other = _same_label(labels)
        batch = Batch(matrix.detach(), same, other, embeddings.shape[-1], sampling.draws)
        positives, negatives = choose(batch, sampling)
    window = None
    if sampling.negative.windowed:
        if alpha is None:
            raise InvalidInput("alpha", None, "a margin, as these negatives are limited by it")
        window = alpha
    if dot:
        return gather_tuples(embeddings, embeddings @ embeddings.mT, positives, negatives, window)
    return gather_tuples(embeddings, matrix if keeps_all else None, positives, negatives, window, squared)


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
        Half precision is computed, and given back, in float32.
    labels : Tensor, shape (R, B), whole numbers >= 0
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
        See `resolve` and `checked_batch`; also if a random policy has no generator.

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [1.0], [3.0], [7.0]]])
    >>> tuples = select(line, torch.tensor([[0, 0, 0, 1]]), positive="easy", negative="hard")
    >>> tuples.positive.flatten().tolist()[:3]
    [1.0, 1.0, 2.0]
    >>> tuples.pos_mask.flatten().tolist()  # the last sample is alone in its class
    [True, True, True, False]
    """
    x, y, memory = checked_batch(embeddings, labels, memory)
    sampling = resolve(positive, negative, generator, memory)
    return select_tuples(x, y, sampling, alpha=alpha, squared=squared, dot=dot)
