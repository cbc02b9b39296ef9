"""What every loss is: a module called on R batches at once that gives R numbers."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sim.catalogue import NEGATIVES
from sim.errors import InvalidInput, choice, integer, number
from sim.fused.terms import Terms
from sim.losses.weighting import Weighting
from sim.samplers import Draws, Memory, Sampling, Tuples, checked_batch, resolve, select_tuples
from sim.streams import stream


class Setting(NamedTuple):
    """What decides, beside its parameters, whether a loss is another one, too (`sim.losses.equal`).

    Attributes
    ----------
    one_positive, one_negative : bool
        An anchor has one positive; one negative.
    unit : bool
        Embeddings lie on the unit sphere.
    """

    one_positive: bool
    one_negative: bool
    unit: bool


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

    Examples
    --------
    Two runs; the second one has no term.

    >>> total, active, count = torch.tensor([6.0, 0.0]), torch.tensor([2, 0]), torch.tensor([3, 0])
    >>> reduce(total, active, count, "avg_nonzero").tolist(), reduce(total, active, count, "mean").tolist()
    ([3.0, 0.0], [2.0, 0.0])
    """
    if reduction == "sum":
        return total
    divisor = active if reduction == "avg_nonzero" else count
    return total / torch.where(divisor > 0, divisor, 1)


