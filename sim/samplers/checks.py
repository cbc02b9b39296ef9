"""What a user's batch has to be, checked in one place: where losses and samplers are called by name, never at a step of a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sim.distances import floating
from sim.errors import InvalidInput
from sim.samplers.policies import Memory


def checked_batch(
    embeddings: Any, labels: Any, memory: Memory | None = None, *, classes: int | None = None
) -> tuple[Tensor, Tensor, Memory | None]:
    """A batch as losses and samplers work on it. Looks at the labels' values, which on CUDA waits for the device.

    Parameters
    ----------
    embeddings : Tensor, shape (R, B, m)
        Half precision is widened to float32.
    labels : Tensor, shape (R, B), of any integer type
    memory : Memory, optional
    classes : int, optional
        Number of labels, where something is held for each.

    Returns
    -------
    (Tensor, Tensor, Memory or None)
        Embeddings float32 or float64, labels int64, the memory in the embeddings' dtype.

    Raises
    ------
    InvalidInput
        For numbers that aren't floating, shapes that don't agree, labels below 0 (other libraries drop such samples) or not below
        ``classes``.

    Examples
    --------
    >>> checked_batch(torch.zeros(1, 2, 3, dtype=torch.float16), torch.tensor([[0, 1]], dtype=torch.uint8))[0].dtype
    torch.float32
    >>> checked_batch(torch.zeros(1, 2, 3), torch.tensor([[0, -1]]))
    Traceback (most recent call last):
    sim.errors.InvalidInput: labels: got -1; allowed: whole numbers >= 0
    >>> checked_batch(torch.zeros(1, 2, 3), torch.tensor([[0, 2]]), classes=2)
    Traceback (most recent call last):
    sim.errors.InvalidInput: labels: got 2; allowed: 0 to 1, as there are 2 classes
    """
    x = floating("embeddings", embeddings)
    if x.dim() != 3:
        raise InvalidInput("embeddings", tuple(x.shape), "shape (R, B, m): runs, samples, dimensions")
    y = _whole("labels", labels)
    if y.shape != x.shape[:2]:
        raise InvalidInput("labels", tuple(y.shape), f"(R, B) of embeddings (R, B, m) {tuple(x.shape)}")
    _in_range("labels", y, 0, classes)
    if memory is not None:
        stored, owners = floating("memory.embeddings", memory.embeddings), _whole("memory.labels", memory.labels)
        if stored.dim() != 3 or stored.shape[::2] != x.shape[::2]:
            raise InvalidInput(
                "memory.embeddings", tuple(stored.shape), f"(R, Q, m) beside embeddings (R, B, m) {tuple(x.shape)}"
            )
        if owners.shape != stored.shape[:2]:
            raise InvalidInput("memory.labels", tuple(owners.shape), f"(R, Q) of its embeddings {tuple(stored.shape)}")
        _in_range("memory.labels", owners, -1, classes)
        memory = Memory(stored.to(x.dtype), owners)
    return x, y, memory


def _whole(field: str, values: Any) -> Tensor:
    if not isinstance(values, Tensor):
        raise InvalidInput(field, type(values), "a tensor of whole numbers, int64")
    if values.dtype == torch.bool or values.is_floating_point() or values.is_complex():
        raise InvalidInput(field, values.dtype, "a tensor of whole numbers, int64")
    return values.long()


def _in_range(field: str, labels: Tensor, least: int, classes: int | None) -> None:
    if not labels.numel():
        return
    low, high = torch.stack(labels.aminmax()).tolist()
    if classes is not None and (low < least or high >= classes):
        wrong = low if low < least else high
        raise InvalidInput(field, wrong, f"{least} to {classes - 1}, as there are {classes} classes")
    if low < least:
        raise InvalidInput(field, low, f"whole numbers >= {least}")
