"""``collapse reproduce``."""

from __future__ import annotations

from figures.commands.report import conclude_all
from sim.catalogue import COMMANDS, STUDIES
from sim.cli.options import DEFAULT_OUT, Device, FirstSeed, Json, Out, Profile, Workers, checked_device
from sim.cli.output import say
from sim.cli.training import train_missing
from sim.errors import choice, integer


@COMMANDS.register("reproduce")
def reproduce(
    profile: Profile = "quick",
    seed: FirstSeed = 0,
    device: Device = "cpu",
    workers: Workers = None,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Run every study, draw every figure, and write the report."""
    from sim.studies import PROFILES
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store

    choice("profile", profile, PROFILES)
    seed = integer("seed", seed, 0)
    resources = Resources(checked_device(device), workers)
    store = Store(out / "store")
    configs = []
    for name in STUDIES:
        runs = STUDIES[name].runs(profile, seed)
        say(f"{name}: {STUDIES[name].title} ({len(runs)} runs)", style="bold")
        configs += runs
    # All at once: at the end of each study processes would wait for the last of its groups.
    train_missing(configs, store, "train", resources)
    conclude_all(profile, seed, store, out, json_file, resources)
