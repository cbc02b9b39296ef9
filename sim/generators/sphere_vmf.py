"""Modes on a sphere."""

from __future__ import annotations

import numpy as np

from sim.generators.base import Layout, generator


@generator()
def sphere_vmf(layout: Layout) -> np.ndarray:
    """Von Mises-Fisher modes on the unit sphere in R^d.

    Cells are spread by a greedy farthest-point choice among random directions, the classes of a cell sit around its middle.
    Angles take the place of distances: the angular gap is what leaves every cell its room, and the concentration
    (separation / angular gap)^2 makes the angular standard deviation gap / separation.

    Examples
    --------
    >>> sample = sphere_vmf(classes=2, modes_per_class=3, dim=4)
    >>> sample.x.shape, bool(np.allclose(np.linalg.norm(sample.x, axis=1), 1))
    ((300, 4), True)
    """
    # Imported here, as everyone imports `sim.generators`, and SciPy is slow to load.
    from scipy import stats

    if layout.dim == 2:
        unit = 2 * np.pi / (layout.cells * ((layout.t - 1) * layout.gap + 1.0))
        angle = unit * (layout.cell * ((layout.t - 1) * layout.gap + 1.0) + layout.classes * layout.gap)
        means = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
    else:
        candidates = layout.layout.normal(size=(max(2000, 50 * layout.cells), layout.dim))
        candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
        chosen, nearest_to = [0], candidates @ candidates[0]
        while len(chosen) < layout.cells:
            chosen.append(int(nearest_to.argmin()))
            nearest_to = np.maximum(nearest_to, candidates @ candidates[chosen[-1]])
        centres = candidates[chosen]
        nearest = np.pi if layout.cells == 1 else float(np.arccos(np.sort(centres @ centres.T, axis=1)[:, -2].max()))
        reach = np.linalg.norm(layout.offsets(), axis=1).max()
        unit = nearest / (2 * reach / layout.gap + 1.0)
        frames = []
        for centre in centres:
            tangent = layout.layout.normal(size=(layout.dim, 2))
            frames.append(np.linalg.qr(np.column_stack([centre, tangent]))[0][:, 1:])
        shift = unit * np.einsum("ndk,nk->nd", np.stack(frames)[layout.cell], layout.offsets()[layout.classes])
        angle = np.linalg.norm(shift, axis=1, keepdims=True)
        direction = np.divide(shift, angle, out=np.zeros_like(shift), where=angle > 0)
        means = np.cos(angle) * centres[layout.cell] + np.sin(angle) * direction  # (n, d)
    kappa = 1 / (unit * layout.std) ** 2
    x = np.empty_like(means)
    for mean in np.unique(means, axis=0):
        rows = (means == mean).all(1)
        x[rows] = stats.vonmises_fisher(mean, kappa).rvs(int(rows.sum()), random_state=layout.points)
    return x
