"""What a figure is, and what it draws from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from sim.config import RunConfig
    from sim.sweeps.store import Store


@dataclass(frozen=True)
class Source:
    """What a figure may draw from: one study's runs in the store.

    Attributes
    ----------
    store : Store
    profile : str
    configs : list of RunConfig
        The study's runs; empty for a figure without a study.
    results : DataFrame
        Their rows, see `Store.load`.
    """

    store: Store
    profile: str
    configs: list[RunConfig]
    results: pd.DataFrame


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
    """

    title: str
    caption: str
    study: str | None
    draw: Callable[[Source], Figure]
    of_runs: Callable[[Sequence[RunConfig], Store, Path], None] | None = None
