"""A tree of super-classes, classes and modes."""

from __future__ import annotations

import math

import numpy as np

from sim.errors import integer
from sim.generators.base import Layout, generator


@generator()
def hierarchy(layout: Layout, *, superclasses: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A tree: super-classes hold classes, classes hold modes; each level is farther apart than the one below.

    Modes of a class are neighbours here, a gap of 1 apart; the classes of a super-class leave ``1 - overlap`` plus one class's
    extent between them, super-classes twice that of all their classes. Classes are dealt to super-classes in turn.

    Examples
    --------
    >>> sample = hierarchy(classes=4, modes_per_class=2, samples_per_mode=5, superclasses=2)
    >>> {(int(c), int(s)) for c, s in zip(sample.classes, sample.superclasses)} == {(0, 0), (1, 1), (2, 0), (3, 1)}
    True
    """
    superclasses = integer("superclasses", superclasses, 1, layout.t)

    def polygon(corners: int, side: float) -> np.ndarray:
        if corners == 1:
            return np.zeros((1, 2))
        angles = 2 * np.pi * np.arange(corners) / corners + layout.layout.uniform(0, 2 * np.pi)
        return side / 2 / math.sin(math.pi / corners) * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def extent(points: np.ndarray) -> float:
        return 2 * float(np.linalg.norm(points, axis=1).max())

    above = np.arange(layout.t) % superclasses
    modes = polygon(layout.cells, 1.0)
    siblings = math.ceil(layout.t / superclasses)
    classes = polygon(siblings, extent(modes) + layout.gap)
    tops = polygon(superclasses, 2 * (extent(classes) + extent(modes)) + 1.0)
    centre = tops[above] + classes[np.arange(layout.t) // superclasses]
    plane = centre[layout.classes] + modes[layout.cell]
    return layout.blur(layout.embed(plane)), above[layout.classes]
