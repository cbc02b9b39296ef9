"""C7's phase diagram: into how many sub-clusters the best embedding splits a class under easy positives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN
from sim.catalogue import FIGURES

if TYPE_CHECKING:
    from sim.sweeps.pieces import Piece

LEVELS = (0.95, 0.9, 0.8, 0.6)
CASES = {2: (4, 8, 12), 3: (4, 8)}
RESTARTS = 12
STEPS = 600


def cases(profile: str) -> list[tuple[int, int, float]]:
    """Number of classes, samples a class and p of every cell; one a diagram in the profile tiny."""
    few = profile == "tiny"
    return [
        (t, k, p)
        for t, sizes in CASES.items()
        for k in (sizes[:1] if few else sizes)
        for p in LEVELS[: 1 if few else None]
    ]


def pieces(profile: str) -> list[Piece]:
    """A cell each, minimised."""
    from sim.sweeps.pieces import Piece
    from sim.theory.claims.c7 import best_free

    restarts = 1 if profile == "tiny" else RESTARTS
    return [
        Piece(best_free, {"p": p, "per_class": k, "restarts": restarts, "t": t, "steps": STEPS}, seconds=restarts / 30)
        for t, k, p in cases(profile)
    ]


def draw(source: Source) -> Figure:
    """A panel for each scale and number of classes."""
    import pandas as pd
    import seaborn as sns

    from sim.theory.claims.c7 import SCALES

    found = pd.DataFrame(
        [
            {"t": t, "per_class": k, "noise": round(1 - p, 2), **best}
            for (t, k, p), best in zip(cases(source.profile), source.theory, strict=True)
        ]
    )

    panels = [(t, scale) for t in CASES for scale in SCALES]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(DOUBLE_COLUMN, 2.1), width_ratios=[len(CASES[t]) for t, _ in panels]
    )
    for axis, (t, scale) in zip(axes, panels, strict=True):
        shown = found[found["t"] == t].pivot(index="noise", columns="per_class", values=scale)
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
        pieces=pieces,
    )
)
