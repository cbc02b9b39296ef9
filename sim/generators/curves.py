"""Modes that are curves: rings, half moons, spiral arms."""

from __future__ import annotations

import math

import numpy as np

from sim.errors import number
from sim.generators.base import Layout, generator


@generator()
def rings(layout: Layout) -> np.ndarray:
    """Concentric rings, the class alternating with the radius: a mode is a ring.

    Examples
    --------
    >>> sample = rings(classes=2, modes_per_class=2, samples_per_mode=5, separation=1e6)
    >>> radius = np.linalg.norm(sample.x, axis=1)[::5].round(3)
    >>> list(zip(sample.classes[::5].tolist(), radius.tolist()))
    [(0, 1.0), (0, 3.0), (1, 2.0), (1, 4.0)]
    """
    spacing = (layout.t - 1) * layout.gap + 1.0
    radius = 1.0 + layout.cell * spacing + layout.classes * layout.gap
    radius = radius + layout.std * layout.points.normal(size=len(radius))
    angle = layout.points.uniform(0, 2 * np.pi, len(radius))
    return layout.embed(radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))


@generator()
def moons(layout: Layout) -> np.ndarray:
    """A chain of half moons (radius 2) that open up and down in turn, each one's tips in the bows of its neighbours.

    A mode is a moon; the class alternates along the chain. Tips stay a gap of 1 away from the next moon of their own row.

    Examples
    --------
    >>> sample = moons(classes=2, modes_per_class=1, samples_per_mode=200, separation=1e6)
    >>> first, second = (sample.x[sample.classes == c] for c in (0, 1))
    >>> bool(first[:, 1].max() > 1 and second[:, 1].min() < -1)  # the first opens down, the second up
    True
    """
    moon = layout.cell * layout.t + layout.classes
    radius, tip_gap = 2.0, 1.0
    rise = math.sqrt((radius - layout.gap) ** 2 - (tip_gap / 2) ** 2)
    up = np.where(moon % 2 == 0, 1.0, -1.0)
    angle = layout.points.uniform(0, np.pi, len(moon))
    across = radius * np.cos(angle) + moon * (radius + tip_gap / 2)
    return layout.embed(layout.blur(np.stack([across, up * (radius * np.sin(angle) - rise / 2)], axis=1)))


@generator()
def spirals(layout: Layout, *, turns: float = 0.5) -> np.ndarray:
    """Spiral arms around one middle, the class alternating: a mode is an arm. Arms are a gap apart half-way out.

    Examples
    --------
    >>> sample = spirals(classes=2, modes_per_class=2, turns=1.0)
    >>> sample.x.shape, len(np.unique(sample.modes))
    ((200, 2), 4)
    >>> spirals(turns=0)
    Traceback (most recent call last):
    sim.errors.InvalidInput: turns: got 0; allowed: a number, 1e-6 to 1e6
    """
    turns = number("turns", turns, "a number, 1e-6 to 1e6", lambda v: 1e-6 <= v <= 1e6)
    inner, outer = 0.35, 1.0
    along = layout.points.uniform(inner, outer, len(layout.cell))
    within = (layout.t - 1) * layout.gap + 1.0
    arm = (layout.cell * within + layout.classes * layout.gap) / (layout.cells * within)
    angle = 2 * np.pi * (arm + turns * along)
    # An arm runs outwards at a slope: the gap across it is less than the arc between two arms.
    middle, slope = (inner + outer) / 2, 1 / (2 * np.pi * turns)
    scale = layout.cells * within / (2 * np.pi) * math.hypot(middle, slope) / (middle * slope)
    plane = (scale * along)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return layout.embed(layout.blur(plane))
