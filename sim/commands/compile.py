"""``collapse compile``."""

from __future__ import annotations

import time

from sim.catalogue import COMMANDS
from sim.cli.options import Workers
from sim.cli.output import say
from sim.cli.progress import progress


@COMMANDS.register("compile")
def compile_(workers: Workers = None) -> None:
    """Compile all kernels now, rather than when a command first needs them; they are kept on the disk."""
    from sim import ahead
    from sim.compiled import missing
    from sim.sweeps.executors import Resources
    from sim.sweeps.pool import in_processes

    if reason := missing():
        say(f"nothing to compile: {reason}")
        return
    started, parts = time.perf_counter(), ahead.parts()
    with progress("compile", unit="parts") as (on_start, on_steps):
        on_start(len(parts))
        done = list(in_processes(ahead.compile_part, parts, Resources(workers=workers).processes, on_steps))
    say(f"{len(done)} parts compiled in {time.perf_counter() - started:,.0f} s")
