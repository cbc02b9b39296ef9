"""Losses: one file a family, one registry. `make` is the way in."""

from __future__ import annotations

import inspect
from typing import Any

from sim.catalogue import LOSSES
from sim.errors import InvalidInput
from sim.losses.base import Loss, TupleLoss
from sim.losses.weighting import Weighting

__all__ = ["LOSSES", "Loss", "TupleLoss", "make", "parameters_of"]

GIVEN = ("runs", "classes", "dim", "keys")
"""What the caller knows and the user doesn't write: R, number of labels t, embedding dimension m, run keys."""


def parameters_of(name: str) -> dict[str, inspect.Parameter]:
    """The keyword parameters of a loss, by name.

    Raises
    ------
    InvalidInput
        For an unknown loss.

    Examples
    --------
    >>> list(parameters_of("triplet"))
    ['alpha', 'soft', 'squared_distances', 'reduction']
    """
    return {k: p for k, p in inspect.signature(LOSSES[name]).parameters.items() if k not in GIVEN}


def make(name: str, *, weighting: Weighting | None = None, **params: Any) -> Loss:
    """Build a loss.

    Parameters
    ----------
    name : str
        A name in `LOSSES`.
    weighting : Weighting, optional
        A noise-robust baseline, see `sim.losses.weighting`.
    **params
        The loss's own parameters; those in its ``per_run`` may be tensors of shape (R,). Losses that learn something
        also need some of `GIVEN`.

    Returns
    -------
    Loss
        Callable as ``loss(embeddings (R, B, m), labels (R, B), positive=..., negative=..., generator=...) -> (R,)``.

    Raises
    ------
    InvalidInput
        For an unknown loss or parameter, or a value out of range.

    Examples
    --------
    >>> import torch
    >>> points = torch.tensor([[[0.0], [0.2], [1.0]]])
    >>> make("triplet", alpha=1.0)(points, torch.tensor([[0, 0, 1]]), positive="easy", negative="hard")
    tensor([0.3000])
    """
    known = parameters_of(name)
    unknown = [k for k in params if k not in known and k not in GIVEN]
    if unknown:
        raise InvalidInput(f"loss.{unknown[0]}", params[unknown[0]], f"{name} takes " + ", ".join(known))
    missing = [k for k, p in known.items() if p.default is p.empty and k not in params]
    if missing:
        raise InvalidInput(f"loss.params.{missing[0]}", None, f"a value: {name} has no default for it")
    accepted = inspect.signature(LOSSES[name]).parameters
    loss = LOSSES[name](**{k: v for k, v in params.items() if k in accepted})
    loss.weighting = weighting
    return loss
