"""``collapse figures``."""

from __future__ import annotations

from typing import Annotated

import typer

from figures.commands.report import concluded
from sim.catalogue import COMMANDS, FIGURES, STUDIES
from sim.cli.options import DEFAULT_OUT, Device, FirstSeed, Out, Profile, Workers, checked_device
from sim.cli.output import say
from sim.cli.training import train_missing
from sim.errors import choice


@COMMANDS.register("figures")
def figures(
    names: Annotated[list[str] | None, typer.Argument(help="Figures to draw; all if none is named.")] = None,
    profile: Profile = "quick",
    seed: FirstSeed = 0,
    device: Device = "cpu",
    workers: Workers = None,
    out: Out = DEFAULT_OUT,
    list_: Annotated[bool, typer.Option("--list", help="List the figures and leave.")] = False,
) -> None:
    """Draw figures (PDF and PNG) from the store; runs that are missing are trained first."""
    if list_:
        for name in FIGURES:
            say(f"{name}: {FIGURES[name].title} (study: {FIGURES[name].study})")
        return

    from sim.studies import PROFILES
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store

    choice("profile", profile, PROFILES)
    resources = Resources(checked_device(device), workers)
    chosen = names or list(FIGURES)
    studies = {FIGURES[name].study for name in chosen}
    store = Store(out / "store")
    configs = [c for study in sorted(s for s in studies if s is not None) for c in STUDIES[study].runs(profile, seed)]
    if configs:
        train_missing(configs, store, "train", resources)
    for places in concluded([], chosen, store, profile, out, seed, resources)[1].values():
        for place in places:
            say(str(place))
