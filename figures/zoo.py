"""Spread, sub-clusters and retrieval of modes against noise, for every loss and three positive policies."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, line_with_band, looks_of, name_of
from sim.catalogue import FIGURES, LOSSES, STUDIES
from sim.studies import final, table

METRICS = {
    "relative_spread": "relative\nspread",
    "subclusters_linkage": "sub-clusters",
    "recall_at_1": "Recall@1\n(modes)",
}
ACROSS = 5


def called(loss: str) -> str:
    """A loss's title, or its name."""
    return LOSSES[loss].title or loss.replace("_", " ")


def draw(source: Source) -> Figure:
    """Bands of three rows (the metrics), a column for each loss, a line for each positive policy."""
    summary = table(final(source.results), list(METRICS), ["loss.name", "positive", "noise.level"])
    same = STUDIES["zoo"].same_losses("quick")
    losses = list(dict.fromkeys(c.loss.name for c in source.configs))
    bands = -(-len(losses) // ACROSS)
    figure, axes = plt.subplots(
        3 * bands, ACROSS, figsize=(DOUBLE_COLUMN, 1.02 * 3 * bands + 0.5), sharex=True, squeeze=False
    )
    looks, lines = looks_of(summary["positive"]), {}
    for place, loss in enumerate(losses):
        for row, (metric, label) in enumerate(METRICS.items()):
            axis = axes[3 * (place // ACROSS) + row, place % ACROSS]
            for positive, rows in summary[summary["loss.name"] == loss].groupby("positive"):
                lines[positive] = line_with_band(axis, rows, "noise.level", metric, looks[str(positive)], markersize=3)
            axis.set_ylim(0, {"relative_spread": 1.25, "subclusters_linkage": 4.9, "recall_at_1": 1.05}[metric])
            axis.grid(True)
            if row == 0:
                axis.set_title("\n= ".join(called(name) for name in (loss, *same.get(loss, ()))), fontsize=7)
            if place % ACROSS == 0:
                axis.set_ylabel(label, fontsize=7)
            else:
                axis.tick_params(labelleft=False)
    for axis in axes.flat[3 * bands * ACROSS - ACROSS :]:
        axis.set_xlabel("label noise", fontsize=7)
    for axis in axes.flat:
        if not axis.lines:
            axis.set_axis_off()
    names = {p: f"{name_of(str(p))} positives" for p in lines}
    figure.legend(lines.values(), names.values(), loc="outside lower center", ncols=len(lines))
    return figure


FIGURES.register("zoo")(
    Entry(
        title="Every loss against noise",
        caption=(
            "Two classes of four modes embedded on the sphere, labels drawn afresh at every step; new samples, mean and 95 % interval over seeds (3 in the "
            "quick profile, 10 in the full one). Negatives: random for contrastive, triplet and margin, else all; losses on class vectors see all samples. Losses that are one with a single positive an anchor share a panel."
        ),
        study="zoo",
        draw=draw,
    )
)
