"""What each column of results is: about the run, a field of its configuration, or a metric. Nothing is guessed from places or values."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sim.config import RunConfig
from sim.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

ABOUT_RUNS = ("key", "schema", "inputs", "status", "diverged_at", "seconds", "step", "split")
"""Columns that say which run and checkpoint a row is of, and how it came about."""

FIELDS = "fields"
"""Attribute of a table of results: the columns that hold configurations."""

LOSS = "loss"
"""The mean loss: in every row beside the metrics."""

SUFFIXES = ("_low", "_high", "_n")
"""What tables of means put behind a metric's name."""


def is_field(column: str) -> bool:
    """Whether a column holds a field of a `RunConfig`, by its dotted name; what is in ``params`` does.

    Examples
    --------
    >>> [is_field(c) for c in ("noise.level", "loss.params.alpha", "seed", "loss", "noise", "loss.beta")]
    [True, True, True, False, False, False]
    """
    name, *below = column.split(".")
    if name not in RunConfig.model_fields:
        return False
    parts = getattr(RunConfig.model_fields[name].annotation, "model_fields", None)
    if parts is None or not below:
        return parts is None and not below
    return below[0] in parts and (len(below) == 1 or below[0] == "params")


def fields(results: pd.DataFrame) -> list[str]:
    """The columns of results that hold configurations: those that the store says (`told`), else the fields of `RunConfig`.

    Examples
    --------
    >>> import pandas as pd
    >>> fields(pd.DataFrame(columns=["key", "noise.level", "seed", "step", "loss", "recall_at_1"]))
    ['noise.level', 'seed']
    """
    from_store = results.attrs.get(FIELDS)
    return [c for c in results.columns if (is_field(c) if from_store is None else c in from_store)]


def told(results: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Results that know which columns hold configurations: other kinds of runs have other fields than `RunConfig`.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = told(pd.DataFrame(columns=["backbone", "seed", "loss"]), ["backbone", "seed"])
    >>> fields(rows[rows["seed"] == 0])
    ['backbone', 'seed']
    """
    results.attrs[FIELDS] = sorted(names)
    return results


def metrics(results: pd.DataFrame) -> list[str]:
    """The columns of results that hold numbers measured on runs: the loss, what it has learnt, and the metrics.

    Examples
    --------
    >>> import pandas as pd
    >>> metrics(pd.DataFrame(columns=["key", "noise.level", "seed", "step", "loss", "recall_at_1"]))
    ['loss', 'recall_at_1']
    """
    others = {*ABOUT_RUNS, *fields(results)}
    return [c for c in results.columns if c not in others]


@functools.cache
def check_name(name: str) -> None:
    """Refuse a metric's name that means something else in results.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> check_name("noise")
    >>> check_name("steps")
    Traceback (most recent call last):
    sim.errors.InvalidInput: metric: got 'steps'; allowed: a name that no other column of results has
    """
    if name == LOSS or name in ABOUT_RUNS or is_field(name):
        raise InvalidInput("metric", name, "a name that no other column of results has")
    if name.endswith(SUFFIXES):
        raise InvalidInput("metric", name, f"a name that doesn't end in {', '.join(SUFFIXES)}: tables of means do")
