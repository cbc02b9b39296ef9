"""Embedding nets with a leading run axis: R nets of one shape advance in one tensor program.

Every parameter has shape (R, ...); run r's initial values come from its own stream, so they don't depend on which
other runs share the program.
"""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sim.catalogue import NETS
from sim.errors import InvalidInput, choice, integer, number
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


def _initial(keys: Sequence[object], name: str, shape: tuple[int, ...], bound: float) -> nn.Parameter:
    """R arrays of the shape, uniform in [-bound, bound], each from its run's own stream."""
    drawn = [stream(key, f"init {name}").random(shape, dtype=np.float32) for key in keys]
    return nn.Parameter(torch.from_numpy(np.stack(drawn)).mul_(2 * bound).sub_(bound))


def _fan_in_bound(fan_in: int) -> float:
    """He et al. (2015) for ReLU: variance 2 / fan_in."""
    return math.sqrt(6 / fan_in)


THIN = 16
"""Below so many columns BLAS is several times faster if the short side comes first (64 x 64 times 64 x 2: 0.62 against 0.16 ms for 256 runs)."""


MANY = 32
"""Runs from which it pays to order the net's products by hand; with few runs its overhead weighs more."""

CACHE = 2**19
"""Bytes of one layer's outputs that a thread works on at once: what follows finds them in its cache."""


