"""What all nets share: normalisation of the embeddings, initial values, activations."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sim.errors import choice, integer, within_memory
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

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> class Identity(Net):
    ...     def embed(self, x, index):
    ...         return x
    >>> x, index = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[0]])
    >>> [round(v, 3) for v in Identity(dim=2, normalize=True)(x, index).flatten().tolist()]
    [0.6, 0.8]
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
        embeddings = self.embed(x, index)  # (R, B, m)
        return F.normalize(embeddings, dim=-1) if self.normalize else embeddings

    @abc.abstractmethod
    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """Embeddings (R, B, m) before normalisation."""


def initial(keys: Sequence[object], name: str, shape: tuple[int, ...], bound: float) -> nn.Parameter:
    """R arrays of the shape, uniform in [-bound, bound], each from its run's own stream.

    Parameters
    ----------
    keys : sequence of R run keys
    name : str
        What is drawn; parameters of different names are independent.
    shape : tuple of int
        Of one run's parameter.
    bound : float

    Returns
    -------
    Parameter, shape (R, *shape), float32

    Examples
    --------
    >>> both, alone = initial([0, 1], "weight", (2, 3), 0.5), initial([1], "weight", (2, 3), 0.5)
    >>> tuple(both.shape), bool((both[1] == alone[0]).all()), bool(both.abs().max() <= 0.5)
    ((2, 2, 3), True, True)
    """
    # Values, their gradient, and two moments of an optimiser.
    within_memory(f"net ({name})", shape, 4 * 4 * len(keys) * math.prod(shape))
    drawn = [stream(key, f"init {name}").random(shape, dtype=np.float32) for key in keys]
    return nn.Parameter(torch.from_numpy(np.stack(drawn)).mul_(2 * bound).sub_(bound))


def fan_in_bound(fan_in: int) -> float:
    """He et al. (2015) for ReLU: variance 2 / fan_in.

    Examples
    --------
    >>> fan_in_bound(6)
    1.0
    """
    return math.sqrt(6 / fan_in)


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    """An activation by its name in `ACTIVATIONS`.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> activation_of("relu")(torch.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    >>> activation_of("sine")
    Traceback (most recent call last):
    sim.errors.InvalidInput: net.params.activation: got 'sine'; allowed: one of relu, gelu, tanh, softplus
    """
    choice("net.params.activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
