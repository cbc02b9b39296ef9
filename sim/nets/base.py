"""What all nets share: normalisation of the embeddings, initial values, activations."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sim.errors import choice, integer
from sim.streams import stream

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    # In place: the layer before leaves a fresh tensor and needs it no more.
    "relu": torch.relu_,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "softplus": F.softplus,
}


class Net(nn.Module, abc.ABC):
    """Base of the nets.

    Parameters
    ----------
    dim : int
        Embedding dimension m >= 1.
    normalize : bool
        Put embeddings on the unit sphere (L2 normalisation).
    """

    def __init__(self, *, dim: int, normalize: bool) -> None:
        super().__init__()
        self.dim, self.normalize = integer("net.dim", dim, 1), normalize

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Embed samples.

        Parameters
        ----------
        x : Tensor, shape (R, B, ...)
            Inputs.
        index : Tensor, shape (R, B), int64
            Positions of the samples in their data set (what a table of free positions looks up).

        Returns
        -------
        Tensor, shape (R, B, m)
        """
        embeddings = self.embed(x, index)
        return F.normalize(embeddings, dim=-1) if self.normalize else embeddings

    @abc.abstractmethod
    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """Embeddings before normalisation."""


def initial(keys: Sequence[object], name: str, shape: tuple[int, ...], bound: float) -> nn.Parameter:
    """R arrays of the shape, uniform in [-bound, bound], each from its run's own stream."""
    drawn = [stream(key, f"init {name}").random(shape, dtype=np.float32) for key in keys]
    return nn.Parameter(torch.from_numpy(np.stack(drawn)).mul_(2 * bound).sub_(bound))


def fan_in_bound(fan_in: int) -> float:
    """He et al. (2015) for ReLU: variance 2 / fan_in."""
    return math.sqrt(6 / fan_in)


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    choice("net.params.activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