class Loss(nn.Module, abc.ABC):
    """Base of all losses.

    A loss is called with the names of policies, which are then looked up and checked together with the batch (`forward`), or with a
    `Sampling` that was resolved once (`of_batch`), as at every step of a training.

    Examples
    --------
    >>> class Spread(Loss):
    ...     def compute(self, embeddings, labels, sampling):
    ...         return embeddings.var(1).sum(-1)
    >>> Spread()(torch.tensor([[[0.0], [2.0]]]), torch.tensor([[0, 1]]))
    tensor([2.])
    """

    per_run: tuple[str, ...] = ()
    """Parameters that may differ between the runs of one batch (given as tensors of shape (R,))."""

    weighable = False
    """Whether the loss is a sum over tuples that a `weighting` may weigh."""

    of_classes = False
    """Whether its tuples are (sample, class) pairs: the softmax family."""

    counts_triplets = False
    """Whether a pair counts once for each triplet it stands in; if not, sets of triplets mean nothing to the loss."""

    published_negative = "semihard"
    """The negative policy that it was published with."""

    takes_only_all = ""
    """Why the loss takes no policy but ``all`` on either side; empty: it takes others."""

    title = ""
    """What figures call it; empty: its name."""

    classes: int | None = None
    """Number of labels t, where the loss holds something for each of them."""

    reduction: str = "mean"
    weighting: Weighting | None = None
    """Given to `make`."""

    _progress = 0.0

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """Another loss, and its parameters, that this one is by construction; itself where there is none (`sim.losses.equal`).

        Parameters
        ----------
        name, params
            What this loss is registered as, and all its parameters.
        setting : Setting
        """
        return name, params

    @classmethod
    def weighed_by(cls, weighting: Weighting) -> bool:
        """Whether it has the tuples that a weighting weighs."""
        return cls.weighable and (cls.of_classes or not weighting.of_classes)

    def terms(self) -> Terms | None:
        """The loss for the compiled step (`sim.fused`); None: it trains as a tensor program. A subclass has to say it anew."""
        return None

    def weights(self, terms: Tensor, mask: Tensor) -> Tensor:
        """Weight of every tuple, >= 0 and without a gradient; 1 without a weighting. Shapes (R, ...)."""
        if self.weighting is None:
            return mask
        return self.weighting.weights(terms.detach(), mask, self._progress)

    def reduced(self, terms: Tensor, mask: Tensor) -> Tensor:
        """The weighed tuples' `reduce`: (R, ...), (R, ...) -> (R,)."""
        weights = self.weights(terms, mask)
        total, active = ((t * weights).flatten(1).sum(1) for t in (terms, terms > 0))
        return reduce(total, active, weights.flatten(1).sum(1), self.reduction)

    def sampling(
        self,
        positive: str,
        negative: str,
        generator: torch.Generator | Draws | None = None,
        memory: Memory | None = None,
    ) -> Sampling:
        """Look up two policies; refuse those that make no sense together or with this loss.

        Raises
        ------
        InvalidInput
        """
        found = resolve(positive, negative, generator, memory)
        for side, policy in (("positive", positive), ("negative", negative)):
            if self.takes_only_all and policy != "all":
                raise InvalidInput(side, policy, f"all {self.takes_only_all}")
        if found.negative.windowed and not self.counts_triplets:
            allowed = ", ".join(n for n in NEGATIVES if not NEGATIVES[n].windowed)
            raise InvalidInput("negative", negative, f"one of {allowed} with a loss that counts pairs, not triplets")
        return found

    def learnt(self) -> dict[str, Tensor]:
        """Numbers that the loss learns and that a reader wants to see, by name; shapes (R,)."""
        return {}

    def parameter(self, name: str, value: float | Tensor, above: float = -torch.inf) -> None:
        """Declare a number that may differ between runs: checked to be finite and greater than ``above``, kept as a buffer."""
        self.register_buffer(name, per_run(name, value, above))

    def column(self, name: str, like: Tensor) -> Tensor:
        """A parameter as (R, 1, 1) with ``like``'s dtype and device."""
        return expand(name, getattr(self, name).to(like), len(like)).view(-1, 1, 1)

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
        """Loss of each run.

        Parameters
        ----------
        embeddings : Tensor, shape (R, B, m), floating
            Half precision is computed in float32; what a loss learns is taken in the embeddings' dtype.
        labels : Tensor, shape (R, B), whole numbers >= 0
            Below the number of classes in a loss that learns something of each.
        positive, negative : str
            Policies, see `sim.samplers`.
        generator : torch.Generator or Draws, optional
            Needed by the random policies.
        memory : Memory, optional
            Needed by the negative policy ``memory``.

        Returns
        -------
        Tensor, shape (R,), dtype of ``embeddings``

        Raises
        ------
        InvalidInput
            See `sampling` and `sim.samplers.checked_batch`; also if a random policy has no generator.
        """
        x, y, memory = checked_batch(embeddings, labels, memory, classes=self.classes)
        return self.of_batch(x, y, self.sampling(positive, negative, generator, memory)).to(embeddings.dtype)

    def of_batch(self, embeddings: Tensor, labels: Tensor, sampling: Sampling, progress: float = 0.0) -> Tensor:
        """Loss of each run under resolved policies; nothing is looked up, and the batch is not checked.

        Parameters
        ----------
        embeddings, labels
            See `forward`.
        sampling : Sampling
            Of `Loss.sampling`.
        progress : float
            Share of the training that is over, in [0, 1]; some weightings change with it.
        """
        self._progress = progress
        return self.compute(embeddings, labels, sampling)

    @abc.abstractmethod
    def compute(self, embeddings: Tensor, labels: Tensor, sampling: Sampling) -> Tensor:
        """What a loss is: (R, B, m), (R, B) -> (R,)."""


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

    Examples
    --------
    >>> class Pull(TupleLoss):
    ...     def of_tuples(self, tuples, alpha, labels):
    ...         return self.reduced(tuples.positive, tuples.pos_mask)
    >>> loss = Pull(alpha=1.0, squared_distances=False, reduction="mean")
    >>> loss(torch.tensor([[[0.0], [2.0], [3.0]]]), torch.tensor([[0, 0, 1]]), positive="easy", negative="all")
    tensor([2.])
    """

    per_run: tuple[str, ...] = ("alpha",)
    alpha: Tensor

    def __init__(self, *, alpha: float | Tensor, squared_distances: bool, reduction: str) -> None:
        super().__init__()
        self.parameter("alpha", alpha, above=0.0)
        choice("reduction", reduction, REDUCTIONS)
        choice("squared_distances", squared_distances, (True, False))
        self.squared_distances, self.reduction = squared_distances, reduction

    def compute(self, embeddings: Tensor, labels: Tensor, sampling: Sampling) -> Tensor:
        """See `Loss.compute`."""
        alpha = expand("alpha", self.alpha.to(embeddings), len(embeddings))  # (R,)
        tuples = select_tuples(embeddings, labels, sampling, alpha=alpha, squared=self.squared_distances)
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

    Examples
    --------
    >>> class Dissimilar(SimilarityLoss):
    ...     def of_similarities(self, tuples):
    ...         return self.reduced(1 - tuples.positive, tuples.pos_mask)
    >>> loss = Dissimilar(cosine=True, reduction="mean")
    >>> loss(torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[0, 0]]), positive="easy")
    tensor([1.])
    """

    published_negative = "all"

    def __init__(self, *, cosine: bool, reduction: str) -> None:
        super().__init__()
        choice("cosine", cosine, (True, False))
        choice("reduction", reduction, REDUCTIONS)
        self.cosine, self.reduction = cosine, reduction

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """On the sphere dot products are cosines."""
        return name, {**params, "cosine": True} if setting.unit else params

    def compute(self, embeddings: Tensor, labels: Tensor, sampling: Sampling) -> Tensor:
        """See `Loss.compute`."""
        if self.cosine:
            embeddings = F.normalize(embeddings, dim=-1)
            if sampling.memory is not None:
                stored = F.normalize(sampling.memory.embeddings, dim=-1)  # (R, Q, m)
                sampling = replace(sampling, memory=Memory(stored, sampling.memory.labels))
        return self.of_similarities(select_tuples(embeddings, labels, sampling, dot=True))

    @abc.abstractmethod
    def of_similarities(self, tuples: Tuples) -> Tensor:
        """Loss of each run, shape (R,), from tuples that hold similarities."""


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

    Examples
    --------
    >>> class FromProxies(ProxyLoss):
    ...     def of_proxies(self, embeddings, labels):
    ...         return (1 - self.cosines(embeddings))[self.own_class(labels)].view(labels.shape).mean(-1)
    >>> loss = FromProxies(runs=1, classes=2, dim=3, keys=None)
    >>> abs(loss(loss.proxies.detach(), torch.tensor([[0, 1]])).item()) < 1e-6
    True
    """

    published_negative = "all"
    takes_only_all = "with a loss on class vectors, which chooses no pairs: samples meet class vectors, not one another"
    classes: int
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
        self.proxies = nn.Parameter(F.normalize(torch.from_numpy(np.stack(drawn)), dim=-1))  # (R, t * centres, m)

    def compute(self, embeddings: Tensor, labels: Tensor, sampling: Sampling) -> Tensor:
        """See `Loss.compute`."""
        return self.of_proxies(embeddings, labels)

    def own_class(self, labels: Tensor) -> Tensor:
        """Which class is a sample's: (R, B) -> bool (R, B, t)."""
        return labels.unsqueeze(-1) == torch.arange(self.classes, device=labels.device)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosines between embeddings (R, B, m) and class vectors, (R, B, t * centres)."""
        return F.normalize(embeddings, dim=-1) @ F.normalize(self.proxies.to(embeddings), dim=-1).mT

    @abc.abstractmethod
    def of_proxies(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Loss of each run, shape (R,)."""


