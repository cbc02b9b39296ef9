"""What theory computes, kept beside the runs: each piece once, over all cores.

A piece is a function and its arguments. It is named by these, by the function's code, which for a function of a package is all of the
package's, and by `SCHEMA`: what is changed in any of them is computed anew. A finished piece is written at once, so an
interruption loses those that are being computed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.config import SCHEMA
from sim.files import digest, sealed, unsealed, write_text
from sim.source import code
from sim.sweeps.executors import Resources
from sim.sweeps.pool import OnSteps, here_or_in_processes
from sim.sweeps.store import Store

FOLDER = "theory"
"""Of a store's folder: one file a piece."""


@dataclass(frozen=True)
class Piece:
    """Something to compute once.

    Attributes
    ----------
    function : callable
        Of a module; gives numbers, texts, lists, and mappings by text.
    arguments : mapping
        What it is called with, by name; of the same types.
    seconds : float
        What it takes on one core, very roughly.

    Examples
    --------
    >>> from statistics import fmean
    >>> Piece(fmean, {"data": [1, 2]}).key() == Piece(fmean, {"data": [1, 2]}, seconds=9.0).key()
    True
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    seconds: float = 1.0

    def key(self) -> str:
        """Its name: 16 hexadecimal digits of the hash of all that decides its value."""
        module, name = self.function.__module__, self.function.__qualname__
        form = [
            SCHEMA,
            module,
            name,
            self.arguments,
            digest(code(module, self.function).encode(errors="surrogatepass")),
        ]
        return digest(json.dumps(form, sort_keys=True).encode())[:16]


def compute(
    pieces: Sequence[Piece],
    store: Store,
    resources: Resources | None = None,
    *,
    on_start: Callable[[int], None] | None = None,
    on_steps: OnSteps | None = None,
) -> list[Any]:
    """The values of pieces; those that the store doesn't hold are computed, in processes where that is worth their start.

    Parameters
    ----------
    pieces : sequence of Piece
    store : Store
    resources : Resources, optional
        How many processes there may be.
    on_start : callable, optional
        Called once with the number of pieces to compute.
    on_steps : callable, optional
        Called with the number of pieces computed since the last call.

    Examples
    --------
    >>> import tempfile
    >>> from statistics import fmean
    >>> store, announced = Store(tempfile.mkdtemp()), []
    >>> pieces = [Piece(fmean, {"data": [1, 2]}), Piece(fmean, {"data": [1, 4]})]
    >>> [compute(pieces, store, on_start=announced.append) for _ in range(2)], announced
    ([[1.5, 2.5], [1.5, 2.5]], [2, 0])
    """
    keys = [piece.key() for piece in pieces]
    by_key = dict(zip(keys, pieces, strict=True))
    found: dict[str, Any] = {}
    for key in by_key:
        found |= _kept(store, key)
    missing = sorted((item for item in by_key.items() if item[0] not in found), key=lambda item: -item[1].seconds)
    if on_start is not None:
        on_start(len(missing))
    if missing:
        folder = store.folder / FOLDER
        folder.mkdir(exist_ok=True)
        seconds = sum(piece.seconds for _, piece in missing)
        most = (resources or Resources()).processes
        for key, value in here_or_in_processes(_compute, missing, seconds, most, on_steps or (lambda _: None)):
            write_text(folder / f"{key}.json", sealed("value", value) + "\n")
            # As it will be read: a tuple has become a list.
            found |= _kept(store, key)
    return [found[key] for key in keys]


def _kept(store: Store, key: str) -> dict[str, Any]:
    """The value by its key, if the store holds it."""
    place = store.folder / FOLDER / f"{key}.json"
    try:
        return {key: unsealed("value", place.read_bytes().decode(errors="replace").rstrip("\n"))}
    except FileNotFoundError:
        return {}
    except ValueError:
        warnings.warn(f"{place} is damaged: what it held is computed again", stacklevel=3)
        return {}


def _compute(part: tuple[str, Piece], on_steps: OnSteps) -> tuple[str, Any]:
    key, piece = part
    value = piece.function(**piece.arguments)
    on_steps(1)
    return key, value
