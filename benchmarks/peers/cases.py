"""The comparisons, what every side of one starts from, and this package's side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from sim.config import RunConfig, parse
from sim.problems import build
from sim.training import Trainer

ALPHA, RATE, TEMPERATURE = 0.2, 1e-3, 0.1
SHARP_POSITIVE, SHARP_NEGATIVE, BASE = 2.0, 50.0, 0.5
"""Of multi-similarity: alpha, beta, base."""
CUTOFF, NO_LOSS_FROM = 0.5, 1.4
"""Of distance-weighted negatives: distances below the first count as it; from the second on negatives aren't drawn."""


@dataclass(frozen=True)
class Case:
    """One comparison: a loss with its policies, the batch size, and how many runs train together.

    Attributes
    ----------
    title : str
    positive, negative, loss, batch, normalize, width
        Of the runs' configuration.
    runs : int
    aims : tuple of (side, number)
        How many times as fast as a side this package aims to be.
    """

    title: str
    positive: str
    negative: str
    loss: str = "triplet"
    batch: int = 64
    runs: int = 256
    normalize: bool = False
    width: int = 64
    aims: tuple[tuple[str, float], ...] = ()

    @property
    def block(self) -> int:
        """Steps between two looks at the clock: 30 of a batch of 64, fewer of larger ones."""
        return max(1, 30 * 64**2 // self.batch**2)


OURS, LOOP, LOOPS, BATCHED, VMAP, JAX = "ours", "loop", "a loop a core", "batched by hand", "torch.func.vmap", "JAX"
"""The sides."""

CASES = {
    "eps": Case("EPS + semi-hard, triplet", "easy", "semihard", aims=((LOOP, 40.0), (LOOPS, 20.0), (JAX, 3.0))),
    "hard": Case("batch-hard, triplet", "hard", "hard"),
    "all": Case("all triplets", "all", "all", aims=((LOOP, 40.0),)),
    "all512": Case("all triplets", "all", "all", batch=512, runs=8),
    "weighted": Case("distance-weighted, triplet", "all", "distance_weighted", normalize=True, aims=((LOOP, 25.0),)),
    "supcon": Case("SupCon", "all", "all", "supcon", normalize=True, aims=((LOOP, 25.0),)),
    "ms": Case("multi-similarity", "all", "all", "multi_similarity", normalize=True, aims=((LOOP, 25.0),)),
}
RANDOM, EASY = (Case(f"{p} positives, random negatives", p, "random") for p in ("random", "easy"))


class Side(Protocol):
    """A program that trains runs of a case, one of the competitors.

    Attributes
    ----------
    runs : int
    block : int
        Steps that one `advance` makes.
    """

    runs: int
    block: int

    def restart(self) -> None:
        """Go back to the start, keeping what is compiled."""
        ...

    def advance(self) -> None:
        """`block` steps of every run, draws of batches included; done when it returns."""
        ...


class Peer(Side, Protocol):
    """Another program than this package."""

    def on_batch(self, index: Tensor, labels: Tensor) -> Tensor:
        """One step on given samples (R, B), int64, with labels (R, B); the losses (R,) before it."""
        ...

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings (R, n, 2) of samples (n, 2)."""
        ...


def config(case: Case, **changes: Any) -> RunConfig:
    """Two classes of four modes in the plane, a tenth of the labels flipped once; MLP 2-64-64-2, Adam."""
    fields: dict[str, Any] = {
        "data": {"name": "gaussian_mixture", "params": {"samples_per_mode": max(75, case.batch // 6)}},
        "net": {"dim": 2, "normalize": case.normalize, "params": {"width": case.width, "depth": 2}},
        "loss": {"name": case.loss, "params": {"alpha": ALPHA} if case.loss == "triplet" else {}},
        "positive": case.positive,
        "negative": case.negative,
        "batch": {"per_class": case.batch // 2},
        "noise": {"mode": "static", "level": 0.1},
        "optimizer": {"lr": RATE},
        **changes,
    }
    return parse(RunConfig, fields)


def trainer(case: Case, runs: int, **changes: Any) -> Trainer:
    """The runs of a case, one seed each, on one problem."""
    first = config(case, **changes)
    configs = [first.model_copy(update={"seed": s}) for s in range(runs)]
    return Trainer(configs, [build(first.data.name, 0, **first.data.params)] * runs, ahead=case.block)


@dataclass(frozen=True)
class Start:
    """What all sides begin with.

    Attributes
    ----------
    x : Tensor, shape (n, 2), float32
    labels : Tensor, shape (R, n), int64
        0 and 1, with the noise of each run.
    parameters : list of Tensor
        Weight (R, k, m) and bias (R, 1, m) of each layer, float32.
    """

    x: Tensor
    labels: Tensor
    parameters: list[Tensor]

    @classmethod
    def of(cls, case: Case, runs: int) -> Start:
        """That of this package's own trainer."""
        made = trainer(case, runs)
        net = made.net
        parameters = [p.detach().clone() for pair in zip(net.weights, net.biases, strict=True) for p in pair]
        assert made.labels.flipped is not None
        return cls(made.splits["train"].x, made.labels.flipped, parameters)

    def part(self, runs: slice) -> Start:
        """Some of the runs."""
        return Start(self.x, self.labels[runs], [p[runs] for p in self.parameters])


class Epochs:
    """Balanced batches as a practitioner draws them: each epoch shuffles every label's samples, each batch takes the next of each label.

    Parameters
    ----------
    labels : Tensor, shape (R, n), int64
        0 and 1.
    per_class : int
    """

    def __init__(self, labels: Tensor, per_class: int) -> None:
        self.labels = labels
        ones = labels.sum(1)
        zeros = labels.shape[1] - ones
        self.steps = int(torch.minimum(ones, zeros).min()) // per_class
        # In an epoch's order the samples of label 0 come first.
        starts = torch.stack([torch.zeros_like(zeros), zeros], 1)  # (R, 2)
        self.places = (starts.unsqueeze(-1) + torch.arange(per_class)).flatten(1)  # (R, B)
        self.per_class, self.used = per_class, self.steps

    def next(self) -> Tensor:
        """Positions (R, B)."""
        if self.used == self.steps:
            self.order = (self.labels + torch.rand(self.labels.shape)).argsort(-1)  # (R, n)
            self.used = 0
        index = self.order.gather(1, self.places + self.used * self.per_class)
        self.used += 1
        return index


class Ours:
    """This package."""

    def __init__(self, case: Case, runs: int) -> None:
        self.case, self.runs, self.block = case, runs, case.block
        self.restart()

    def restart(self) -> None:
        """See `Side`."""
        self.trainer = trainer(self.case, self.runs)

    def advance(self) -> None:
        """See `Side`."""
        self.trainer.advance(self.block)
