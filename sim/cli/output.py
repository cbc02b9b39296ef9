"""What commands print and write: tables, sentences, JSON and CSV. The one place for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from sim import files
from sim.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from sim.verdict import Finding

AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
"""Paths and users' texts are shown as they are, in tables, titles and sentences: brackets and colons mean nothing."""

console = Console(**AS_IT_IS)

WIDTH = 200
"""Columns of a table that goes to a file or a pipe: one wider than the terminal would lose columns."""


def say(text: str, **look: Any) -> None:
    """Print a text as it is; long lines stay whole."""
    console.print(text, soft_wrap=True, **look)


def show(table: Table) -> None:
    """Print a table; where nobody watches it may be as wide as it needs."""
    (console if console.is_terminal else Console(width=max(console.width, WIDTH), **AS_IT_IS)).print(table)


def show_rows(title: str, frame: pd.DataFrame) -> None:
    """Print a DataFrame, numbers to three digits."""
    shown = Table(title=title)
    for column in frame.columns:
        shown.add_column(str(column), no_wrap=True, justify="left" if frame[column].dtype == object else "right")
    for row in frame.itertuples(index=False):
        shown.add_row(*[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row])
    show(shown)


def show_metrics(last: pd.DataFrame, title: str) -> None:
    """Print mean and interval over runs of one configuration, a metric a line."""
    from sim.studies import table

    metrics = metric_columns(last)
    summary = table(last, metrics, ["loss.name", "positive", "negative", "noise.level"])
    shown = Table("metric", "mean", "low", "high", "runs", title=title)
    for m in metrics:
        numbers = (f"{summary[name][0]:.4g}" for name in (m, f"{m}_low", f"{m}_high"))
        shown.add_row(m, *numbers, str(summary[f"{m}_n"][0]))
    show(shown)


def show_means(title: str, summary: pd.DataFrame) -> None:
    """Print a table of `sim.studies.table` without its intervals; a mean over fewer runs than the row's says so."""
    from sim.tables import of_runs

    shown = summary.copy()
    for n in [c for c in summary if c.endswith("_n") and {f"{c[:-2]}_low", f"{c[:-2]}_high"} <= set(summary)]:
        metric = n.removesuffix("_n")
        if (summary[n] != summary["runs"]).any():
            shown[metric] = [
                f"{mean:.3g}{of_runs(k, runs)}"
                for mean, k, runs in zip(summary[metric], summary[n], summary["runs"], strict=True)
            ]
        shown = shown.drop(columns=[n, f"{metric}_low", f"{metric}_high"])
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
    """The columns of results (`sim.sweeps.store.Store.load`) that hold metrics, those that any run has: they come last."""
    if "split" not in last:
        return []
    return [c for c in last.columns[last.columns.get_loc("split") + 1 :] if last[c].notna().any()]


def config_columns(results: pd.DataFrame) -> list[str]:
    """The columns of results (`sim.sweeps.store.Store.load`) that hold the runs' configurations: between ``seconds`` and ``step``."""
    columns = list(results.columns)
    return columns[columns.index("seconds") + 1 : columns.index("step") if "step" in columns else None]


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
