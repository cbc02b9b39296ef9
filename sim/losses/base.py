"""What every loss is: a module called on R batches at once that gives R numbers."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from sim.errors import InvalidInput, choice, number
from sim.registry import Registry
from sim.samplers import NEGATIVES, Draws, Tuples, check_pair, select

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
    return total / divisor.clamp_min(1)


class TupleLoss(nn.Module, abc.ABC):
    """Base of the losses on (anchor, positive, negative) tuples.

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
    """Parameters that may differ between the runs of one batch (given as tensors of shape (R,))."""

    alpha: Tensor

    def __init__(self, *, alpha: float | Tensor, squared_distances: bool, reduction: str) -> None:
        super().__init__()
        self.register_buffer("alpha", per_run("alpha", alpha, above=0.0))
        choice("reduction", reduction, REDUCTIONS)
        choice("squared_distances", squared_distances, (True, False))
        self.squared_distances, self.reduction = squared_distances, reduction

    @property
    def counts_triplets(self) -> bool:
        """Whether a pair counts once for each triplet it stands in; if not, sets of triplets mean nothing to the loss."""
        return True

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

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        positive: str,
        negative: str,
        generator: torch.Generator | Draws | None = None,
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

        Returns
        -------
        Tensor, shape (R,)
        """
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
        )
        return self.of_tuples(tuples, alpha, labels)

    @abc.abstractmethod
    def of_tuples(self, tuples: Tuples, alpha: Tensor, labels: Tensor) -> Tensor:
        """Loss of each run, shape (R,), from its tuples, margins (R,) and labels (R, B)."""


LOSSES: Registry[type[TupleLoss]] = Registry("loss")


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
