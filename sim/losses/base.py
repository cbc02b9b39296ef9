"""What every loss is: a module called on R batches at once that gives R numbers."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sim.catalogue import NEGATIVES
from sim.errors import InvalidInput, choice, integer, number
from sim.losses.weighting import Weighting
from sim.samplers import Draws, Memory, Tuples, check_pair, select
from sim.streams import stream

REDUCTIONS = ("avg_nonzero", "mean", "sum")


def reduce(total: Tensor, active: Tensor, count: Tensor, reduction: str) -> Tensor:
    """Turn a sum over terms into the loss of each run.

    Parameters
    ----------
    total : Tensor, shape (R,)
        Sum of the terms.
    active, count : Tensor, shape (R,)
        Number of terms above zero; number of terms.
    reduction : str
        ``avg_nonzero``: total / active (pytorch-metric-learning's default); ``mean``: total / count, proportional to the
        expected losses of the theory; ``sum``. A run without terms gives 0 with a zero gradient.
    """
    if reduction == "sum":
        return total
    divisor = active if reduction == "avg_nonzero" else count
    return total / torch.where(divisor > 0, divisor, 1)


class Loss(nn.Module, abc.ABC):
    """Base of all losses."""

    per_run: tuple[str, ...] = ()
    """Parameters that may differ between the runs of one batch (given as tensors of shape (R,))."""

    weighable = False
    """Whether the loss is a sum over tuples that a `weighting` may weigh."""

    of_classes = False
    """Whether its tuples are (sample, class) pairs: the softmax family."""

    reduction: str = "mean"
    weighting: Weighting | None = None
    progress = 0.0
    """Share of the training that is over; some weightings change with it."""

    def weights(self, terms: Tensor, mask: Tensor) -> Tensor:
        """Weight of every tuple, >= 0 and without a gradient; 1 without a weighting. Shapes (R, ...)."""
        if self.weighting is None:
            return mask
        return self.weighting.weights(terms.detach(), mask, self.progress)

    def reduced(self, terms: Tensor, mask: Tensor) -> Tensor:
        """The weighed tuples' `reduce`: (R, ...), (R, ...) -> (R,)."""
        weights = self.weights(terms, mask)
        total, active = ((t * weights).flatten(1).sum(1) for t in (terms, terms > 0))
        return reduce(total, active, weights.flatten(1).sum(1), self.reduction)

    @property
    def counts_triplets(self) -> bool:
        """Whether a pair counts once for each triplet it stands in; if not, sets of triplets mean nothing to the loss."""
        return False

    def check(self, positive: str, negative: str) -> None:
        """Refuse policies that make no sense together or with this loss.

        Raises
        ------
        InvalidInput
        """
        check_pair(positive, negative)
        if NEGATIVES[negative].windowed and not self.counts_triplets:
            allowed = ", ".join(n for n in NEGATIVES if not NEGATIVES[n].windowed)
            raise InvalidInput("negative", negative, f"one of {allowed} with a loss that counts pairs, not triplets")

    def learnt(self) -> dict[str, Tensor]:
        """Numbers that the loss learns and that a reader wants to see, by name; shapes (R,)."""
        return {}

    def column(self, name: str, like: Tensor) -> Tensor:
        """A parameter as (R, 1, 1) with ``like``'s dtype and device."""
        return expand(name, getattr(self, name).to(like), len(like)).view(-1, 1, 1)

    @abc.abstractmethod
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        positive: str,
        negative: str,
        generator: torch.Generator | Draws | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """Loss of each run.

        Parameters
        ----------
        embeddings : Tensor, shape (R, B, m), float32 or float64
        labels : Tensor, shape (R, B), int64
        positive, negative : str
            Policies, see `sim.samplers`.
        generator : torch.Generator or Draws, optional
            Needed by the random policies.
        memory : Memory, optional
            Needed by the negative policy ``memory``.

        Returns
        -------
        Tensor, shape (R,)
        """


class TupleLoss(Loss):
    """Base of the losses on distances of (anchor, positive, negative) tuples.

    Parameters
    ----------
    alpha : float or Tensor (R,)
        Margin, > 0, in units of distance.
    squared_distances : bool
        Use squared Euclidean distances.
    reduction : str
        See `reduce`.
    """

    per_run: tuple[str, ...] = ("alpha",)
    alpha: Tensor

    def __init__(self, *, alpha: float | Tensor, squared_distances: bool, reduction: str) -> None:
        super().__init__()
        self.register_buffer("alpha", per_run("alpha", alpha, above=0.0))
        choice("reduction", reduction, REDUCTIONS)
        choice("squared_distances", squared_distances, (True, False))
        self.squared_distances, self.reduction = squared_distances, reduction

    @property
    def counts_triplets(self) -> bool:
        """See `Loss.counts_triplets`."""
        return True

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        positive: str,
        negative: str,
        generator: torch.Generator | Draws | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """See `Loss.forward`."""
        self.check(positive, negative)
        alpha = expand("alpha", self.alpha.to(embeddings), len(embeddings))
        tuples = select(
            embeddings,
            labels,
            positive=positive,
            negative=negative,
            generator=generator,
            alpha=alpha,
            squared=self.squared_distances,
            memory=memory,
        )
        return self.of_tuples(tuples, alpha, labels)

    @abc.abstractmethod
    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """Loss of each run, shape (R,), from its tuples, margins (R,) and labels (R, B)."""


class SimilarityLoss(Loss):
    """Base of the losses on similarities (dot products, or cosines) of tuples; policies choose by Euclidean distance.

    Parameters
    ----------
    cosine : bool
        Normalise the embeddings first; similarities are then cosines, and the nearest is the most similar.
    reduction : str
        See `reduce`.
    """

    def __init__(self, *, cosine: bool, reduction: str) -> None:
        super().__init__()
        choice("cosine", cosine, (True, False))
        choice("reduction", reduction, REDUCTIONS)
        self.cosine, self.reduction = cosine, reduction

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        positive: str,
        negative: str,
        generator: torch.Generator | Draws | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """See `Loss.forward`."""
        self.check(positive, negative)
        if self.cosine:
            embeddings = F.normalize(embeddings, dim=-1)
            memory = memory and Memory(F.normalize(memory.embeddings, dim=-1), memory.labels)
        return self.of_similarities(
            select(
                embeddings, labels, positive=positive, negative=negative, generator=generator, dot=True, memory=memory
            )
        )

    @abc.abstractmethod
    def of_similarities(self, tuples: Tuples) -> Tensor:
        """Loss of each run, shape (R,), from tuples whose ``d_ap``, ``d_an`` hold similarities."""


class ProxyLoss(Loss):
    """Base of the losses on learnt class vectors (weights, proxies, centres): there are no pairs to choose.

    Parameters
    ----------
    runs, classes, dim : int
        R, number of labels t, embedding dimension m.
    keys : sequence of R run keys, optional
        Whose streams initialise the class vectors; default 0 to R - 1.
    centres : int
        Class vectors a class.
    """

    proxies: nn.Parameter

    def __init__(
        self,
        *,
        runs: int | None,
        classes: int | None,
        dim: int | None,
        keys: Sequence[object] | None,
        centres: int = 1,
    ) -> None:
        super().__init__()
        runs, classes, dim = (integer(k, v, 1) for k, v in (("runs", runs), ("classes", classes), ("dim", dim)))
        self.classes, self.centres = classes, integer("centres", centres, 1)
        shape = (classes * centres, dim)
        keys = range(runs) if keys is None else keys
        drawn = [stream(key, "init proxies").standard_normal(shape, dtype=np.float32) for key in keys]
        self.proxies = nn.Parameter(F.normalize(torch.from_numpy(np.stack(drawn)), dim=-1))

    def check(self, positive: str, negative: str) -> None:
        """Refuse all policies but ``all``: samples meet class vectors, not one another.

        Raises
        ------
        InvalidInput
        """
        check_pair(positive, negative)
        for side, policy in (("positive", positive), ("negative", negative)):
            if policy != "all":
                raise InvalidInput(side, policy, "all with a loss on class vectors, which chooses no pairs")

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        positive: str = "all",
        negative: str = "all",
        generator: torch.Generator | Draws | None = None,
        memory: Memory | None = None,
    ) -> Tensor:
        """See `Loss.forward`."""
        self.check(positive, negative)
        if embeddings.dim() != 3 or labels.shape != embeddings.shape[:2]:
            raise InvalidInput(
                "labels", tuple(labels.shape), f"(R, B) of embeddings (R, B, m) {tuple(embeddings.shape)}"
            )
        if int(labels.max()) >= self.classes:
            raise InvalidInput("labels", int(labels.max()), f"less than the number of classes, {self.classes}")
        return self.of_proxies(embeddings, labels)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosines between embeddings (R, B, m) and class vectors, (R, B, t * centres)."""
        return F.normalize(embeddings, dim=-1) @ F.normalize(self.proxies, dim=-1).mT

    @abc.abstractmethod
    def of_proxies(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Loss of each run, shape (R,)."""


def per_run(field: str, value: float | Tensor, above: float = -torch.inf) -> Tensor:
    """A parameter as a float tensor of shape () or (R,), checked to be finite and greater than ``above``."""
    if not isinstance(value, Tensor):
        tensor = torch.tensor(number(field, value, "a finite number", lambda _: True), dtype=torch.float64)
    else:
        tensor = value
    if tensor.dim() > 1 or not torch.isfinite(tensor).all() or not (tensor > above).all():
        bound = f" > {above:g}" if above > -torch.inf else ""
        raise InvalidInput(field, tensor.tolist(), f"a finite number{bound}, or one for each run")
    return tensor


def expand(field: str, tensor: Tensor, runs: int) -> Tensor:
    """A parameter of shape () or (R,) as (R,)."""
    if tensor.dim() == 1 and len(tensor) != runs:
        raise InvalidInput(field, tuple(tensor.shape), f"one number, or one for each of the {runs} runs")
    return tensor.expand(runs)


def masked_logsumexp(values: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """log sum exp over masked entries; a row without any gives a huge negative number with a zero gradient, never NaN."""
    return values.masked_fill(~mask, torch.finfo(values.dtype).min / 4).logsumexp(dim)
