"""``collapse report``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.catalogue import COMMANDS, FIGURES, STUDIES
from sim.cli.options import DEFAULT_OUT, FirstSeed, Json, Out, Profile
from sim.cli.output import say, show_findings, write_json
from sim.cli.progress import progress
from sim.cli.training import compute_missing
from sim.errors import InvalidInput, choice, integer

if TYPE_CHECKING:
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store


@COMMANDS.register("report")
def report(
    profile: Profile = "quick",
    seed: FirstSeed = 0,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Write the report from what the store holds; `reproduce` makes what is missing first."""
    from sim.studies import PROFILES
    from sim.sweeps.store import Store

    choice("profile", profile, PROFILES)
    store = Store(out / "store")
    for name in STUDIES:
        runs = STUDIES[name].runs(profile, integer("seed", seed, 0))
        missing = len({c.key() for c in runs} - set(store.load(runs).get("key", [])))
        if missing:
            raise InvalidInput(
                "out",
                str(out),
                f"a folder with all runs of {name} ({missing} are missing: collapse reproduce makes them)",
            )
    conclude_all(profile, seed, store, out, json_file)


def conclude_all(
    profile: str, seed: int, store: Store, out: Path, json_file: Path | None, resources: Resources | None = None
) -> None:
    """Tables, figures and the report of stored studies, and what they came to in words."""
    from figures.report import conclude, write_report, write_tables
    from sim import kept_claims

    claims = kept_claims.read(out)
    outcomes = [conclude(name, store, profile, seed) for name in STUDIES]
    for outcome in outcomes:
        write_tables(outcome, out / "tables")
    pictures = {name: files[1] for name, files in drawn(list(FIGURES), store, profile, out, seed, resources).items()}
    command = f"collapse reproduce --profile {profile} --seed {seed}"
    write_report(outcomes, pictures, out / "report.html", profile=profile, command=command, claims=claims)
    for outcome in outcomes:
        say(f"\n{STUDIES[outcome.name].title}", style="bold")
        show_findings(outcome.findings)
    say(f"\nreport:  {out / 'report.html'}\nfigures: {out / 'figures'}\ntables:  {out / 'tables'}")
    write_json(json_file, [{"study": o.name, **asdict(f)} for o in outcomes for f in o.findings])


def drawn(
    names: Sequence[str], store: Store, profile: str, out: Path, seed: int, resources: Resources | None
) -> dict[str, list[Path]]:
    """Compute what figures need of the theory, draw them on all cores, and tell how far it is; figure -> files."""
    from figures.render import enter
    from sim.sweeps.executors import Resources
    from sim.sweeps.pool import in_processes

    compute_missing([piece for name in names for piece in FIGURES[name].pieces(profile)], store, resources)
    draw, processes = partial(_draw, store, profile, out, seed), (resources or Resources()).processes
    files = {}
    with progress("figures", unit="figures") as (on_start, on_steps):
        on_start(len(names))
        alone = processes == 1 or len(names) < WORTH_PROCESSES
        found = (draw(name, on_steps) for name in names) if alone else in_processes(draw, names, processes, on_steps)
        for name, written, about in found:
            enter(out / "figures", name, about)
            files[name] = written
    return {name: files[name] for name in names}


WORTH_PROCESSES = 4
"""Figures from which on processes are started to draw them."""


def _draw(
    store: Store, profile: str, out: Path, seed: int, name: str, on_steps: Callable[[int], None]
) -> tuple[str, list[Path], dict[str, Any]]:
    from figures.render import draw_files

    written, about = draw_files(name, store, profile, out / "figures", seed)
    on_steps(1)
    return name, written, about
