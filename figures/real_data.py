"""The real-data tables as a figure: Recall@1 on fine labels against label noise."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import Entry, Source
from figures.style import DOUBLE_COLUMN, POSITIVE_LOOK, line_with_band, name_of
from sim.catalogue import FIGURES, LOSSES, RECORDED
from sim.studies import table
from sim.tables import earlier

MARK = "*"
"""Beside a data set whose rows were recorded with another schema."""

SHOWN = ("triplet", "margin", "multi_similarity", "npair")
"""Losses with a column."""
SHORT = {
    "digits": "digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "omniglot": "Omniglot",
    "cub200_merged": "CUB, merged",
    "cub200_zero_shot": "CUB, zero-shot",
}


def draw(_: Source) -> Figure:
    """A row for each data set, a column for each loss."""
    sets = list(RECORDED)
    figure, axes = plt.subplots(
        len(sets),
        len(SHOWN),
        figsize=(DOUBLE_COLUMN, 1.25 * len(sets) + 0.5),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for line, data in zip(axes, sets, strict=True):
        summary = table(RECORDED[data](), ["recall_at_1"])
        for axis, loss in zip(line, SHOWN, strict=True):
            for positive in ("easy", "random"):
                own = summary[(summary["loss.name"] == loss) & (summary["positive"] == positive)]
                look = {**POSITIVE_LOOK[positive], "label": name_of(positive), "markersize": 3}
                line_with_band(axis, own, "noise.level", "recall_at_1", look)
            if axis in axes[0]:
                axis.set_title(LOSSES[loss].title or loss)
            if axis in axes[-1]:
                axis.set_xlabel("label noise")
        mark = MARK if earlier(RECORDED[data]()) else ""
        line[0].set_ylabel(f"{SHORT.get(data, data)}{mark}\nRecall@1")
    axes[0, 0].legend(title="positives")
    said = dict.fromkeys(filter(None, (earlier(RECORDED[data]()) for data in sets)))
    if said:
        figure.supxlabel(f"{MARK} {'; '.join(said)}", fontsize=6)
    return figure


FIGURES.register("real_data")(
    Entry(
        title="Real data: fine labels retrieved after training on noisy labels",
        caption=(
            "Recall@1 on fine labels of test images, static symmetric noise on the training labels; mean and 95 % interval over ten seeds. "
            "Negatives: triplet semi-hard, margin distance-weighted, the others all. Drawn from the rows that come with the code "
            "(`realdata/results/`, `collapse sweep NAME --csv FILE`); docs/results.md has the numbers."
        ),
        study=None,
        draw=draw,
    )
)
