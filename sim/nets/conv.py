"""A small convolutional net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sim.catalogue import NETS
from sim.errors import InvalidInput, integer
from sim.nets.base import Net, activation_of, fan_in_bound, initial


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

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> net = Conv([0, 1], (1, 8, 8), dim=2, width=4)
    >>> tuple(net(torch.ones(2, 5, 1, 8, 8), torch.zeros(2, 5, dtype=torch.int64)).shape)
    (2, 5, 2)
    >>> Conv([0], (64,))
    Traceback (most recent call last):
    sim.errors.InvalidInput: x: got (64,); allowed: images (channels, height >= 4, width >= 4) for net.kind = conv
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
        width = integer("net.params.width", width, 1)
        self.activation = activation_of(activation)
        channels = (shape[0], width, 2 * width)
        self.kernels = nn.ParameterList(
            initial(keys, f"kernel {i}", (channels[i + 1], channels[i], 3, 3), fan_in_bound(9 * channels[i]))
            for i in range(2)
        )
        self.kernel_biases = nn.ParameterList(nn.Parameter(torch.zeros(len(keys), c)) for c in channels[1:])
        features = channels[2] * (shape[1] // 4) * (shape[2] // 4)
        self.weight = initial(keys, "weight", (features, dim), fan_in_bound(features))
        self.bias = nn.Parameter(torch.zeros(len(keys), 1, dim))

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """See `Net.embed`; ``x`` is (R, B, C, H, W)."""
        runs, batch = x.shape[:2]
        hidden = x.transpose(0, 1).flatten(1, 2)  # (B, R C, H, W)
        for kernel, bias in zip(self.kernels, self.kernel_biases, strict=True):
            hidden = F.conv2d(hidden, kernel.flatten(0, 1), bias.flatten(), padding=1, groups=runs)
            hidden = F.max_pool2d(self.activation(hidden), 2)  # (B, R channels, H / 2, W / 2), then a quarter
        features = hidden.view(batch, runs, -1).transpose(0, 1)  # (R, B, features)
        return torch.baddbmm(self.bias, features, self.weight)
