"""Where collapse begins and ends, computed from the exact expected losses: C3, C4, C5 and C7."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, POSITIVE_LOOK
from sim.catalogue import FIGURES

if TYPE_CHECKING:
    from sim.sweeps.pieces import Piece

DIMENSIONS = range(1, 10)
SQUARED_DIMENSIONS = (7, 2)
LEVELS = ("19/20", "9/10", "4/5", "7/10", "3/5")


def cases(profile: str) -> tuple[list[int], list[tuple[float, int]], list[str]]:
    """Dimensions (C3), p and dimension (C5), p (C7); a few of each in the profile tiny."""
    if profile == "tiny":
        return [DIMENSIONS[0], DIMENSIONS[6]], [(0.9, m) for m in SQUARED_DIMENSIONS], [LEVELS[1]]
    return list(DIMENSIONS), [(float(Fraction(p)), m) for p in LEVELS for m in SQUARED_DIMENSIONS], list(LEVELS)


def pieces(profile: str) -> list[Piece]:
    """All that is drawn of `cases`, in their order."""
    from sim.sweeps.pieces import Piece
    from sim.theory.diagrams import easy_triplet_values, squared_contrastive_spread, triplet_spread

    dimensions, squared, levels = cases(profile)
    restarts = 3 if profile == "tiny" else 6
    return [
        *(Piece(triplet_spread, {"dim": m, "restarts": restarts}, seconds=0.4) for m in dimensions),
        *(Piece(squared_contrastive_spread, {"p": p, "dim": m}, seconds=0.2) for p, m in squared),
        *(Piece(easy_triplet_values, {"p": p}, seconds=0.7) for p in levels),
    ]


def draw(source: Source) -> Figure:
    """Four panels."""
    from sim.theory.claims.base import agreement
    from sim.theory.claims.c4 import critical

    dimensions, squared, exact = cases(source.profile)
    values = iter(source.theory)
    spread = {m: next(values) for m in dimensions}
    squared_spread = {case: next(values) for case in squared}
    certified = {p: next(values) for p in exact}
    figure, axes = plt.subplots(1, 4, figsize=(DOUBLE_COLUMN, 2.0))
    blue, orange = POSITIVE_LOOK["easy"]["color"], POSITIVE_LOOK["random"]["color"]

    axis = axes[0]
    for m, found in spread.items():
        axis.plot([m] * len(found), found, "o", color=blue if m >= 7 else orange, markersize=3.5)
    axis.axvline(6.5, color="0.4", linewidth=0.8, linestyle=":")
    axis.set(
        title="C3 triplet, n = 8", xlabel="dimension m", ylabel="within-class distance / α", xticks=[1, 3, 5, 7, 9]
    )
    axis.set_yscale("symlog", linthresh=0.1)
    axis.set_ylim(-0.05, 30)

    axis = axes[1]
    t = np.arange(2, 101)
    boundary = [critical(int(k)) for k in t]
    axis.fill_between(t, 0.4, boundary, color=orange, alpha=0.25, linewidth=0)
    axis.plot(t, boundary, color=orange)
    axis.text(14, 0.55, "one point", fontsize=7)
    axis.text(4, 0.85, "class collapse", fontsize=7)
    axis.set(title="C4 margin, β learnt", xlabel="classes t", ylabel="p = P(label kept)", ylim=(0.4, 1), xscale="log")

    axis = axes[2]
    levels = np.linspace(0.55, 1, 50)
    axis.plot(1 - levels, [1 - agreement(2, p)[0] for p in levels], color="0.4", linewidth=1, label="(1 − s_in) α")
    for m, colour, marker in zip(SQUARED_DIMENSIONS, (blue, orange), "os", strict=True):
        points = [(1 - p, v) for (p, dim), v in squared_spread.items() if dim == m]
        axis.plot(*zip(*points, strict=True), marker, color=colour, label=f"minimised, m = {m}")
    axis.set(title="C5 squared contrastive", xlabel="label noise", ylabel="within-class distance / α")
    axis.set_ylim(0, 0.78)
    axis.legend(loc="upper left", handletextpad=0.3, fontsize=6)

    axis = axes[3]
    noise_levels = [1 - float(Fraction(p)) for p in certified]
    for place, label, colour, marker in ((0, "best collapsed", orange, "s"), (1, "sub-clusters on a line", blue, "o")):
        axis.plot(noise_levels, [v[place] for v in certified.values()], marker=marker, color=colour, label=label)
    axis.set(title="C7 EPS triplet (exact)", xlabel="label noise", ylabel="expected loss")
    axis.set_ylim(0, 85)
    axis.legend(loc="upper left", handletextpad=0.3, fontsize=6)
    for axis in axes:
        axis.grid(True)
    return figure


FIGURES.register("theory")(
    Entry(
        title="Where collapse begins and ends",
        caption=(
            "Minimisers of exact expected losses. C3: within-class distance of every minimiser found (two classes of four, p = 0.9): 0 "
            "up to m = n − 2, any value from m = n − 1 (dotted). C4: below p*(t) the margin loss with learnt boundary puts all "
            "classes on one point. C5: the squared contrastive loss keeps (1 − s_in) α where there is room. C7: with easy positives the "
            "best collapsed embedding (two classes of twelve) loses to sub-clusters on a line, in exact arithmetic."
        ),
        study=None,
        draw=draw,
        pieces=pieces,
    )
)
