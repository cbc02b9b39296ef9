"""The products of many small nets in an order that keeps what follows in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

THIN_BELOW = 16
"""Below so many columns BLAS is several times faster if the short side comes first (64 x 64 times 64 x 2: 0.62 against 0.16 ms for 256 runs)."""

MANY_RUNS = 32
"""Runs from which it pays to order the net's products by hand; with few runs its overhead weighs more."""

CACHE_BYTES = 2**19
"""Bytes of one layer's outputs that a thread works on at once: what follows finds them in its cache."""


class AffineReLU(torch.autograd.Function):
    """Affine maps with ReLU between them, a few runs at a time, so that each array goes through memory once.

    Inputs: x (R, B, k), then weight (R, k, m) and bias (R, 1, m) of each layer. Equal to the plain program up to the order in
    which products are summed; a run's numbers don't depend on where the runs are cut.

    Examples
    --------
    >>> x, weight, bias = torch.ones(2, 3, 4), torch.full((2, 4, 5), 0.5), torch.zeros(2, 1, 5)
    >>> hidden = AffineReLU.apply(x, weight, bias, -weight.mT, torch.zeros(2, 1, 4))
    >>> tuple(hidden.shape), hidden.unique().tolist()  # relu(4 / 2) = 2, and 5 times 2 times -1 / 2
    ((2, 3, 4), [-5.0])
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]  # (R, k, m) and (R, 1, m)
        arranged = [w.mT.contiguous().mT if w.shape[-1] < THIN_BELOW else w for w in weights]
        outputs = [x.new_empty(*x.shape[:2], w.shape[-1]) for w in weights]  # (R, B, m)
        for part in _cuts(outputs):
            given = x[part]
            for weight, bias, output in zip(arranged, biases, outputs, strict=True):
                given = torch.baddbmm(bias[part], given, weight[part], out=output[part])
                if output is not outputs[-1]:
                    given.relu_()
        ctx.save_for_backward(x, *outputs[:-1], *weights)
        return outputs[-1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        layers = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        (upstream,) = grads
        grad_x = torch.empty_like(inputs[0]) if ctx.needs_input_grad[0] else None  # (R, B, k)
        # The gradients of thin layers are computed the other way round, (R, m, k).
        grad_weights = [
            torch.empty_like(w.mT if w.shape[-1] < THIN_BELOW else w, memory_format=torch.contiguous_format)
            for w in weights
        ]
        grad_biases = [w.new_empty(len(w), 1, w.shape[-1]) for w in weights]  # (R, 1, m)
        for part in _cuts(inputs[1:] or inputs):
            grad_output = upstream[part]  # (runs of the part, B, m)
            for layer in reversed(range(layers)):
                given, weight, grad_weight = inputs[layer][part], weights[layer][part], grad_weights[layer][part]
                if weight.shape[-1] < THIN_BELOW:
                    torch.bmm(grad_output.mT, given, out=grad_weight)
                else:
                    torch.bmm(given.mT, grad_output, out=grad_weight)
                torch.sum(grad_output, 1, keepdim=True, out=grad_biases[layer][part])
                if layer:
                    grad_output = torch.bmm(grad_output, weight.mT)
                    torch.ops.aten.threshold_backward.grad_input(grad_output, given, 0, grad_input=grad_output)
                elif grad_x is not None:
                    torch.bmm(grad_output, weight.mT, out=grad_x[part])
        found: list[Tensor | None] = [grad_x]
        for weight, grad_weight, grad_bias in zip(weights, grad_weights, grad_biases, strict=True):
            found += [grad_weight.mT if weight.shape[-1] < THIN_BELOW else grad_weight, grad_bias]
        return tuple(found)


def _cuts(arrays: Sequence[Tensor]) -> list[slice]:
    """Cuts along the runs after which the largest of the arrays' parts fits the threads' caches."""
    runs = len(arrays[0])
    bytes_a_run = max(a[0].numel() * a.element_size() for a in arrays)
    size = max(1, torch.get_num_threads() * CACHE_BYTES // bytes_a_run) if arrays[0].is_cpu else runs
    return [slice(start, start + size) for start in range(0, runs, size)]
