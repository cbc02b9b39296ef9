"""The real-data tables as a figure: Recall@1 on fine labels against label noise."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures import FIGURES, Entry, Source
from figures.style import DOUBLE_COLUMN, POSITIVE_LOOK, POSITIVE_NAME
from realdata.recorded import names, rows
from sim.studies import table

LOSSES = {"triplet": "triplet", "margin": "margin", "multi_similarity": "multi-similarity", "npair": "N-pair"}
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
    sets = names()
    figure, axes = plt.subplots(
        len(sets),
        len(LOSSES),
        figsize=(DOUBLE_COLUMN, 1.25 * len(sets) + 0.5),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for line, name in zip(axes, sets, strict=True):
        summary = table(rows(name), ["recall_at_1"])
        for axis, (loss, title) in zip(line, LOSSES.items(), strict=True):
            for positive in ("easy", "random"):
                own = summary[(summary["loss.name"] == loss) & (summary["positive"] == positive)]
                axis.plot(
                    own["noise.level"],
                    own["recall_at_1"],
                    label=POSITIVE_NAME.get(positive, positive),
                    markersize=3,
                    **POSITIVE_LOOK[positive],
                )
                axis.fill_between(
                    own["noise.level"],
                    own["recall_at_1_low"],
                    own["recall_at_1_high"],
                    color=POSITIVE_LOOK[positive]["color"],
                    alpha=0.25,
                    linewidth=0,
                )
            if axis in axes[0]:
                axis.set_title(title)
            if axis in axes[-1]:
                axis.set_xlabel("label noise")
        line[0].set_ylabel(f"{SHORT[name]}\nRecall@1")
    axes[0, 0].legend(title="positives")
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
