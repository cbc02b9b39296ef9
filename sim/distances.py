"""Euclidean distances inside a batch, accurate near zero, with finite gradients at coincident points.

Collapse is the regime this project studies, so D = 0 has to be an ordinary value: distances are sums of squared
differences (a Gram matrix would lose everything below about 1e-3 in float32), and the gradient at D = 0 is zero, which
is an element of the subdifferential.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sim.errors import InvalidInput

HALF = (torch.float16, torch.bfloat16)


def floating(field: str, values: Any) -> Tensor:
    """A tensor of numbers to compute with: float32 and float64 as they are, float16 and bfloat16 widened to float32.

    Raises
    ------
    InvalidInput
        For anything else: whole numbers have no gradient, and complex ones no order.

    Examples
    --------
    >>> floating("embeddings", torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    >>> floating("embeddings", torch.tensor([1, 2]))
    Traceback (most recent call last):
    sim.errors.InvalidInput: embeddings: got torch.int64; allowed: a tensor of float16, bfloat16, float32 or float64
    """
    if not isinstance(values, Tensor) or values.dtype not in (*HALF, torch.float32, torch.float64):
        kind = values.dtype if isinstance(values, Tensor) else type(values)
        raise InvalidInput(field, kind, "a tensor of float16, bfloat16, float32 or float64")
    return values.float() if values.dtype in HALF else values


class _Pairwise(torch.autograd.Function):
    """D_ij = ||x_i - x_j||; backward is two small products instead of a second pass over all differences."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        distances: Tensor = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        ctx.save_for_backward(x, distances)
        return distances

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        x, distances = ctx.saved_tensors
        return gradient(x, distances, grads[0])


def gradient(x: Tensor, distances: Tensor, slopes: Tensor) -> Tensor:
    """The gradient in the points of a function of their distances; 0 from points that coincide.

    Parameters
    ----------
    x : Tensor, shape (..., B, m)
    distances : Tensor, shape (..., B, B)
    slopes : Tensor, shape (..., B, B)
        The function's derivative by each entry of ``distances``.

    Returns
    -------
    Tensor, shape (..., B, m)

    Examples
    --------
    >>> line = torch.tensor([[0.0], [3.0]])
    >>> gradient(line, torch.tensor([[0.0, 3.0], [3.0, 0.0]]), torch.ones(2, 2)).tolist()
    [[-2.0], [2.0]]
    """
    weights = torch.where(distances > 0, slopes / distances, 0.0)  # (..., B, B)
    weights = weights + weights.mT
    # The gradient depends on differences only; centring keeps the two products from cancelling digits away.
    centred = x - x.mean(-2, keepdim=True)
    found: Tensor = weights.sum(-1, keepdim=True) * centred - weights @ centred
    return found


def pairwise(x: Tensor) -> Tensor:
    """All distances between the points of each batch.

    Parameters
    ----------
    x : Tensor, shape (..., B, m)
        Floating; half precision is computed in float32.

    Returns
    -------
    Tensor, shape (..., B, B)
        ``D[..., i, j] = ||x_i - x_j||``, dtype of ``x``, differentiable in ``x`` (once); the gradient at D = 0 is 0.

    Examples
    --------
    >>> pairwise(torch.tensor([[0.0], [3.0], [7.0]])).tolist()
    [[0.0, 3.0, 7.0], [3.0, 0.0, 4.0], [7.0, 4.0, 0.0]]
    >>> x = torch.zeros(3, 2, requires_grad=True)  # all on one point
    >>> pairwise(x).sum().backward()
    >>> x.grad.tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    result: Tensor = _Pairwise.apply(floating("x", x))  # type: ignore[no-untyped-call]
    return result.to(x.dtype)


def to_columns(x: Tensor, index: Tensor) -> Tensor:
    """Distances from each point to chosen points of its batch.

    Parameters
    ----------
    x : Tensor, shape (R, B, m)
    index : Tensor, shape (R, B, S), int64
        ``index[r, i]`` names the points of batch r to which point i is compared.

    Returns
    -------
    Tensor, shape (R, B, S)
        Differentiable in ``x``; the gradient at D = 0 is 0.

    Examples
    --------
    >>> line = torch.tensor([[[0.0], [3.0], [7.0]]])
    >>> to_columns(line, torch.tensor([[[1, 2], [2, 2], [0, 2]]])).tolist()
    [[[3.0, 7.0], [4.0, 4.0], [7.0, 0.0]]]
    """
    runs, batch, slots = index.shape
    dtype, x = x.dtype, floating("x", x)
    chosen = x.gather(1, index.reshape(runs, batch * slots, 1).expand(-1, -1, x.shape[-1]))  # (R, B S, m)
    result: Tensor = torch.linalg.vector_norm(x.unsqueeze(2) - chosen.view(runs, batch, slots, -1), dim=-1)
    return result.to(dtype)


def between(x: Tensor, y: Tensor) -> Tensor:
    """Distances from each point of a batch to each point of another one.

    Parameters
    ----------
    x : Tensor, shape (R, B, m)
    y : Tensor, shape (R, Q, m)

    Returns
    -------
    Tensor, shape (R, B, Q)
        Differentiable in both; the gradient at D = 0 is 0.

    Examples
    --------
    >>> between(torch.tensor([[[0.0], [3.0]]]), torch.tensor([[[3.0], [4.0], [9.0]]])).tolist()
    [[[3.0, 4.0, 9.0], [0.0, 1.0, 6.0]]]
    """
    found = torch.cdist(floating("x", x), floating("y", y), compute_mode="donot_use_mm_for_euclid_dist")
    return found.to(x.dtype)
