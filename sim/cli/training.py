"""What commands that train share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.cli.progress import progress

if TYPE_CHECKING:
    import pandas as pd

    from sim.config import RunConfig
    from sim.sweeps.executors import Resources
    from sim.sweeps.pieces import Piece
    from sim.sweeps.store import Store


def each_loss_once(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Runs without those whose loss another one has under another name (`sim.losses.equal`), which is said."""
    from sim.cli.output import say
    from sim.losses.equal import distinct, in_words

    kept, others = distinct(configs)
    if others:
        say(f"one loss under several names, run and counted once: {in_words(others)}")
    return kept


@functools.cache
def _say_what_is_missing() -> None:
    """Once a command, that it could be faster."""
    from sim import compiled

    if reason := compiled.missing():
        print(f"note: {reason}: tensor programs run in the place of kernels, which takes longer", file=sys.stderr)


def train_missing(
    configs: Sequence[RunConfig],
    store: Store,
    label: str,
    resources: Resources | None = None,
    *,
    executor: str | None = None,
) -> pd.DataFrame:
    """Train the runs that the store doesn't hold, tell how far it is and which diverged; gives all rows of the runs."""
    from sim.cli.output import show_diverged
    from sim.sweeps.execute import execute

    if resources is None or resources.device == "cpu":
        _say_what_is_missing()
    with progress(label) as (on_start, on_steps):
        execute(configs, store, executor=executor, resources=resources, on_start=on_start, on_steps=on_steps)
    results = store.load(configs)
    show_diverged(results)
    return results


def compute_missing(pieces: Sequence[Piece], store: Store, resources: Resources | None = None) -> None:
    """Compute what the store doesn't hold of the theory, and tell how far it is."""
    from sim.sweeps.pieces import compute

    with progress("theory", unit="pieces") as (on_start, on_steps):
        compute(pieces, store, resources, on_start=on_start, on_steps=on_steps)
