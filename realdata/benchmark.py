"""Benchmark: loss x positives x negatives x noise x seeds on a data set, as runs, a table and decided statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.catalogue import LOSSES, STUDIES
from sim.config import RunConfig
from sim.errors import integer
from sim.studies import FINE_LABEL_METRICS, Study, easy_against, falls_with_noise
from sim.sweeps import spec
from sim.sweeps.grid import grid
from sim.verdict import Finding, decide

if TYPE_CHECKING:
    import pandas as pd

SPREAD = {"relative_spread": "the spread relative to the between-class distance"}

TABLE_METRICS = ("recall_at_1", "map_at_r", "class_recall_at_1", "relative_spread", "subclusters_linkage", "mode_nmi")

SETTINGS: dict[str, Any] = {
    "noise.mode": "static",
    "net.dim": 16,
    "net.normalize": True,
    "net.params": {"width": 128, "depth": 2},
    "batch.per_class": 32,
    "optimizer.schedule": "cosine",
    "steps": 1000,
    "checkpoints": 2,
    "save_embeddings": True,
}


def configs(
    dataset: str,
    *,
    losses: Sequence[str] = ("triplet", "margin"),
    positives: Sequence[str] = ("random", "easy"),
    negatives: Sequence[str] | None = None,
    noise: Sequence[float] = (0.0, 0.1, 0.2, 0.3),
    seeds: int = 10,
    first_seed: int = 0,
    settings: dict[str, Any] | None = None,
) -> list[RunConfig]:
    """The runs of a benchmark.

    Parameters
    ----------
    dataset : str
        A name in `sim.problems.PROBLEMS`.
    losses, positives : sequences of str
    negatives : sequence of str, optional
        Default: for each loss the one it was published with, see `sim.losses.base.Loss.published_negative`.
    noise : sequence of float
        Levels of symmetric noise on the training labels, each in [0, 1).
    seeds, first_seed : int
        Number of seeds >= 1, and the first one.
    settings : mapping from dotted fields to values, optional
        On top of `SETTINGS`.

    Examples
    --------
    >>> runs = configs("digits", losses=["margin"], noise=[0.2], seeds=1)
    >>> [(c.negative, c.positive) for c in runs]
    [('distance_weighted', 'random'), ('distance_weighted', 'easy')]
    """
    seeds = integer("seeds", seeds, 1)
    sides = [(loss, n) for loss in losses for n in negatives or [LOSSES[loss].published_negative]]
    return grid(
        {"data.name": dataset, **SETTINGS, **(settings or {})},
        {
            "loss.name,negative": sides,
            "positive": list(positives),
            "noise.level": list(noise),
            "seed": range(first_seed, first_seed + seeds),
        },
    )


def findings(last: pd.DataFrame) -> list[Finding]:
    """Do fine labels survive better with easy than with random positives, and does noise shrink a class's spread?"""
    statements = []
    if {"easy", "random"} <= set(last["positive"]):
        statements += easy_against(last, FINE_LABEL_METRICS, "random")
    if "random" in set(last["positive"]) and 0.0 in set(last["noise.level"]):
        statements += falls_with_noise(last, SPREAD, "random")
    return decide(statements)


STUDIES.register("digits")(
    Study(
        title="Handwritten digits: trained on even/odd, retrieved by digit",
        question=(
            "Nets are trained on noisy even/odd labels of scikit-learn's digits. Does the same loss keep the ten digits "
            "apart better, on new images, when its positives are easy rather than random ones?"
        ),
        configs=lambda profile: spec.load(f"digits_{profile}"),
        findings=findings,
        metrics=TABLE_METRICS,
    )
)
