"""From axes to runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.config import MAX_RUNS, Checked, RunConfig, dotted, parse
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
    runs = math.prod(len(values) for values in axes.values())
    if runs > MAX_RUNS:
        raise InvalidInput("axes", f"{runs} runs", f"at most {MAX_RUNS}")
    product = Product(base, [[_assigned(names, value) for value in values] for names, values in axes.items()])
    return [product.run(place) for place in product.places()]


def _assigned(names: str, value: Any) -> dict[str, Any]:
    fields = names.split(",")
    together = value if len(fields) > 1 else (value,)
    if not isinstance(together, Sequence) or len(together) != len(fields):
        raise InvalidInput(names, value, f"a tuple of {len(fields)} values")
    return dict(zip(fields, together, strict=True))


class Product:
    """Every combination of axes on top of a base; each distinct part of runs is read, validated and checked once.

    Parameters
    ----------
    base : mapping from dotted fields to values
    axes : sequence of sequences of mapping from dotted fields to values
        What is assigned at each point of each axis.

    Examples
    --------
    >>> product = Product({"steps": 10}, [[{"noise.level": 0.0}, {"noise.level": 0.2}], [{"seed": 0}, {"seed": 1}]])
    >>> [(run.noise.level, run.seed) for run in map(product.run, product.places())]
    [(0.0, 0), (0.0, 1), (0.2, 0), (0.2, 1)]
    """

    def __init__(self, base: Mapping[str, Any], axes: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        self.base, self.axes = base, axes
        tops = [{_top(field) for point in axis for field in point} for axis in axes]
        self._given = set(map(_top, base)).union(*tops)
        # The model's own fields first, and in its order, in which faults are told.
        every = dict.fromkeys([*RunConfig.model_fields, *self._given])
        on_axes = {top: [k for k, of_axis in enumerate(tops) if top in of_axis] for top in every}
        self._varied = {top: own for top, own in on_axes.items() if own}
        self._fixed = [top for top in every if top not in self._varied]
        self._of_all: dict[str, Any] = {}
        self._read: dict[tuple[object, ...], Any] = {}
        self._checked = Checked()

    def places(self) -> Iterator[tuple[int, ...]]:
        """The runs' places on the axes, the last varying fastest."""
        return itertools.product(*(range(len(axis)) for axis in self.axes))

    def assignments(self, place: tuple[int, ...]) -> dict[str, Any]:
        """What is assigned at a place; later axes win."""
        assigned = dict(self.base)
        for axis, k in zip(self.axes, place, strict=True):
            assigned.update(axis[k])
        return assigned

    def run(self, place: tuple[int, ...], *, check: bool = True) -> RunConfig:
        """The run at a place.

        Raises
        ------
        InvalidInput
            Naming the field.
        """
        if not self._of_all:
            self._of_all = {top: self._field(top, place) for top in self._fixed}
        found = dict(self._of_all)
        for top, own in self._varied.items():
            where = (top, *[place[k] for k in own])
            if where not in self._read:
                self._read[where] = self._field(top, place)
            found[top] = self._read[where]
        config = RunConfig.model_construct(self._given, **found)
        if check:
            self._checked.config(config)
        return config

    def _field(self, top: str, place: tuple[int, ...]) -> Any:
        # The whole run is read, so that of several faults the one is told that is told of the whole run.
        return getattr(parse(RunConfig, dotted(self.assignments(place))), top)


def _top(field: object) -> str:
    return str(field).partition(".")[0]
