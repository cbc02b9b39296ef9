"""Gaussian modes."""

from __future__ import annotations

import numpy as np

from sim.errors import integer, number
from sim.generators.base import Layout, cell_centres, generator

MOST_ROTATED = 1_000
"""Dimensions of a random rotation, which takes their cube in time."""


@generator(min_dim=1)
def gaussian_mixture(layout: Layout) -> np.ndarray:
    """Gaussian modes; cells on a grid, in each of them one mode of every class. In one dimension, cells on a line.

    Examples
    --------
    >>> sample = gaussian_mixture(classes=2, modes_per_class=2, samples_per_mode=5, dim=1, separation=1e6)
    >>> place = np.abs(sample.x[::5, 0]).round(3)
    >>> list(zip(sample.classes[::5].tolist(), place.tolist()))  # classes alternate along the line
    [(0, 0.0), (0, 2.0), (1, 1.0), (1, 3.0)]
    """
    if layout.dim == 1:
        spacing = (layout.t - 1) * layout.gap + 1.0
        return layout.blur((layout.cell * spacing + layout.classes * layout.gap)[:, None])
    plane = cell_centres(layout)[layout.cell] + layout.offsets()[layout.classes]  # (n, 2)
    return layout.blur(layout.embed(plane))


@generator(min_dim=3)
def nuisance_mixture(layout: Layout, *, nuisance_std: float = 0.5) -> np.ndarray:
    """A Gaussian mixture in a plane, with Gaussian noise of its own size in all other dimensions, randomly rotated.

    Examples
    --------
    >>> sample = nuisance_mixture(dim=10, nuisance_std=0.0)
    >>> sample.x.shape, int(np.linalg.matrix_rank(sample.x, tol=1e-9))  # without nuisance, a plane
    ((400, 10), 2)
    """
    # Imported here, as everyone imports `sim.generators`, and SciPy is slow to load.
    from scipy import stats

    nuisance_std = number("nuisance_std", nuisance_std, "a number, 0 to 1e9", lambda v: 0 <= v <= 1e9)
    integer("dim (nuisance_mixture)", layout.dim, 3, MOST_ROTATED)
    plane = layout.blur(cell_centres(layout)[layout.cell] + layout.offsets()[layout.classes])
    nuisance = nuisance_std * layout.points.normal(size=(len(plane), layout.dim - 2))  # (n, d - 2)
    rotation = stats.special_ortho_group.rvs(layout.dim, random_state=layout.layout)
    return np.asarray(np.concatenate([plane, nuisance], axis=1) @ rotation.T)
