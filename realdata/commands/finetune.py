"""``collapse finetune``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from sim.catalogue import COMMANDS
from sim.cli.options import (
    DEFAULT_OUT,
    Config,
    Device,
    FirstSeed,
    Json,
    Out,
    Set,
    checked_device,
    checked_seeds,
    fields,
)
from sim.cli.output import finished, records, say, show_diverged, show_metrics, write_json
from sim.cli.progress import progress


@COMMANDS.register("finetune")
def finetune(
    config: Config = None,
    set_: Set = None,
    seed: FirstSeed = 0,
    device: Device = "cpu",
    chunk: Annotated[
        int, typer.Option("--chunk", help="Images that go through the net at once; only memory depends on it.")
    ] = 64,
    workers: Annotated[int, typer.Option("--workers", help="Processes that read images; 0: this one.")] = 0,
    save_every: Annotated[int, typer.Option("--save-every", help="Steps between two checkpoints on disk.")] = 100,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Train a backbone end to end on a real data set; a run that was killed goes on from its last checkpoint."""
    from realdata import finetune as tuning
    from realdata.digests import intact
    from sim.config import dotted, parse
    from sim.sweeps import inputs
    from sim.sweeps.store import Store

    values = dotted({**fields(config, set_), "seed": checked_seeds(seed, 1)[0]})
    chosen = parse(tuning.FineTune, values).check()
    resources = tuning.Resources(checked_device(device), chunk, workers, save_every)
    store, folder = Store(out / "store"), out / "finetune" / chosen.key()
    read = inputs.of([chosen])  # before the work: what is stored is what was there when it began
    if not store.finished([chosen], read):
        started = time.perf_counter()
        with progress("finetune", unit="steps") as (on_start, on_steps):
            result = tuning.finetune(chosen, folder, resources, on_start=on_start, on_steps=on_steps)
        store.add([result], time.perf_counter() - started, read)
    (folder / tuning.CHECKPOINT).unlink(missing_ok=True)
    results = store.load([chosen])
    show_diverged(results)
    last = finished(results, chosen.evaluate[-1])
    show_metrics(last, f"{chosen.backbone} on {chosen.data.name}, step {chosen.steps}, split {chosen.evaluate[-1]}")
    place = folder / tuning.WEIGHTS
    state = "" if intact(place) else " (missing or damaged: train with another --out to have them again)"
    say(f"weights: {place}{state}\nresults: {store.folder}")
    write_json(json_file, records(last))
