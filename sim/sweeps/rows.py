"""From the records of a store to a tidy table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sim.columns import told
from sim.sweeps.index import ABOUT, Record
from sim.sweeps.query import possible

if TYPE_CHECKING:
    import pandas as pd


def table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a run, checkpoint and split, see `sim.sweeps.store.Store.load`."""
    import pandas as pd

    tidy, without = [], []
    fields: set[str] = set()
    for record in records:
        run = {**{name: getattr(record, name) for name in ABOUT}, **(form := flatten(json.loads(record.config)))}
        fields |= form.keys()
        rows = sorted(json.loads(record.rows), key=lambda row: (row["step"], row["split"]))
        tidy += [{**run, **row} for row in rows]
        without += [] if rows else [run]
    return told(pd.DataFrame(tidy + without), fields)


def possible_runs(runs: Iterable[tuple[str, dict[str, Any]]], query: str) -> list[tuple[str, str]]:
    """The names (key, inputs) of the runs for which a condition may be true, as far as their configurations tell.

    Parameters
    ----------
    runs : iterable of (configuration, mapping)
        JSON, and what is said of the run beside it, see `sim.sweeps.index.ABOUT`.
    query : str
        See `sim.sweeps.query.select`.

    Raises
    ------
    InvalidInput
        If the query can't be evaluated.
    """
    import pandas as pd

    told_of, unreadable = [], []
    for config, about in runs:
        try:
            told_of.append({**about, **flatten(json.loads(config))})
        except (ValueError, AttributeError, RecursionError):
            unreadable.append((about["key"], about["inputs"]))  # whoever reads its record says that it is damaged
    found = possible(pd.DataFrame(told_of), query) if told_of else pd.DataFrame(columns=["key", "inputs"])
    return [*zip(found["key"], found["inputs"], strict=True), *unreadable]


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"noise": {"level": 0.2}}`` -> ``{"noise.level": 0.2}``; lists and empty mappings stay as JSON text.

    Examples
    --------
    >>> flatten({"noise": {"level": 0.2, "params": {}}, "evaluate": ["test"]})
    {'noise.level': 0.2, 'noise.params': '{}', 'evaluate': '["test"]'}
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, (dict, list)) else value
    return flat
