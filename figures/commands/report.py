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
    from figures.report import Outcome
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
    from figures.report import write_report, write_tables
    from sim import kept_claims

    claims = kept_claims.read(out)
    outcomes, files = concluded(list(STUDIES), list(FIGURES), store, profile, out, seed, resources)
    for outcome in outcomes:
        write_tables(outcome, out / "tables")
    pictures = {name: written[1] for name, written in files.items()}
    command = f"collapse reproduce --profile {profile} --seed {seed}"
    write_report(outcomes, pictures, out / "report.html", profile=profile, command=command, claims=claims)
    for outcome in outcomes:
        say(f"\n{STUDIES[outcome.name].title}", style="bold")
        show_findings(outcome.findings)
    say(f"\nreport:  {out / 'report.html'}\nfigures: {out / 'figures'}\ntables:  {out / 'tables'}")
    write_json(json_file, [{"study": o.name, **asdict(f)} for o in outcomes for f in o.findings])


def concluded(
    studies: Sequence[str],
    figures: Sequence[str],
    store: Store,
    profile: str,
    out: Path,
    seed: int,
    resources: Resources | None,
) -> tuple[list[Outcome], dict[str, list[Path]]]:
    """Compute what figures need of the theory, conclude studies and draw figures on all cores, and tell how far it is.

    Returns
    -------
    tuple
        What the studies came to; figure -> files.
    """
    from figures.render import enter
    from sim.sweeps.executors import Resources
    from sim.sweeps.pool import in_processes

    compute_missing([piece for name in figures for piece in FIGURES[name].pieces(profile)], store, resources)
    parts = [*(("study", name) for name in studies), *(("figure", name) for name in figures)]
    do, processes = partial(_do, store, profile, out, seed), (resources or Resources()).processes
    outcomes, files = {}, {}
    with progress("figures", unit="tables and figures" if studies else "figures") as (on_start, on_steps):
        on_start(len(parts))
        alone = processes == 1 or len(parts) < WORTH_PROCESSES
        found = (do(part, on_steps) for part in parts) if alone else in_processes(do, parts, processes, on_steps)
        for (kind, name), value in found:
            if kind == "study":
                outcomes[name] = value
            else:
                files[name], about = value
                enter(out / "figures", name, about)
    return [outcomes[name] for name in studies], {name: files[name] for name in figures}


WORTH_PROCESSES = 4
"""Tables and figures from which on processes are started to make them."""


def _do(
    store: Store, profile: str, out: Path, seed: int, part: tuple[str, str], on_steps: Callable[[int], None]
) -> tuple[tuple[str, str], Any]:
    from figures.render import draw_files
    from figures.report import conclude

    kind, name = part
    study = kind == "study"
    made = conclude(name, store, profile, seed) if study else draw_files(name, store, profile, out / "figures", seed)
    on_steps(1)
    return part, made
