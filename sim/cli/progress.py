"""Progress of long work: a bar where somebody watches, a line a minute where the output goes to a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sim.cli.output import console

SECONDS_BETWEEN_LINES = 60.0


OnNumber = Callable[[int], None]


@contextmanager
def progress(label: str, unit: str = "run-steps") -> Iterator[tuple[OnNumber, OnNumber]]:
    """Tell how far long work is.

    Yields
    ------
    (on_start, on_steps)
        To be called with the total, and with the number of steps done since the last call.
    """
    with (_bar if console().is_terminal else _lines)(label, unit) as told:
        yield told


@contextmanager
def _bar(label: str, unit: str) -> Iterator[tuple[OnNumber, OnNumber]]:
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

    class Rate(ProgressColumn):
        """Units done a second."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"({task.speed:,.0f}/s)")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield (lambda total: bar.update(task, total=total)), (lambda done: bar.advance(task, done))


@contextmanager
def _lines(label: str, unit: str) -> Iterator[tuple[OnNumber, OnNumber]]:
    started = told = time.monotonic()
    total = done = 0

    def on_start(number: int) -> None:
        nonlocal total
        total = number

    def on_steps(number: int) -> None:
        nonlocal done, told
        done += number
        now = time.monotonic()
        if now - told >= SECONDS_BETWEEN_LINES:
            told = now
            print(f"{label}: {done:,} of {total:,} {unit} after {now - started:,.0f} s", file=sys.stderr, flush=True)

    yield on_start, on_steps