class _Layers(torch.autograd.Function):
    """Affine maps with ReLU between them, a few runs at a time, so that each array goes through memory once.

    Inputs: x (R, B, k), then weight (R, k, m) and bias (R, 1, m) of each layer. Equal to the plain program up to the order in
    which products are summed; a run's numbers don't depend on where the runs are cut.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        quick = [w.mT.contiguous().mT if w.shape[-1] < THIN else w for w in weights]
        outputs = [x.new_empty(*x.shape[:2], w.shape[-1]) for w in weights]
        for part in _parts(outputs):
            given = x[part]
            for weight, bias, output in zip(quick, biases, outputs, strict=True):
                given = torch.baddbmm(bias[part], given, weight[part], out=output[part])
                if output is not outputs[-1]:
                    given.relu_()
        ctx.save_for_backward(x, *outputs[:-1], *weights)
        return outputs[-1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        layers = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        (g,) = grads
        along_x = torch.empty_like(inputs[0]) if ctx.needs_input_grad[0] else None
        # The gradients of thin layers are computed the other way round, (R, m, k).
        along_weights = [
            torch.empty_like(w.mT if w.shape[-1] < THIN else w, memory_format=torch.contiguous_format) for w in weights
        ]
        along_biases = [w.new_empty(len(w), 1, w.shape[-1]) for w in weights]
        for part in _parts(inputs[1:] or inputs):
            d = g[part]
            for layer in reversed(range(layers)):
                given, weight, along = inputs[layer][part], weights[layer][part], along_weights[layer][part]
                if weight.shape[-1] < THIN:
                    torch.bmm(d.mT, given, out=along)
                else:
                    torch.bmm(given.mT, d, out=along)
                torch.sum(d, 1, keepdim=True, out=along_biases[layer][part])
                if layer:
                    d = torch.bmm(d, weight.mT)
                    torch.ops.aten.threshold_backward.grad_input(d, given, 0, grad_input=d)
                elif along_x is not None:
                    torch.bmm(d, weight.mT, out=along_x[part])
        found: list[Tensor | None] = [along_x]
        for weight, along, bias in zip(weights, along_weights, along_biases, strict=True):
            found += [along.mT if weight.shape[-1] < THIN else along, bias]
        return tuple(found)


def _parts(arrays: Sequence[Tensor]) -> list[slice]:
    """Cuts along the runs after which the largest of the arrays' parts fits the threads' caches."""
    runs = len(arrays[0])
    bytes_a_run = max(a[0].numel() * a.element_size() for a in arrays)
    size = max(1, torch.get_num_threads() * CACHE // bytes_a_run) if arrays[0].is_cpu else runs
    return [slice(start, start + size) for start in range(0, runs, size)]


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    choice("net.params.activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


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
        integer("net.params.width", width, 1)
        integer("net.params.depth", depth, 0)
        self.activation = _activation(activation)
        sizes = [math.prod(shape), *[width] * depth, dim]
        self.weights = nn.ParameterList(
            _initial(keys, f"weight {layer}", (fan_in, fan_out), _fan_in_bound(fan_in))
            for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes))
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(len(keys), 1, fan_out)) for fan_out in sizes[1:])

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """See `Net.embed`."""
        hidden = x.flatten(2)
        if self.activation is ACTIVATIONS["relu"] and len(hidden) >= MANY:
            parameters = [p for pair in zip(self.weights, self.biases, strict=True) for p in pair]
            embedded: Tensor = _Layers.apply(hidden, *parameters)  # type: ignore[no-untyped-call]
            return embedded
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if layer < last:
                hidden = self.activation(hidden)
        return hidden


@NETS.register("linear")
class Linear(MLP):
    """A linear map (a `MLP` without hidden layers)."""

    def __init__(
        self, keys: Sequence[object], shape: tuple[int, ...], *, dim: int = 2, normalize: bool = False
    ) -> None:
        super().__init__(keys, shape, dim=dim, normalize=normalize, depth=0)


@NETS.register("conv")
class Conv(Net):
    """Small convolutional net for images: two 3x3 convolutions with 2x2 max-pooling, then a linear map.

    The runs are groups of one grouped convolution.

    Parameters
    ----------
    keys : sequence of R run keys
    shape : (channels, height, width)
        Shape of one image, at least 4 x 4 (28 x 28 for MNIST and its kin).
    dim, normalize
        See `Net`.
    width : int
        Channels of the first convolution; the second has twice as many.
    activation : str
        A name in `ACTIVATIONS`.
    """

    def __init__(
        self,
        keys: Sequence[object],
        shape: tuple[int, ...],
        *,
        dim: int = 2,
        normalize: bool = False,
        width: int = 8,
        activation: str = "relu",
    ) -> None:
        super().__init__(dim=dim, normalize=normalize)
        if len(shape) != 3 or min(shape[1:]) < 4:
            raise InvalidInput("x", shape, "images (channels, height >= 4, width >= 4) for net.kind = conv")
        integer("net.params.width", width, 1)
        self.activation = _activation(activation)
        channels = (shape[0], width, 2 * width)
        self.kernels = nn.ParameterList(
            _initial(keys, f"kernel {i}", (channels[i + 1], channels[i], 3, 3), _fan_in_bound(9 * channels[i]))
            for i in range(2)
        )
        self.kernel_biases = nn.ParameterList(nn.Parameter(torch.zeros(len(keys), c)) for c in channels[1:])
        features = channels[2] * (shape[1] // 4) * (shape[2] // 4)
        self.weight = _initial(keys, "weight", (features, dim), _fan_in_bound(features))
        self.bias = nn.Parameter(torch.zeros(len(keys), 1, dim))

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """See `Net.embed`; ``x`` is (R, B, C, H, W)."""
        runs, batch = x.shape[:2]
        hidden = x.transpose(0, 1).flatten(1, 2)
        for kernel, bias in zip(self.kernels, self.kernel_biases, strict=True):
            hidden = F.conv2d(hidden, kernel.flatten(0, 1), bias.flatten(), padding=1, groups=runs)
            hidden = F.max_pool2d(self.activation(hidden), 2)
        features = hidden.view(batch, runs, -1).transpose(0, 1)
        return torch.baddbmm(self.bias, features, self.weight)


@NETS.register("table")
class Table(Net):
    """A free position for every sample: the setting of the theorems, without a net's inductive bias.

    Parameters
    ----------
    keys : sequence of R run keys
    shape : tuple of int
        Not used.
    samples : int
        Number of samples n.
    dim, normalize
        See `Net`.
    scale : float
        Initial positions are uniform in [-scale, scale]^m.
    """

    def __init__(
        self,
        keys: Sequence[object],
        shape: tuple[int, ...],
        *,
        samples: int,
        dim: int = 2,
        normalize: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__(dim=dim, normalize=normalize)
        number("net.params.scale", scale, "a finite number > 0", lambda v: v > 0)
        self.positions = _initial(keys, "positions", (samples, dim), scale)

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """See `Net.embed`."""
        return self.positions.gather(1, index.unsqueeze(-1).expand(-1, -1, self.dim))
