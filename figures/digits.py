"""Fine-label retrieval on handwritten digits against the noise level, with intervals."""

from __future__ import annotations

from figures import Entry
from figures.spread_and_subclusters import draw_metrics
from sim.catalogue import FIGURES

FIGURES.register("digits")(
    Entry(
        title="Digits trained on even/odd: fine labels against noise",
        caption=(
            "Retrieval of the digit among new images after training on noisy even/odd labels, and how much of a class's "
            "spread is left. Bands: 95 % intervals over seeds."
        ),
        study="digits",
        draw=lambda source: draw_metrics(
            source,
            {
                "recall_at_1": "Recall@1 (digits)",
                "map_at_r": "MAP@R (digits)",
                "class_recall_at_1": "Recall@1 (even/odd)",
                "relative_spread": "relative spread",
            },
        ),
    )
)
