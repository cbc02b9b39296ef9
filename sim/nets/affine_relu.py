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
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        quick = [w.mT.contiguous().mT if w.shape[-1] < THIN_BELOW else w for w in weights]
        outputs = [x.new_empty(*x.shape[:2], w.shape[-1]) for w in weights]
        for part in _cuts(outputs):
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
            torch.empty_like(w.mT if w.shape[-1] < THIN_BELOW else w, memory_format=torch.contiguous_format)
            for w in weights
        ]
        along_biases = [w.new_empty(len(w), 1, w.shape[-1]) for w in weights]
        for part in _cuts(inputs[1:] or inputs):
            d = g[part]
            for layer in reversed(range(layers)):
                given, weight, along = inputs[layer][part], weights[layer][part], along_weights[layer][part]
                if weight.shape[-1] < THIN_BELOW:
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
            found += [along.mT if weight.shape[-1] < THIN_BELOW else along, bias]
        return tuple(found)


def _cuts(arrays: Sequence[Tensor]) -> list[slice]:
    """Cuts along the runs after which the largest of the arrays' parts fits the threads' caches."""
    runs = len(arrays[0])
    bytes_a_run = max(a[0].numel() * a.element_size() for a in arrays)
    size = max(1, torch.get_num_threads() * CACHE_BYTES // bytes_a_run) if arrays[0].is_cpu else runs
    return [slice(start, start + size) for start in range(0, runs, size)]