def per_run(field: str, value: float | Tensor, above: float = -torch.inf) -> Tensor:
    """A parameter as a float tensor of shape () or (R,), checked to be finite and greater than ``above``.

    Examples
    --------
    >>> per_run("alpha", 0.2, above=0.0).item()
    0.2
    >>> per_run("alpha", -1.0, above=0.0)
    Traceback (most recent call last):
    sim.errors.InvalidInput: alpha: got -1.0; allowed: a finite number > 0, or one for each run
    """
    if not isinstance(value, Tensor):
        tensor = torch.tensor(number(field, value, "a finite number", lambda _: True), dtype=torch.float64)
    else:
        tensor = value
    if tensor.dim() > 1 or not torch.isfinite(tensor).all() or not (tensor > above).all():
        bound = f" > {above:g}" if above > -torch.inf else ""
        raise InvalidInput(field, tensor.tolist(), f"a finite number{bound}, or one for each run")
    return tensor


def expand(field: str, tensor: Tensor, runs: int) -> Tensor:
    """A parameter of shape () or (R,) as (R,).

    Examples
    --------
    >>> expand("alpha", torch.tensor(0.5), 2).tolist()
    [0.5, 0.5]
    """
    if tensor.dim() == 1 and len(tensor) != runs:
        raise InvalidInput(field, tuple(tensor.shape), f"one number, or one for each of the {runs} runs")
    return tensor.expand(runs)


def masked_logsumexp(values: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """log sum exp over masked entries; a row without any gives a huge negative number with a zero gradient, never NaN.

    Examples
    --------
    >>> values, mask = torch.zeros(2, 3), torch.tensor([[True, True, False], [False, False, False]])
    >>> found = masked_logsumexp(values, mask)
    >>> round(found[0].item(), 4), found[1].item() < -1e30
    (0.6931, True)
    """
    return values.masked_fill(~mask, torch.finfo(values.dtype).min / 4).logsumexp(dim)
