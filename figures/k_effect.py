"""What K, the number of samples a class in the batch, does to easy positives."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, line_with_band, looks_of, name_of
from sim.catalogue import FIGURES
from sim.studies import final, table

METRICS = {
    "relative_spread": "relative spread",
    "subclusters_linkage": "sub-clusters a class",
    "recall_at_1": "Recall@1 (modes)",
}


def draw(source: Source) -> Figure:
    """A panel for each metric, a line for each positive policy."""
    summary = table(final(source.results), list(METRICS), ["positive", "batch.per_class"])
    looks = looks_of(summary["positive"])
    figure, axes = plt.subplots(1, len(METRICS), figsize=(DOUBLE_COLUMN, 2.0))
    for axis, (metric, label) in zip(axes, METRICS.items(), strict=True):
        for positive, rows in summary.groupby("positive"):
            line_with_band(axis, rows, "batch.per_class", metric, looks[str(positive)], label=name_of(str(positive)))
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_locator(FixedLocator(sorted(summary["batch.per_class"].unique())))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.set(xlabel="K, samples a class in the batch", title=label)
        axis.set_ylim(bottom=0)
        axis.grid(True)
    axes[0].legend(title="positives")
    return figure


FIGURES.register("k_effect")(
    Entry(
        title="Easy positives need something to choose from",
        caption=(
            "Two classes of four modes, triplet loss, 20 % of the labels drawn wrong at every step, batches of two classes of K samples; with K = 2 there is "
            "next to nothing to choose from. Mean and 95 % interval over ten seeds, new samples. Batches grow with K, so that larger K also sees more samples."
        ),
        study="k_effect",
        draw=draw,
    )
)
