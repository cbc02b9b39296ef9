"""The compiled step of a trainer: whether there is one, and its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sim import kernels, optim
from sim.compiled import has_fma
from sim.fused import net as nets
from sim.fused import pairs
from sim.fused.step import ADAM, SGD, advance
from sim.fused.terms import Terms
from sim.kernels import Choice
from sim.labels import Labels
from sim.losses import Loss
from sim.nets.base import ACTIVATIONS as FUNCTIONS
from sim.nets.mlp import MLP, Linear

if TYPE_CHECKING:
    from sim.training import Trainer

LARGEST_LISTED = kernels.BRUTE_FORCE_UP_TO
"""Batch size up to which all pairs are listed and compared with one another; beyond it sorting, as the tensor program does, is faster."""


def terms_of(loss: Loss) -> Terms | None:
    """The loss's own `terms`: those of a class that it is derived from may be of another loss."""
    return loss.terms() if "terms" in vars(type(loss)) and loss.weighting is None else None


def why_not(trainer: Trainer) -> str:
    """Why a trainer's runs train as tensor programs; empty if the compiled step takes them.

    Examples
    --------
    >>> from sim.config import Net, RunConfig
    >>> from sim.problems import build
    >>> from sim.training import Trainer
    >>> config = RunConfig(net=Net(kind="table"), evaluate=("train",))
    >>> why_not(Trainer([config], [build("rings", 0, samples_per_mode=40)]))
    'the net is no fully connected one'
    """
    first, sampling = trainer.first, trainer.sampling
    kinds = (sampling.positive.kernel, sampling.negative.kernel)
    size = trainer.batches.size
    reasons = {
        "Numba isn't installed": not kernels.AVAILABLE,
        "the processor has no fused multiply-add of vectors": kernels.AVAILABLE and not has_fma(),
        f"the device is {trainer.device.type}": trainer.device.type != "cpu",
        "the net is no fully connected one": type(trainer.net) not in (MLP, Linear),
        f"the loss {first.loss.name} has no compiled form with these parameters": terms_of(trainer.loss) is None,
        f"the positives {first.positive} or negatives {first.negative} have no compiled form": None in kinds,
        f"a batch of {size} has too many pairs": Choice.ALL in kinds and size > LARGEST_LISTED,
        f"the optimizer {first.optimizer.name} has no compiled form": type(trainer.optimizer)
        not in (optim.Adam, optim.SGD),
        "labels are drawn in another way": type(trainer.labels) is not Labels,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array


class Program:
    """The compiled step of a trainer's runs.

    Parameters
    ----------
    trainer : Trainer
        One of which `why_not` has nothing to say.
    check_every : int
        Steps between two looks for diverged runs.

    Examples
    --------
    Three steps change the parameters as three of the tensor program do.

    >>> from sim.config import RunConfig
    >>> from sim.problems import build
    >>> from sim.training import Trainer
    >>> problem = build("rings", 0, samples_per_mode=40)
    >>> fused, plain = (Trainer([RunConfig()], [problem]) for _ in range(2))
    >>> losses = Program(fused, 25).advance(3)
    >>> for _ in range(3):
    ...     plain.step()
    >>> bool(torch.allclose(fused.net.weights[0], plain.net.weights[0], atol=1e-5))
    True
    """

    def __init__(self, trainer: Trainer, check_every: int) -> None:
        self.trainer, self._check_every = trainer, check_every
        net, loss, labels, split = trainer.net, trainer.loss, trainer.labels, trainer.splits["train"]
        assert isinstance(net, MLP)
        terms = terms_of(loss)
        assert terms is not None
        runs = len(trainer.configs)
        real = "float32" if trainer.dtype == torch.float32 else "float64"
        stages = (
            nets.forward,
            nets.normalise,
            pairs.find,
            terms.kernel,
            pairs.back,
            nets.back_through_norm,
            nets.backward,
        )
        self._stages = [stage.of(real) for stage in stages]
        self._words = np.zeros(0, np.int32 if real == "float32" else np.int64)
        layers = [p for pair in zip(net.weights, net.biases, strict=True) for p in pair]
        learnt = list(loss.parameters())
        place = {id(p): k for k, p in enumerate(trainer.parameters)}
        self._order = [place[id(p)] for p in (*layers, *learnt)]
        name = next(n for n, function in FUNCTIONS.items() if function is net.activation)
        kinds = (trainer.sampling.positive.kernel, trainer.sampling.negative.kernel)
        self._positive, self._negative = (Choice(kind) for kind in kinds if kind is not None)
        self._sizes = np.array([net.weights[0].shape[1], *(w.shape[2] for w in net.weights)], dtype=np.int64)
        self._codes = np.array(
            [
                nets.ACTIVATIONS[name],
                net.normalize,
                terms.cosine,
                self._positive,
                self._negative,
                terms.value,
                sum(p[0].numel() for p in learnt),
            ],
            dtype=np.int64,
        )
        self._options = np.array(terms.options, dtype=np.int64)
        columns = [p.detach().to(trainer.dtype).expand(runs) for p in terms.parameters]
        self._parameters = _array(torch.stack(columns, 1))  # (R, parameters)
        self._inputs = _array(split.x.reshape(len(split.x), -1))
        self._first_row = _array(split.problem * split.n)
        self._fresh = labels.flipped is None
        self._classes = _array(labels.classes if labels.flipped is None else labels.flipped)
        none = torch.zeros(1, 1, dtype=trainer.dtype), torch.zeros(runs, dtype=torch.int64)
        table, rows = (labels.probabilities, labels.first_row) if labels.flipped is None else none
        self._probabilities, self._first_probability = _array(table), _array(rows)
        self._stopped = np.full(runs, -1)

    def advance(self, steps: int) -> Tensor:
        """Advance all runs; their losses (steps, R)."""
        trainer = self.trainer
        optimizer = trainer.optimizer
        runs, size = len(trainer.configs), trainer.batches.size
        tables = [[tensors[k] for k in self._order] for tensors in (optimizer.parameters, *self._moments())]
        # Compiled code is told where they begin.
        assert all(t.is_contiguous() for tensors in tables for t in tensors)
        addresses = np.array([[t.data_ptr() for t in tensors] for tensors in (*tables, tables[-1])[:3]])
        counts = np.array([t[0].numel() for t in tables[0]])
        index = _array(trainer.batches.take(steps))
        draws = trainer.draws

        def uniforms(wanted: bool, purpose: str, *shape: int) -> np.ndarray:
            if not wanted:
                return np.zeros((steps, runs, size), np.float32)
            drawn: np.ndarray = draws.take(purpose, steps, (runs, *shape)).numpy()
            return drawn.reshape(steps, runs, -1)

        u_flip, v_flip = (uniforms(self._fresh, purpose, size) for purpose in ("flip", "flip to"))
        u_pos = uniforms(self._positive == Choice.RANDOM, "positive", size, 1)
        slots = size if self._positive == Choice.ALL else 1
        u_neg = uniforms(self._negative in (Choice.RANDOM, Choice.DISTANCE_WEIGHTED), "negative", size, slots)
        taken = optimizer.steps
        numbers = np.arange(taken + 1, taken + steps + 1)
        b1, b2 = optim.Adam.betas
        is_adam = type(optimizer) is optim.Adam
        constants = (b1, b2, optim.Adam.epsilon) if is_adam else (optim.SGD.momentum, 0.0, 0.0)
        total = trainer.first.steps
        factors = [optim.schedule(trainer.first.optimizer.schedule, (trainer.steps + k) / total) for k in range(steps)]
        rate = torch.stack([optimizer.lr[self._order[k]].flatten() for k in (0, -1)], 1)  # (R, 2)
        losses = np.zeros((steps, runs), self._inputs.dtype)
        totals = trainer.meter.total.numpy()  # changed in place
        kernels.over_runs(
            advance,
            runs,
            *self._stages,
            self._words,
            addresses,
            counts,
            self._sizes,
            self._codes,
            self._options,
            self._parameters,
            self._inputs,
            self._first_row,
            index,
            self._classes,
            self._fresh,
            self._probabilities,
            self._first_probability,
            u_flip,
            v_flip,
            u_pos,
            u_neg,
            ADAM if is_adam else SGD,
            np.array(constants),
            np.array(factors, dtype=np.float64),
            np.stack([1 - b1**numbers, 1 - b2**numbers], 1),
            _array(rate),
            _array(optimizer.decay[0].flatten()),
            trainer.steps,
            self._check_every,
            losses,
            totals,
            self._stopped,
        )
        trainer.steps += steps
        optimizer.steps += steps
        trainer.meter.steps += steps
        for r in np.flatnonzero(self._stopped >= 0):
            trainer.drop(int(r), int(self._stopped[r]))
        return torch.from_numpy(losses)

    def _moments(self) -> Sequence[Sequence[Tensor]]:
        optimizer = self.trainer.optimizer
        return (optimizer.first, optimizer.second) if isinstance(optimizer, optim.Adam) else (optimizer.moments,)
