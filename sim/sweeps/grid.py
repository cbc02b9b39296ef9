"""From axes to runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sim.config import MAX_RUNS, RunConfig, dotted, parse
from sim.errors import InvalidInput


def grid(base: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> list[RunConfig]:
    """Every combination of the axes on top of a base.

    Parameters
    ----------
    base : mapping from dotted fields to values
        ``{"steps": 1000, "noise.mode": "static"}``; what isn't named keeps its default.
    axes : mapping from dotted fields to lists of values
        ``{"noise.level": [0, 0.1], "seed": range(10)}``; a field of several comma-separated names takes tuples, so that
        they change together: ``{"loss.name,loss.params.alpha": [("triplet", 0.2), ("contrastive", 1.0)]}``.

    Returns
    -------
    list of RunConfig
        Checked; the last axis varies fastest.

    Raises
    ------
    InvalidInput
        Naming the field.

    Examples
    --------
    >>> runs = grid({"steps": 10}, {"noise.level": [0.0, 0.2], "seed": range(3)})
    >>> len(runs), [c.seed for c in runs[:3]]
    (6, [0, 1, 2])
    """
    configs = []
    runs = math.prod(len(values) for values in axes.values())
    if runs > MAX_RUNS:
        raise InvalidInput("axes", f"{runs} runs", f"at most {MAX_RUNS}")
    for combination in itertools.product(*axes.values()):
        assignments = dict(base)
        for names, value in zip(axes, combination, strict=True):
            fields = names.split(",")
            together = value if len(fields) > 1 else (value,)
            if not isinstance(together, Sequence) or len(together) != len(fields):
                raise InvalidInput(names, value, f"a tuple of {len(fields)} values")
            assignments.update(zip(fields, together, strict=True))
        configs.append(parse(RunConfig, dotted(assignments)).check())
    return configs
