"""What a figure is, and what it draws from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from sim.config import RunConfig
    from sim.sweeps.pieces import Piece
    from sim.sweeps.store import Store


@dataclass(frozen=True)
class Source:
    """What a figure may draw from: one study's runs in the store, and what theory has computed for it.

    Attributes
    ----------
    store : Store
    profile : str
    configs : list of RunConfig
        The study's runs; empty for a figure without a study.
    results : DataFrame
        Their rows, see `Store.load`.
    theory : list
        The values of the figure's pieces, in their order.
    """

    store: Store
    profile: str
    configs: list[RunConfig]
    results: pd.DataFrame
    theory: list[Any] = field(default_factory=list)


def nothing(_: str) -> Sequence[Piece]:
    """For figures that need nothing of the theory."""
    return ()


@dataclass(frozen=True)
class Entry:
    """A registered figure.

    Attributes
    ----------
    title, caption : str
    study : str or None
        The study whose runs it draws.
    draw : callable
        `Source` -> matplotlib figure.
    of_runs : callable, optional
        (runs, store, file) -> None: draws the figure of any stored runs, for commands that offer it.
    pieces : callable
        profile -> what theory must compute for it (`sim.sweeps.pieces`).
    """

    title: str
    caption: str
    study: str | None
    draw: Callable[[Source], Figure]
    of_runs: Callable[[Sequence[RunConfig], Store, Path], None] | None = None
    pieces: Callable[[str], Sequence[Piece]] = nothing
