"""Fully connected nets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sim.catalogue import NETS
from sim.errors import integer
from sim.nets.affine_relu import MANY_RUNS, AffineReLU
from sim.nets.base import ACTIVATIONS, Net, activation_of, fan_in_bound, initial


@NETS.register("mlp")
class MLP(Net):
    """Fully connected net: ``depth`` hidden layers of ``width``, then a linear map to R^m.

    Parameters
    ----------
    keys : sequence of R run keys
    shape : tuple of int
        Shape of one input; flattened.
    dim, normalize
        See `Net`.
    width, depth : int
        Hidden units a layer (>= 1); hidden layers (>= 0).
    activation : str
        A name in `ACTIVATIONS`.

    Raises
    ------
    InvalidInput

    Examples
    --------
    Two runs, five samples of three numbers each.

    >>> net = MLP([0, 1], (3,), dim=2, width=8, depth=1)
    >>> [tuple(w.shape) for w in net.weights]
    [(2, 3, 8), (2, 8, 2)]
    >>> tuple(net(torch.ones(2, 5, 3), torch.zeros(2, 5, dtype=torch.int64)).shape)
    (2, 5, 2)
    """

    def __init__(
        self,
        keys: Sequence[object],
        shape: tuple[int, ...],
        *,
        dim: int = 2,
        normalize: bool = False,
        width: int = 64,
        depth: int = 2,
        activation: str = "relu",
    ) -> None:
        super().__init__(dim=dim, normalize=normalize)
        width = integer("net.params.width", width, 1)
        depth = integer("net.params.depth", depth, 0)
        self.activation = activation_of(activation)
        sizes = [math.prod(shape), *[width] * depth, dim]
        self.weights = nn.ParameterList(
            initial(keys, f"weight {layer}", (fan_in, fan_out), fan_in_bound(fan_in))
            for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes))
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(len(keys), 1, fan_out)) for fan_out in sizes[1:])

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """See `Net.embed`."""
        hidden = x.flatten(2)  # (R, B, k)
        if self.activation is ACTIVATIONS["relu"] and len(hidden) >= MANY_RUNS:
            parameters = [p for pair in zip(self.weights, self.biases, strict=True) for p in pair]
            embedded: Tensor = AffineReLU.apply(hidden, *parameters)  # type: ignore[no-untyped-call]
            return embedded
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)  # (R, B, width), at last (R, B, m)
            if layer < last:
                hidden = self.activation(hidden)
        return hidden


@NETS.register("linear")
class Linear(MLP):
    """A linear map (a `MLP` without hidden layers).

    Examples
    --------
    >>> net = Linear([0], (3,), dim=2)
    >>> x, index = torch.ones(1, 1, 3), torch.tensor([[0]])
    >>> torch.allclose(net(2 * x, index), 2 * net(x, index))
    True
    """

    def __init__(
        self, keys: Sequence[object], shape: tuple[int, ...], *, dim: int = 2, normalize: bool = False
    ) -> None:
        super().__init__(keys, shape, dim=dim, normalize=normalize, depth=0)
