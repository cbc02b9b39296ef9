"""A progress bar for long work; silent where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Units done a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"({task.speed:,.0f}/s)")


@contextmanager
def progress(
    label: str, console: Console, unit: str = "run-steps"
) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Show a bar while work goes on; nothing at all if the console isn't a terminal.

    Yields
    ------
    (on_start, on_steps)
        To be called with the total, and with the number of steps done since the last call.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield (lambda total: bar.update(task, total=total)), (lambda done: bar.advance(task, done))
