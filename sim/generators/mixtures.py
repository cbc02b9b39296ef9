"""Gaussian modes."""

from __future__ import annotations

import numpy as np
from scipy import stats

from sim.errors import number
from sim.generators import Layout, cell_centres, generator


@generator(min_dim=1)
def gaussian_mixture(layout: Layout) -> np.ndarray:
    """Gaussian modes; cells on a grid, in each of them one mode of every class. In one dimension, cells on a line."""
    if layout.dim == 1:
        spacing = (layout.t - 1) * layout.gap + 1.0
        return layout.blur((layout.cell * spacing + layout.classes * layout.gap)[:, None])
    plane = (cell_centres(layout)[layout.cell]) + layout.offsets()[layout.classes]
    return layout.blur(layout.embed(plane))


@generator(min_dim=3)
def nuisance_mixture(layout: Layout, *, nuisance_std: float = 0.5) -> np.ndarray:
    """A Gaussian mixture in a plane, with Gaussian noise of its own size in all other dimensions, randomly rotated."""
    number("nuisance_std", nuisance_std, "a finite number >= 0", lambda v: v >= 0)
    plane = layout.blur(cell_centres(layout)[layout.cell] + layout.offsets()[layout.classes])
    nuisance = nuisance_std * layout.points.normal(size=(len(plane), layout.dim - 2))
    rotation = stats.special_ortho_group.rvs(layout.dim, random_state=layout.layout)
    return np.asarray(np.concatenate([plane, nuisance], axis=1) @ rotation.T)
