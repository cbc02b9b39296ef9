"""A checkerboard."""

from __future__ import annotations

import numpy as np

from sim.generators import Layout, generator


@generator()
def xor_grid(layout: Layout) -> np.ndarray:
    """A checkerboard of Gaussian modes with class (row + column) mod t: every neighbour is of another class."""
    per_side = [w for w in range(1, layout.cells + 1) if layout.cells % w == 0]
    wide = min(per_side, key=lambda w: abs(layout.t * w - layout.cells // w))
    row, block = layout.cell // wide, layout.cell % wide
    column = block * layout.t + (layout.classes - row) % layout.t
    return layout.embed(layout.blur(layout.gap * np.stack([column, row], axis=1).astype(float)))
