"""C7's phase diagram: into how many sub-clusters the best embedding splits a class under easy positives."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES

if TYPE_CHECKING:
    import pandas as pd

LEVELS = (0.95, 0.9, 0.8, 0.6)
CASES = {2: (4, 8, 12), 3: (4, 8)}
RESTARTS = 12


@functools.cache
def computed(tiny: bool) -> dict[int, pd.DataFrame]:
    """The diagrams by number of classes, one case each in the profile tiny; minimised once a process."""
    from sim.theory.claims.c7 import phase_diagram

    if tiny:
        return {t: phase_diagram(1, t, sizes[:1], LEVELS[:1]) for t, sizes in CASES.items()}
    return {t: phase_diagram(RESTARTS, t, sizes, LEVELS) for t, sizes in CASES.items()}


def draw(source: Source) -> Figure:
    """A panel for each scale and number of classes."""
    import seaborn as sns

    from sim.theory.claims.c7 import SCALES

    panels = [(t, scale) for t in CASES for scale in SCALES]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(DOUBLE_COLUMN, 2.1), width_ratios=[len(CASES[t]) for t, _ in panels]
    )
    for axis, (t, scale) in zip(axes, panels, strict=True):
        frame = computed(source.profile == "tiny")[t]
        shown = frame.assign(noise=(1 - frame["p"]).round(2)).pivot(index="noise", columns="per_class", values=scale)
        sns.heatmap(
            shown, ax=axis, annot=True, fmt=".3g", annot_kws={"size": 6}, cmap="cividis", vmin=0, vmax=12, cbar=False
        )
        axis.invert_yaxis()
        axis.set(title=f"t = {t}, {scale}", xlabel="samples a class", ylabel="label noise" if axis is axes[0] else "")
        axis.tick_params(length=0)
    return figure


FIGURES.register("phase_diagram")(
    Entry(
        title="Easy positives: sub-clusters of the best embedding (C7)",
        caption=(
            "Sub-clusters a class (mean over classes) of the best of twelve minimised free embeddings in the plane, EPS triplet loss, symmetric "
            "noise. Standing apart: linked within a tenth of the margin; a margin apart: linked within the margin. The margin is the unit of "
            "length. Best found, not certified: a count may be that of a local minimum."
        ),
        study=None,
        draw=draw,
    )
)
