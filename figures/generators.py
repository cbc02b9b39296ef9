"""All generators, one panel each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES, GENERATORS
from sim.look import scatter_modes

TITLES = {
    "gaussian_mixture": "Gaussian mixture",
    "nuisance_mixture": "nuisance dims (2 PCs of 10)",
    "rings": "rings",
    "moons": "moons",
    "spirals": "spirals",
    "xor_grid": "XOR grid",
    "hierarchy": "hierarchy (2 super-classes)",
    "sphere_vmf": "von Mises–Fisher",
}
DIMENSION = {"nuisance_mixture": 10, "sphere_vmf": 3}
OPTIONS: dict[str, dict[str, Any]] = {"nuisance_mixture": {"nuisance_std": 0.2}, "hierarchy": {"classes": 4}}


def _plane(x: np.ndarray) -> np.ndarray:
    """The two leading principal components, for what isn't planar."""
    if x.shape[1] == 2:
        return x
    centred = x - x.mean(0)
    projected: np.ndarray = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    return projected


def draw(_: Source) -> Figure:
    """All generators there are, the titled ones first."""
    return panels([*TITLES, *(name for name in GENERATORS if name not in TITLES)])


def panels(names: Sequence[str]) -> Figure:
    """A panel for each generator: colour is the class, shape the mode."""
    from sim import generators

    figure, axes = plt.subplots(2, (len(names) + 1) // 2, figsize=(DOUBLE_COLUMN, 3.7))
    for axis, name in zip(axes.flat, names, strict=False):
        dim = DIMENSION.get(name, max(2, GENERATORS[name].min_dim))
        options = OPTIONS.get(name, {})
        sample = generators.generate(name, dim=dim, separation=7.0, **options)
        if name == "sphere_vmf":
            axis.remove()
            axis = figure.add_subplot(*axes.shape, names.index(name) + 1, projection="3d")
            axis.set_box_aspect((1, 1, 1), zoom=1.25)
            x = sample.x
            u, v = np.mgrid[0 : 2 * np.pi : 25j, 0 : np.pi : 13j]
            axis.plot_wireframe(
                np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v), color="0.85", linewidth=0.3, zorder=0
            )
        else:
            x = _plane(sample.x)
            axis.set_aspect("equal")
        scatter_modes(axis, x, sample.classes, sample.modes, s=5)
        axis.set_title(TITLES.get(name, name))
        axis.set_axis_off()
    return figure


FIGURES.register("generators")(
    Entry(
        title="The multi-modal problems",
        caption=(
            "Every generator with four modes a class: colour is the class, shape the mode. A class's modes are interleaved "
            "with those of the other classes, except in the hierarchy."
        ),
        study=None,
        draw=draw,
    )
)
