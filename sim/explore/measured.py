"""What stored runs say near the explorer's present setting: means with intervals over noise, and maps of noise x another field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sim.config import SCHEMA
from sim.explore.state import State
from sim.studies import final, table
from sim.sweeps import store
from sim.sweeps.store import INDEX


@dataclass(frozen=True)
class Column:
    """A metric of stored runs.

    Attributes
    ----------
    name : str
        Its column in the store.
    live : str
        The same metric of the live run, see `sim.explore.engine.SHOWN_METRICS`.
    label : str
    """

    name: str
    live: str
    label: str


COLUMNS = (
    Column("relative_spread", "relative_spread", "relative spread"),
    Column("subclusters_linkage", "subclusters", "sub-clusters"),
    Column("recall_at_1", "recall_at_1", "Recall@1 on modes"),
)
"""What is shown of stored runs."""

AXES = {"positive": "positive", "loss": "loss.name", "negative": "negative"}
"""Fields of the state that a map may have as its other axis, and their columns."""


class Measured:
    """The runs of a results folder.

    Parameters
    ----------
    folder : Path, optional
        A store's folder; None or an empty one: nothing is measured.
    """

    def __init__(self, folder: Path | None) -> None:
        self.rows = pd.DataFrame()
        self._found: dict[tuple[str, ...], dict[str, Any]] = {}
        if folder is not None and (folder / INDEX).exists():
            found = store.load(folder)
            if not found.empty and "split" in found:
                self.rows = final(found[found["schema"] == SCHEMA])

    def near(self, state: State) -> dict[str, Any]:
        """Stored runs on the state's generator with its kind of noise; drawn as the state's labels are where there are such runs.

        Returns
        -------
        dict
            ``mode``: how the stored runs' labels are drawn; ``lines``: for each positive policy with the state's loss, noise levels and for each of `COLUMNS` mean, low, high;
            ``maps``: for each of `AXES` a list of cells (value, noise, runs, and the metrics' means).
        """
        wanted = (state.generator, state.noise_kind, state.noise_mode, *(getattr(state, axis) for axis in AXES))
        if wanted not in self._found:
            self._found[wanted] = self._near(state)
        return self._found[wanted]

    def _near(self, state: State) -> dict[str, Any]:
        if self.rows.empty:
            return {"mode": "", "lines": {}, "maps": {}}
        chosen = self.rows[(self.rows["data.name"] == state.generator) & (self.rows["noise.kind"] == state.noise_kind)]
        found: dict[str, Any] = {"mode": "", "lines": {}, "maps": {}}
        if chosen.empty:
            return found
        modes = set(chosen["noise.mode"])
        found["mode"] = state.noise_mode if state.noise_mode in modes else modes.pop()
        chosen = chosen[chosen["noise.mode"] == found["mode"]]
        present = [column.name for column in COLUMNS if column.name in chosen]
        own = chosen[chosen["loss.name"] == state.loss]
        if not own.empty:
            for row in table(own, present, ["positive", "noise.level"]).to_dict("records"):
                line = found["lines"].setdefault(str(row["positive"]), [])
                line.append(
                    _plain(
                        {
                            "noise": row["noise.level"],
                            **{k: row[k] for k in row if k not in ("positive", "noise.level")},
                        }
                    )
                )
        for axis, column in AXES.items():
            others = [c for a, c in AXES.items() if a not in (axis, "negative")]
            held = chosen
            for other in others:
                value = getattr(state, {c: a for a, c in AXES.items()}[other])
                held = held[held[other] == value]
            if held[column].nunique() > 1:
                cells = table(held, present, [column, "noise.level"]).to_dict("records")
                found["maps"][axis] = [
                    _plain(
                        {"value": c[column], "noise": c["noise.level"], "runs": c["runs"], **{m: c[m] for m in present}}
                    )
                    for c in cells
                ]
        return found


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """No NumPy numbers."""
    return {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()}
