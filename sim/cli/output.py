"""What commands print and write: tables, sentences, JSON and CSV. The one place for all of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim import files
from sim.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from sim.verdict import Finding

AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
"""Paths and users' texts are shown as they are, in tables, titles and sentences: brackets and colons mean nothing."""

WIDTH = 200
"""Columns of a table that goes to a file or a pipe: one wider than the terminal would lose columns."""


@functools.cache
def console(width: int | None = None) -> Console:
    """Where commands print; as wide as the terminal if no width is given."""
    from rich.console import Console

    return Console(width=width, **AS_IT_IS)


def say(text: str, **look: Any) -> None:
    """Print a text as it is; long lines stay whole."""
    console().print(text, soft_wrap=True, **look)


def show(table: Table) -> None:
    """Print a table; where nobody watches it may be as wide as it needs."""
    place = console()
    (place if place.is_terminal else console(width=max(place.width, WIDTH))).print(table)


def show_rows(title: str, frame: pd.DataFrame) -> None:
    """Print a DataFrame, numbers to three digits."""
    from rich.table import Table

    shown = Table(title=title)
    for column in frame.columns:
        shown.add_column(str(column), no_wrap=True, justify="left" if frame[column].dtype == object else "right")
    for row in frame.itertuples(index=False):
        shown.add_row(*[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row])
    show(shown)


def show_metrics(last: pd.DataFrame, title: str) -> None:
    """Print mean and interval over runs of one configuration, a metric a line."""
    from rich.table import Table

    from sim.studies import columns_of, table

    metrics = metric_columns(last)
    summary = table(last, metrics, ["loss.name", "positive", "negative", "noise.level"])
    runs = summary["runs"][0]
    shown = Table("metric", "mean", "low", "high", "runs", title=title)
    for m in metrics:
        *numbers, n = (summary[name][0] for name in columns_of(m))
        shown.add_row(m, *(f"{v:.4g}" for v in numbers), f"{n}" if n == runs else f"{n} of {runs}")
    show(shown)


def show_means(title: str, summary: pd.DataFrame, metrics: Sequence[str]) -> None:
    """Print a table of `sim.studies.table` without its intervals."""
    from sim.studies import columns_of
    from sim.tables import share

    shown = summary.drop(columns=[column for m in metrics for column in columns_of(m)[1:]])
    for m in metrics:
        counts = zip(summary[m], summary[columns_of(m)[-1]], summary["runs"], strict=True)
        if (summary[columns_of(m)[-1]] < summary["runs"]).any():
            shown[m] = [f"{mean:.3g}{share(n, runs)}" for mean, n, runs in counts]
    show_rows(title, shown)


def show_findings(findings: Sequence[Finding]) -> None:
    """Print what was confirmed and what wasn't, a sentence a claim."""
    from sim.verdict import in_words

    for sentence in in_words(findings):
        say(f"- {sentence}")


def show_diverged(results: pd.DataFrame) -> None:
    """Name the runs whose loss stopped being finite."""
    for _, run in results[results["status"] == "diverged"].drop_duplicates("key").iterrows():
        say(
            f"run {run['key']} (seed {run['seed']}, noise {run['noise.level']:g}) diverged by step {run['diverged_at']:g}: "
            "its loss is not finite; the other runs are unharmed",
            style="yellow",
        )


def metric_columns(last: pd.DataFrame) -> list[str]:
    """The columns of results that hold metrics, those that any run has."""
    from sim import columns

    return [c for c in columns.metrics(last) if last[c].notna().any()]


def varied(results: pd.DataFrame) -> list[str]:
    """What tells the settings in results apart: the fields in which the runs differ, but for the seed; the version that
    made them, and what they read."""
    from sim import columns

    told_apart = [c for c in (*columns.fields(results), "schema", "inputs") if c in results and c != "seed"]
    return [c for c in told_apart if results[c].nunique(dropna=False) > 1]


def say_made_with(results: pd.DataFrame) -> None:
    """Say of which rows another version computes other values."""
    from sim.studies import made_with

    note = made_with(results)
    if note:
        say(note, style="yellow")


def finished(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """The last rows of the runs that finished, of which there must be one.

    Raises
    ------
    InvalidInput
    """
    from sim.studies import final

    last = final(results, split)
    if last.empty:
        raise InvalidInput(
            "run", results["key"].iloc[0], "at least one run whose loss stays finite (lower optimizer.lr?)"
        )
    return last


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON-ready dictionaries; NaN becomes null."""
    return [
        {str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def write_json(place: Path | None, value: Any) -> None:
    """Write what was printed to a JSON file, if one is wanted."""
    if place is not None:
        files.write_json(place, value)
