"""``collapse results``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from sim.catalogue import COMMANDS
from sim.cli.options import DEFAULT_OUT, Csv, Json, Out, written
from sim.cli.output import records, say, say_made_with, show_means, varied, write_json
from sim.commands.sweep import SHOWN
from sim.errors import InvalidInput
from sim.files import whole, write_text


@COMMANDS.register("results")
def results(
    query: Annotated[
        str | None,
        typer.Option("--query", help="Condition on columns, e.g. 'loss.name == \"triplet\" and noise.level > 0.1'."),
    ] = None,
    csv: Csv = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", callback=written, help="Also write the rows to this Parquet file.")
    ] = None,
    out: Out = DEFAULT_OUT,
    json_file: Json = None,
) -> None:
    """Show all that the store holds, of other data and earlier schemas, too: one row a run, checkpoint and split."""
    from sim.studies import table
    from sim.sweeps import store

    if parquet is not None and not any(map(find_spec, ("pyarrow", "fastparquet"))):
        raise InvalidInput("parquet", str(parquet), "--csv, or install the extra: class-collapse[parquet]")
    rows = store.load(out / "store", query)
    if rows.empty:
        say("no rows" + ("" if query is None else f" for which {query}"))
        return
    if csv is not None:
        write_text(csv, rows.to_csv(index=False))
    if parquet is not None:
        with whole(parquet) as file:
            rows.to_parquet(file, index=False)
    write_json(json_file, records(rows))
    run = rows["key"] + rows["inputs"]
    status = rows[~run.duplicated()]["status"].value_counts()
    counts = ", ".join(f"{n} {name}" for name, n in status.items())
    say(f"{run.nunique()} runs ({counts}), {len(rows)} rows, {len(rows.columns)} columns")
    say_made_with(rows)
    if not {"split", "step"} <= set(rows.columns):
        return
    last = rows[rows["step"] == rows.groupby(run)["step"].transform("max")]
    several = rows.groupby("key")["inputs"].nunique().max() > 1
    # What stands after the dot goes with the seed.
    last = last.assign(inputs=last["inputs"] if several else last["inputs"].str.partition(".")[0])
    show_means("mean over seeds, last checkpoint", table(last, SHOWN, ["split", *varied(last)]), SHOWN)
