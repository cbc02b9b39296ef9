"""Figures: one file each, one registry. They read the store and never train."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from figures.style import STYLE
from sim.config import RunConfig
from sim.registry import Registry
from sim.studies import STUDIES
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
    """

    title: str
    caption: str
    study: str | None
    draw: Callable[[Source], Figure]


FIGURES: Registry[Entry] = Registry("figure")


def source(name: str, store: Store, profile: str, first_seed: int = 0) -> Source:
    """What figure ``name`` draws from, as far as the store holds it."""
    study = FIGURES[name].study
    configs = [] if study is None else STUDIES[study].runs(profile, first_seed)
    return Source(store, profile, configs, store.load(configs) if configs else pd.DataFrame())


def render(name: str, store: Store, profile: str, folder: Path, first_seed: int = 0) -> list[Path]:
    """Draw a figure from the store to ``folder/name.pdf`` and ``folder/name.png``.

    Both carry the study, the profile and the first seed in their metadata.
    """
    entry = FIGURES[name]
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context():
        mpl.use("Agg")
        plt.style.use(STYLE)
        figure = entry.draw(source(name, store, profile, first_seed))
        written = []
        about = f"{entry.title}; study {entry.study}, profile {profile}, first seed {first_seed}"
        for suffix, metadata in (("pdf", {"Title": entry.title, "Subject": about}), ("png", {"Description": about})):
            written.append(folder / f"{name}.{suffix}")
            figure.savefig(written[-1], metadata=metadata)
        plt.close(figure)
    return written


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
