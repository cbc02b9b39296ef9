"""Optimisers with a run axis: every parameter has shape (R, ...), every run its own learning rate.

torch.optim has one learning rate for a tensor; sweeps over learning rates, and freezing one diverged run among many,
need one for each slice along the first axis.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sim import kernels
from sim.catalogue import OPTIMIZERS, SCHEDULES


class Optimizer(abc.ABC):
    """Base of the optimisers.

    Parameters
    ----------
    parameters : sequence of leaf Tensors, each (R, ...)
    lr : sequence of Tensors (R,)
        Learning rates of each parameter.
    weight_decay : Tensor (R,)
        Decoupled weight decay (Loshchilov & Hutter 2019): parameters shrink by lr * weight_decay a step.

    Examples
    --------
    Two runs, the second with a tenth of the rate; then the first is frozen.

    >>> weights = torch.ones(2, 3, dtype=torch.float64)
    >>> optimizer = Adam([weights], [torch.tensor([0.1, 0.01])], torch.zeros(2))
    >>> optimizer.step([torch.ones_like(weights)], factor=1.0)
    >>> weights[:, 0].numpy().round(3).tolist()
    [0.9, 0.99]
    >>> optimizer.freeze(0)
    >>> optimizer.step([torch.ones_like(weights)], factor=1.0)
    >>> weights[:, 0].numpy().round(3).tolist()
    [0.0, 0.98]
    """

    def __init__(self, parameters: Sequence[Tensor], lr: Sequence[Tensor], weight_decay: Tensor) -> None:
        self.parameters = list(parameters)
        self.lr = [_along_runs(rate, p) for rate, p in zip(lr, parameters, strict=True)]
        self.decay = [_along_runs(weight_decay, p) for p in parameters]
        self._decays = bool((weight_decay != 0).any())
        self.moments: list[Tensor] = []
        self.steps = 0

    def zeros(self) -> list[Tensor]:
        """A running moment for every parameter, starting at zero."""
        moments = [torch.zeros_like(p) for p in self.parameters]
        self.moments += moments
        return moments

    @torch.no_grad()
    def freeze(self, run: int) -> None:
        """Put one run's parameters and moments to zero and stop it there, so that it can't meet a NaN again."""
        for tensor in (*self.parameters, *self.moments, *self.lr):
            tensor[run] = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], factor: float) -> None:
        """Advance all runs by one step with learning rates ``factor * lr``."""
        self.steps += 1
        for i, (parameter, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
            rate = self.lr[i] * factor
            if self._decays:
                parameter.mul_(1 - rate * self.decay[i])
            self.update(i, parameter, gradient, rate)

    @abc.abstractmethod
    def update(self, i: int, parameter: Tensor, gradient: Tensor, rate: Tensor) -> None:
        """Change parameter number ``i`` in place."""


def _along_runs(values: Tensor, parameter: Tensor) -> Tensor:
    """(R,) -> (R, 1, ...), of as many dimensions as the parameter."""
    return values.to(parameter).view(-1, *[1] * (parameter.dim() - 1))


@OPTIMIZERS.register("sgd")
class SGD(Optimizer):
    """Stochastic gradient descent with momentum 0.9 (Polyak).

    Examples
    --------
    >>> weights = torch.zeros(1, 1)
    >>> optimizer = SGD([weights], [torch.tensor([1.0])], torch.zeros(1))
    >>> for _ in range(2):
    ...     optimizer.step([torch.ones(1, 1)], factor=1.0)
    >>> round(weights.item(), 3)  # 1, then 1 + 0.9
    -2.9
    """

    momentum = 0.9

    def __init__(self, parameters: Sequence[Tensor], lr: Sequence[Tensor], weight_decay: Tensor) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.velocity = self.zeros()

    def update(self, i: int, parameter: Tensor, gradient: Tensor, rate: Tensor) -> None:
        """See `Optimizer.update`."""
        velocity = self.velocity[i].mul_(self.momentum).add_(gradient)
        parameter.sub_(rate * velocity)


@OPTIMIZERS.register("adam")
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), beta = (0.9, 0.999), epsilon = 1e-8; equals torch.optim.AdamW.

    Examples
    --------
    The first step is as long as the rate, whatever the gradient.

    >>> weights = torch.zeros(1, 2, dtype=torch.float64)
    >>> optimizer = Adam([weights], [torch.tensor([0.1])], torch.zeros(1))
    >>> optimizer.step([torch.tensor([[3.0, -200.0]]).double()], factor=1.0)
    >>> weights.numpy().round(6).tolist()
    [[-0.1, 0.1]]
    """

    betas, epsilon = (0.9, 0.999), 1e-8

    def __init__(self, parameters: Sequence[Tensor], lr: Sequence[Tensor], weight_decay: Tensor) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.first, self.second = self.zeros(), self.zeros()

    def update(self, i: int, parameter: Tensor, gradient: Tensor, rate: Tensor) -> None:
        """See `Optimizer.update`."""
        b1, b2 = self.betas
        if kernels.usable(parameter):
            unbiased = rate.flatten() / (1 - b1**self.steps)  # (R,)
            kernels.adam(
                parameter,
                gradient,
                self.first[i],
                self.second[i],
                unbiased,
                self.betas,
                1 - b2**self.steps,
                self.epsilon,
            )
            return
        first = self.first[i].lerp_(gradient, 1 - b1)
        second = self.second[i].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        scale = second.sqrt().div_(math.sqrt(1 - b2**self.steps)).add_(self.epsilon)
        parameter.sub_(first.div(scale).mul_(rate / (1 - b1**self.steps)))


@SCHEDULES.register("constant")
def constant(progress: float) -> float:
    """The learning rate stays.

    Examples
    --------
    >>> constant(0.5)
    1.0
    """
    return 1.0


@SCHEDULES.register("cosine")
def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 over the training (Loshchilov & Hutter 2017).

    Examples
    --------
    >>> [round(cosine(progress), 3) for progress in (0, 0.25, 0.5)]
    [1.0, 0.854, 0.5]
    """
    return 0.5 * (1 + math.cos(math.pi * progress))


@SCHEDULES.register("step")
def step(progress: float) -> float:
    """Divided by ten after half and after three quarters of the training.

    Examples
    --------
    >>> [round(step(progress), 3) for progress in (0.4, 0.5, 0.8)]
    [1.0, 0.1, 0.01]
    """
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def schedule(name: str, progress: float) -> float:
    """Factor on the learning rate at ``progress`` in [0, 1) of the training.

    Examples
    --------
    >>> round(schedule("cosine", 0.5), 6), schedule("constant", 0.9)
    (0.5, 1.0)
    """
    return SCHEDULES[name](progress)
