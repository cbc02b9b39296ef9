"""``collapse reproduce``."""

from __future__ import annotations

from figures.commands.report import conclude_all
from sim.catalogue import COMMANDS, STUDIES
from sim.cli.options import DEFAULT_OUT, Device, FirstSeed, Json, Out, Profile, checked_device
from sim.cli.output import say
from sim.cli.training import train_missing
from sim.errors import choice, integer


@COMMANDS.register("reproduce")
def reproduce(
    profile: Profile = "quick",
    seed: FirstSeed = 0,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Run every study, draw every figure, and write the report."""
    from sim.studies import PROFILES
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store

    choice("profile", profile, PROFILES)
    integer("seed", seed, 0)
    resources = Resources(checked_device(device))
    store = Store(out / "store")
    for name in STUDIES:
        say(f"{name}: {STUDIES[name].title}", style="bold")
        train_missing(STUDIES[name].runs(profile, seed), store, name, resources)
    conclude_all(profile, seed, store, out, json_file)
