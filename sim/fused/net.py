"""One run's net: forward and backward, in arrays that stay in a core's cache.

Arrays are flat. Activations stand by feature, a row of B samples each, with room for a multiple of 16 samples: the samples are what
instructions take several of at once. Weights are (fan in, fan out), as in `sim.nets`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.compiled import compiled
from sim.fused.elementary import exp_row, softplus_row, tanh_row
from sim.fused.stages import stage
from sim.fused.tiles import BIAS, MASK, PLAIN, RELU, product, turn

ACTIVATIONS = {"relu": 0, "tanh": 1, "softplus": 2, "gelu": 3}
"""Codes of the activations in `sim.nets`."""
_RELU, _TANH, _SOFTPLUS = 0, 1, 2

EPSILON = 1e-12
"""Norms below it count as it, as in PyTorch's ``normalize``."""

THIN = 8
"""Gradients of weights of a layer with fewer inputs or outputs are summed one by one: nothing has to be transposed for them."""

# log(erfcx(z) / t), t = 2 / (2 + z), z >= 0, in Chebyshev polynomials of 2 t - 1:
# numpy.polynomial.chebyshev.chebinterpolate(lambda y: np.log(scipy.special.erfcx(4 / (y + 1) - 2) * 2 / (y + 1)), 27)
ERFC = (
    -0.6513268598908546,
    0.6419697923564901,
    0.019476473204185805,
    -0.00956151478680881,
    -0.000946595344481989,
    0.00036683949785281826,
    4.252332480701131e-05,
    -2.0278578112605965e-05,
    -1.6242900047004825e-06,
    1.3036558357390086e-06,
    1.5626441529636992e-08,
    -8.523809543906477e-08,
    6.529053805540538e-09,
    5.0593441499760925e-09,
    -9.91365085261415e-10,
    -2.273642068268649e-10,
    9.646689003162123e-11,
    2.3951396421750815e-12,
    -6.887268533262159e-12,
    8.954821011692665e-13,
    3.1190922860397614e-13,
    -1.114505313434425e-13,
    -9.674800643162078e-16,
    8.453555316074406e-15,
    -2.791417890486108e-15,
    1.126083353548373e-15,
    -1.0785023667787234e-15,
    1.395708945243054e-15,
)
ERFC_SINGLE = 13
"""Coefficients that float32 needs."""


@stage("void row words word row row row scale word")
def forward(
    theta: Any, sizes: Any, activation: int, acts: Any, slopes: Any, room: Any, scale: Any, stride: int
) -> None:
    """Fill ``acts`` from its first layer (the inputs) on; ``slopes`` with the activations' derivatives, where these are not ReLU."""
    at = here = 0
    last = len(sizes) - 2
    # Not a literal, for which Numba would compile a product of its own.
    one = np.int64(1)
    for layer in range(last + 1):
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        following = here + fan_in * stride
        kind = RELU if layer < last and activation == _RELU else BIAS
        bias = theta[at + fan_in * fan_out :]
        product(
            kind, theta[at:], one, fan_out, acts[here:], stride, acts[following:], stride, bias, one, fan_out, stride, fan_in
        )  # fmt: skip
        if layer < last and activation != _RELU:
            for row in range(following, following + fan_out * stride, stride):
                _activate(activation, acts[row : row + stride], slopes[row : row + stride], room[:stride], scale)
        at += fan_in * fan_out + fan_out
        here = following


@compiled(fastmath=("contract", "nsz"))
def _activate(activation: int, x: Any, slope: Any, room: Any, scale: Any) -> None:
    """x becomes its activation, slope the derivative there."""
    real = x.dtype.type
    if activation == _TANH:
        tanh_row(x, room, scale)
        for j in range(len(x)):
            x[j] = room[j]
            slope[j] = real(1) - room[j] * room[j]
    elif activation == _SOFTPLUS:
        softplus_row(x, room, slope, scale)
        for j in range(len(x)):
            # PyTorch's softplus is linear above 20.
            slope[j] = real(1) if x[j] > 20 else slope[j]
            x[j] = x[j] if x[j] > 20 else room[j]
    else:
        _gelu(x, slope, room, scale)


@compiled(fastmath=("contract", "nsz"))
def _gelu(x: Any, slope: Any, room: Any, scale: Any) -> None:
    """x Phi(x), and Phi(x) + x phi(x) in ``slope``."""
    real = x.dtype.type
    terms = ERFC_SINGLE if x.itemsize == 4 else len(ERFC)
    one, two = real(1), real(2)
    # exp(-z^2) with z = |x| / sqrt(2)
    for j in range(len(x)):
        slope[j] = -real(0.5) * x[j] * x[j]
    exp_row(slope, room, scale)
    for j in range(len(x)):
        slope[j] = two * (two / (two + abs(x[j]) * real(math.sqrt(0.5)))) - one
    for j in range(len(x)):
        y = slope[j]
        before, sum_ = real(0), real(0)
        for k in range(terms - 1, 0, -1):
            before, sum_ = sum_, two * y * sum_ - before + real(ERFC[k])
        slope[j] = y * sum_ - before + real(ERFC[0])
    _finish_gelu(x, slope, room, scale)


