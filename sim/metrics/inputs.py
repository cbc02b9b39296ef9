"""Embeddings and labels as users have them, turned into tensors, or refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sim.errors import InvalidInput

Array = Tensor | npt.ArrayLike
"""Tensors, arrays of any byte order, nested lists and tuples, pandas objects."""


def embedding_tensor(values: Array) -> Tensor:
    """Embeddings as a tensor of real numbers.

    Parameters
    ----------
    values : tensor or array-like
        Of any real type. Numbers are taken as double precision: a longer one is rounded to it.

    Returns
    -------
    Tensor, float32 or float64
        Single precision stays what it is, everything else becomes double.

    Raises
    ------
    InvalidInput
        No rectangular array of real numbers, or masked or sparse.

    Examples
    --------
    >>> embedding_tensor([[1, 2], [3, 4]])
    tensor([[1., 2.],
            [3., 4.]], dtype=torch.float64)
    """
    if not isinstance(values, Tensor):
        array = _array("embeddings", values, "real numbers")
        if array.dtype.kind not in "iuf":
            raise InvalidInput("embeddings", array.dtype, "real numbers")
        with np.errstate(over="ignore"):  # what is beyond double precision is infinite, and refused as such
            return torch.from_numpy(array.astype(np.float32 if array.dtype == np.float32 else np.float64))
    if values.is_complex() or values.dtype == torch.bool:
        raise InvalidInput("embeddings", values.dtype, "real numbers")
    if values.layout != torch.strided:
        raise InvalidInput("embeddings", values.layout, "a dense tensor")
    values = values.detach()
    return values if values.dtype in (torch.float32, torch.float64) else values.double()


def label_numbers(field: str, labels: Array, device: torch.device) -> tuple[list[Any], Tensor]:
    """Distinct labels in their order, and each label's number among them.

    Parameters
    ----------
    field : str
        Name for messages.
    labels : tensor or array-like
        Integers, truth values or strings.
    device : torch.device

    Raises
    ------
    InvalidInput
        Labels of another type (a label that is NaN among them), or masked ones.

    Examples
    --------
    >>> label_numbers("classes", ["cat", "dog", "cat"], torch.device("cpu"))
    (['cat', 'dog'], tensor([0, 1, 0]))
    """
    wanted = "integer or string ids"
    if isinstance(labels, Tensor) and labels.dtype not in (torch.uint16, torch.uint32, torch.uint64):
        if labels.is_floating_point() or labels.is_complex():
            raise InvalidInput(field, labels.dtype, wanted)
        ids, index = torch.unique(labels.to(device).long(), return_inverse=True)
        return ids.tolist(), index
    array = _array(field, labels.cpu().numpy() if isinstance(labels, Tensor) else labels, wanted)
    if array.dtype.kind not in "biuUS":
        raise InvalidInput(field, array.dtype, wanted)
    distinct, inverse = np.unique(array, return_inverse=True)
    return distinct.tolist(), torch.from_numpy(inverse.reshape(array.shape)).to(device)


def _array(field: str, values: Any, wanted: str) -> npt.NDArray[Any]:
    """A new array; strings only where every item is one (NumPy would make strings of the others)."""
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidInput(field, type(values).__name__, f"{wanted}, none of them masked")
    try:
        array = np.array(values)
        if array.dtype.kind in "OUT":
            items = np.array(values, dtype=object)
            if all(isinstance(item, str) for item in items.flat):
                return items.astype(np.str_)
            array = items
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(field, type(values).__name__, f"a rectangular array of {wanted}") from error
    return array
