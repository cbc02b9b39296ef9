"""A checkerboard."""

from __future__ import annotations

import numpy as np

from sim.generators.base import Layout, generator


@generator()
def xor_grid(layout: Layout) -> np.ndarray:
    """A checkerboard of Gaussian modes with class (row + column) mod t: every neighbour is of another class.

    Examples
    --------
    >>> sample = xor_grid(classes=2, modes_per_class=2, samples_per_mode=2, separation=1e6)
    >>> place = np.abs(sample.x[::2]).round(3)
    >>> list(zip(sample.classes[::2].tolist(), place.tolist()))
    [(0, [0.0, 0.0]), (0, [1.0, 1.0]), (1, [1.0, 0.0]), (1, [0.0, 1.0])]
    """
    per_side = [w for w in range(1, layout.cells + 1) if layout.cells % w == 0]
    wide = min(per_side, key=lambda w: abs(layout.t * w - layout.cells // w))
    row, block = layout.cell // wide, layout.cell % wide
    column = block * layout.t + (layout.classes - row) % layout.t
    return layout.embed(layout.blur(layout.gap * np.stack([column, row], axis=1).astype(float)))
