"""``collapse sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sim.catalogue import COMMANDS, EXECUTORS
from sim.cli.options import DEFAULT_OUT, Device, Json, Out, Workers, checked_device, written
from sim.cli.output import finished, metric_columns, records, say, show_means, varied, write_json
from sim.cli.training import each_loss_once, train_missing
from sim.files import write_text

SHOWN = ("within_mean", "relative_spread", "subclusters_linkage", "recall_at_1")
"""Metrics in the printed table."""


@COMMANDS.register("sweep")
def sweep(
    specification: Annotated[
        str, typer.Argument(metavar="SPEC", help="YAML file, or the name of a shipped specification.")
    ] = "",
    executor: Annotated[
        str | None,
        typer.Option("--executor", help="local, processes, dask, or a plugin's; if not given, what suits the work."),
    ] = None,
    workers: Workers = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a dask scheduler; a cluster on this machine if not given."),
    ] = None,
    device: Device = "cpu",
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", callback=written, help="Write one row a run (last checkpoint), and the command, to this file."
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the shipped specifications and leave.")] = False,
) -> None:
    """Train every run of a specification that the store doesn't hold yet, and print the table."""
    from sim.sweeps import spec

    if list_:
        for name in spec.shipped():
            say(f"{name}: {len(spec.load(name, check=False))} runs")
        return

    # Before what is slow to import: a file that is no specification is refused at once.
    wanted = spec.load(specification)

    from sim.config import SCHEMA
    from sim.studies import FACTORS, table
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store

    if executor is not None:
        EXECUTORS[executor]
    configs = each_loss_once(wanted)
    resources = Resources(checked_device(device), workers, scheduler)
    store = Store(out / "store")
    missing = len(configs) - len(store.finished(configs))
    say(f"{len(configs)} runs, {len(configs) - missing} of them in {store.folder}")
    name = Path(specification).stem
    results = train_missing(configs, store, name, resources, executor=executor)
    last = finished(results, configs[0].evaluate[-1])
    summary = table(last, SHOWN, varied(last) or ["data.name"])
    show_means(f"{name}: mean over seeds", summary, SHOWN)
    write_json(json_file, records(summary))
    if csv is not None:
        rows = last[[*FACTORS, "seed", *metric_columns(last)]].sort_values([*FACTORS, "seed"])
        # These runs were found by their keys, which hold the version.
        rows.insert(len(FACTORS) + 1, "schema", SCHEMA)
        text = rows.to_csv(index=False, float_format="%.5g", lineterminator="\n")
        write_text(csv, f"# collapse sweep {specification} --csv {csv.name}\n{text}")
