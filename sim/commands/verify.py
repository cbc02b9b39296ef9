"""``collapse verify``."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.catalogue import CLAIMS, COMMANDS
from sim.cli.options import DEFAULT_OUT, Device, FirstSeed, Json, Out, Workers, checked_device, parts
from sim.cli.output import show, write_json
from sim.cli.progress import progress
from sim.errors import choice, integer
from sim.files import writable_folder

if TYPE_CHECKING:
    from sim.theory.claims import Setting

SIZES = {"quick": 10.0, "full": 100.0}
"""Sizes, and the seconds that a claim takes, very roughly."""


@COMMANDS.register("verify")
def verify(
    claims: Annotated[
        str, typer.Option("--claims", help="Comma-separated claims, e.g. C3,C7; all if none is named.")
    ] = "",
    size: Annotated[
        str, typer.Option("--size", help="quick (minutes) or full (more restarts, cases and seeds).")
    ] = "quick",
    seed: FirstSeed = 0,
    device: Device = "cpu",
    workers: Workers = None,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Check the theory's claims and keep the verdicts for the report; exit code 1 if a verdict, or a counter-example's, is not the documented one."""
    from sim import kept_claims
    from sim.sweeps.executors import Resources
    from sim.sweeps.pool import here_or_in_processes
    from sim.theory.claims import Setting, unexpected

    choice("size", size, SIZES)
    setting = Setting(size, integer("seed", seed, 0), checked_device(device))
    chosen = parts(claims) or list(CLAIMS)
    for name in chosen:
        CLAIMS[name]
    # A file of earlier findings that can't be read, or a folder that can't be written, is said before the work.
    writable_folder(out)
    kept_claims.read(out)
    # Processes would share one accelerator, and its memory.
    most = Resources(device, workers).processes if device == "cpu" else 1
    with progress("verify", unit="claims") as (on_start, on_steps):
        on_start(len(chosen))
        check = functools.partial(_check, setting)
        found = here_or_in_processes(check, chosen, SIZES[size] * len(chosen), most, on_steps)
        by_name = {r["id"]: r for r in found}
    reports = [by_name[name] for name in chosen]
    _show(reports, size)
    write_json(json_file, reports)
    kept_claims.keep(out, [{**r, **asdict(setting)} for r in reports])
    if wrong := [text for r in reports for text in unexpected(r)]:
        print(f"not as documented: {', '.join(wrong)}", file=sys.stderr)
        raise typer.Exit(1)


def _check(setting: Setting, name: str, on_steps: Callable[[int], None]) -> dict[str, Any]:
    from sim.theory.claims import report

    started = time.perf_counter()
    found = {**report(name, CLAIMS[name].check(setting)), "seconds": time.perf_counter() - started}
    on_steps(1)
    return found


def _show(reports: list[dict[str, Any]], size: str) -> None:
    from rich.table import Table

    shown = Table(
        "claim", "hypotheses", "bound", "best", "verdict", "counter-example", "s", title=f"claims, size {size}"
    )
    for r in reports:
        counter = r["counter_example"]
        met = "met" if all(r["hypotheses"].values()) else "not met"
        numbers = ["" if r[k] is None else f"{r[k]:.6g}" for k in ("bound", "best")]
        came_to = counter["verdict"] if counter["flipped"] else "NOT FLIPPED"
        flip = f"{came_to}: {counter['setting']}"
        shown.add_row(f"{r['id']} {r['title']}", met, *numbers, r["verdict"], flip, f"{r['seconds']:.1f}")
        for text, part in r["parts"].items():
            shown.add_row(f"  {r['id']}: {text}", "", "", "", part["verdict"], part["found"], "")
    show(shown)
