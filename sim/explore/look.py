"""The explorer's look and words: colours, markers, the two sides, the controls. Pages are sent them, pictures use them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sim.catalogue import POSITIVES
from sim.explore.measured import AXES, COLUMNS
from sim.explore.state import State, choices
from sim.explore.verdicts import VERDICTS
from sim.look import CLASS_COLOURS, MODE_MARKERS


@dataclass(frozen=True)
class LineLook:
    """A line in the charts: its colour, its dashes and gaps in pixels, the marker at its end."""

    colour: str
    dash: tuple[int, ...]
    mark: str


SIDES = (LineLook("#D55E00", (5, 3), "square"), LineLook("#0072B2", (), "circle"))
"""The policy that is trained, and the one beside it."""

OTHERS = LineLook("#595959", (1, 3), "diamond")
"""Stored runs of policies that aren't trained now."""

WORDS = {"static": "flipped once", "resampled": "drawn afresh", "": "nothing"}
"""Values that are called otherwise than their names."""


@dataclass(frozen=True)
class Control:
    """A control of a field of `State`: a list where the field has choices, else a slider over its range.

    Attributes
    ----------
    field : str
    label : str
    step : float
        Of the slider; where the range leaves its lower end out, it starts a step above.
    offered : tuple of float
        Numbers to choose from, instead of a slider.
    typed : bool
        A number that is typed, instead of a slider.
    """

    field: str
    label: str
    step: float = 1
    offered: tuple[float, ...] = ()
    typed: bool = False

    def described(self) -> dict[str, Any]:
        """The control as the front end is told of it: ``kind`` is ``list``, ``range`` or ``number``."""
        options = list(self.offered) or choices().get(self.field)
        about = {"name": self.field, "label": self.label}
        if options:
            return {**about, "kind": "list", "options": options, "numeric": bool(self.offered)}
        low, high = _range(self.field, self.step)
        return {**about, "kind": "number" if self.typed else "range", "low": low, "high": high, "step": self.step}


def _range(field: str, step: float) -> tuple[float, float]:
    """A number field's range in `State`."""
    limits = {
        name: value
        for limit in State.model_fields[field].metadata
        for name in ("ge", "gt", "le")
        if (value := getattr(limit, name, None)) is not None
    }
    return limits["ge"] if "ge" in limits else limits["gt"] + step, limits["le"]


CONTROLS = {
    "Data": (Control("generator", "generator"), Control("classes", "classes"), Control("modes", "modes a class")),
    "Label noise": (
        Control("noise", "level", step=0.01),
        Control("noise_kind", "kind"),
        Control("noise_mode", "labels are"),
    ),
    "Loss and samplers": (
        Control("loss", "loss"),
        Control("positive", "positives"),
        Control("compare", "beside"),
        Control("negative", "negatives"),
        Control("margin", "margin", step=0.05),
        Control("per_class", "samples a class in the batch"),
    ),
    "Net": (
        Control("geometry", "embed in"),
        Control("lr", "learning rate", offered=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)),
        Control("seed", "seed", typed=True),
    ),
}
"""The controls under their headings."""


def described() -> dict[str, Any]:
    """All that a front end has to know to draw and to write as the pictures do; JSON-ready.

    Returns
    -------
    dict
        ``colours``: of the classes; ``markers``: outlines of the modes; ``sides``, ``others``: see `LineLook`; ``verdicts``: title and
        explanation by name; ``controls``: headings with their controls; ``words``: see `WORDS`; ``titles``: of positive policies that have
        one; ``columns``, ``axes``: what is measured and what a map may have as its other axis.

    Examples
    --------
    >>> found = described()
    >>> found["controls"][0]["controls"][1]
    {'name': 'classes', 'label': 'classes', 'kind': 'range', 'low': 2, 'high': 6, 'step': 1}
    >>> found["sides"][1]
    {'colour': '#0072B2', 'dash': (), 'mark': 'circle'}
    """
    return {
        "colours": CLASS_COLOURS,
        "markers": [marker.outline for marker in MODE_MARKERS],
        "sides": [asdict(side) for side in SIDES],
        "others": asdict(OTHERS),
        "verdicts": {name: asdict(verdict) for name, verdict in VERDICTS.items()},
        "controls": [
            {"heading": heading, "controls": [control.described() for control in controls]}
            for heading, controls in CONTROLS.items()
        ],
        "words": WORDS,
        "titles": {name: POSITIVES[name].title for name in POSITIVES if POSITIVES[name].title},
        "columns": [asdict(column) for column in COLUMNS],
        "axes": list(AXES),
    }
