"""Losses: one file a family, one registry. `make` is the way in."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from sim.catalogue import LOSSES
from sim.errors import InvalidInput
from sim.losses.base import Loss, TupleLoss
from sim.losses.weighting import Weighting

__all__ = ["LOSSES", "Loss", "TupleLoss", "check_parameters", "make", "parameters_of"]

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


def check_parameters(name: str, params: Mapping[str, Any]) -> None:
    """Refuse parameters that the user wrote and the loss doesn't take (those of `GIVEN` are not the user's), or that it lacks.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> check_parameters("triplet", {"alpha": 0.5})
    >>> check_parameters("triplet", {"margin": 0.5})
    Traceback (most recent call last):
    sim.errors.InvalidInput: loss.margin: got 0.5; allowed: triplet takes alpha, soft, squared_distances, reduction
    """
    known = parameters_of(name)
    unknown = [k for k in params if k not in known]
    if unknown:
        raise InvalidInput(f"loss.{unknown[0]}", params[unknown[0]], f"{name} takes " + ", ".join(known))
    missing = [k for k, p in known.items() if p.default is p.empty and k not in params]
    if missing:
        raise InvalidInput(f"loss.params.{missing[0]}", None, f"a value: {name} has no default for it")


def make(name: str, *, weighting: Weighting | None = None, **params: Any) -> Loss:
    """Build a loss.

    Parameters
    ----------
    name : str
        A name in `LOSSES`.
    weighting : Weighting, optional
        A noise-robust baseline, see `sim.losses.weighting`; of a kind that the loss can be weighed by.
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
        For an unknown loss or parameter, a value out of range, or a weighting of tuples that the loss doesn't have.

    Examples
    --------
    >>> import torch
    >>> points = torch.tensor([[[0.0], [0.2], [1.0]]])
    >>> make("triplet", alpha=1.0)(points, torch.tensor([[0, 0, 1]]), positive="easy", negative="hard")
    tensor([0.3000])
    """
    check_parameters(name, {k: v for k, v in params.items() if k not in GIVEN})
    if weighting is not None and not LOSSES[name].weighed_by(weighting):
        allowed = ", ".join(n for n in LOSSES if LOSSES[n].weighed_by(weighting))
        raise InvalidInput("loss.name", name, f"with this weighting: one of {allowed}")
    accepted = inspect.signature(LOSSES[name]).parameters
    loss = LOSSES[name](**{k: v for k, v in params.items() if k in accepted})
    loss.weighting = weighting
    return loss