@compiled(fastmath=("contract", "nsz"))
def _finish_gelu(x: Any, slope: Any, room: Any, scale: Any) -> None:
    real = x.dtype.type
    one, two = real(1), real(2)
    ratio = np.empty(len(x), x.dtype)
    exp_row(slope, ratio, scale)
    for j in range(len(x)):
        t = two / (two + abs(x[j]) * real(math.sqrt(0.5)))
        tail = real(0.5) * t * ratio[j] * room[j]  # Phi(-|x|)
        share = one - tail if x[j] >= 0 else tail
        slope[j] = share + x[j] * room[j] * real(1 / math.sqrt(2 * math.pi))
        x[j] = x[j] * share


@stage("void row words word row row row row row row row word word")
def backward(
    theta: Any,
    sizes: Any,
    activation: int,
    acts: Any,
    slopes: Any,
    up: Any,
    down: Any,
    turned: Any,
    padded: Any,
    gradient: Any,
    batch: int,
    stride: int,
) -> None:
    """Gradient of all weights and biases from that of the embeddings in ``up``, whose columns beyond the batch are zero.

    ``up`` and ``down`` are overwritten; ``turned`` and ``padded`` are room for a transposed layer and for a gradient with padded rows.
    """
    at = here = 0
    for layer in range(len(sizes) - 1):
        at += sizes[layer] * sizes[layer + 1] + sizes[layer + 1]
        here += sizes[layer] * stride
    step = 64 // acts.itemsize
    one, plain = np.int64(1), np.int64(PLAIN)
    for layer in range(len(sizes) - 2, -1, -1):
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        at -= fan_in * fan_out + fan_out
        here -= fan_in * stride
        given = acts[here:]
        weights, bias = gradient[at : at + fan_in * fan_out], at + fan_in * fan_out
        for o in range(fan_out):
            total = acts.dtype.type(0)
            row = up[o * stride : o * stride + batch]
            for j in range(batch):
                total += row[j]
            gradient[bias + o] = total
        if min(fan_in, fan_out) < THIN:
            for k in range(fan_in):
                values = given[k * stride : k * stride + batch]
                for o in range(fan_out):
                    row = up[o * stride : o * stride + batch]
                    total = acts.dtype.type(0)
                    for j in range(batch):
                        total += values[j] * row[j]
                    weights[k * fan_out + o] = total
        else:
            width = (fan_out + step - 1) // step * step
            turn(up, stride, fan_out, batch, turned, width)
            if width == fan_out:
                product(
                    plain, given, stride, one, turned, width, weights, width, weights, one, fan_in, width, batch
                )  # fmt: skip
            else:
                product(plain, given, stride, one, turned, width, padded, width, padded, one, fan_in, width, batch)
                for k in range(fan_in):
                    for o in range(fan_out):
                        weights[k * fan_out + o] = padded[k * width + o]
        if layer:
            kind = MASK if activation == _RELU else PLAIN
            product(kind, theta[at:], fan_out, one, up, stride, down, stride, given, stride, fan_in, stride, fan_out)
            if activation != _RELU:
                own = slopes[here:]
                for j in range(fan_in * stride):
                    down[j] *= own[j]
            up, down = down, up


@stage("void row row word word word")
def normalise(x: Any, norms: Any, dim: int, batch: int, stride: int) -> None:
    """Put each sample, a column of x, on the unit sphere; ``norms``: by what it was divided."""
    real = x.dtype.type
    for j in range(batch):
        norms[j] = real(0)
    for k in range(dim):
        row = x[k * stride : k * stride + batch]
        for j in range(batch):
            norms[j] += row[j] * row[j]
    for j in range(batch):
        norms[j] = max(np.sqrt(norms[j]), real(EPSILON))
    for k in range(dim):
        row = x[k * stride : k * stride + batch]
        for j in range(batch):
            row[j] /= norms[j]


@stage("void row row row row word word word")
def back_through_norm(x: Any, norms: Any, gradient: Any, along: Any, dim: int, batch: int, stride: int) -> None:
    """The gradient for the samples before `normalise` from that for those after it, x; in place."""
    real = x.dtype.type
    for j in range(batch):
        along[j] = real(0)
    for k in range(dim):
        row, slope = x[k * stride : k * stride + batch], gradient[k * stride : k * stride + batch]
        for j in range(batch):
            along[j] += row[j] * slope[j]
    for j in range(batch):
        along[j] = along[j] if norms[j] > real(EPSILON) else real(0)
    for k in range(dim):
        row, slope = x[k * stride : k * stride + batch], gradient[k * stride : k * stride + batch]
        for j in range(batch):
            slope[j] = (slope[j] - row[j] * along[j]) / norms[j]
