"""C11. Trained on noisy digits, easy positives retrieve fine labels better than random ones; recorded benchmarks are parts of their own.

The verdict is that of the trainings which the check runs itself: the digits study at noise > 0, Recall@1 and MAP@R on new images, paired by seed, Holm's
correction; ``holds`` if every loss, noise level and metric does. It doesn't depend on recorded rows.

Recorded results, which the check can't train again, decide a part for each data set and metric: the mean over losses and noise levels > 0, paired
by seed, the data set's two metrics decided together. Beside the difference a part tells in how many settings (loss, noise level) it is confirmed, refuted and
undecided, the settings of a data set decided together; they decide nothing.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from sim.catalogue import CLAIMS, RECORDED, STUDIES
from sim.config import RunConfig
from sim.studies import FINE_LABEL_METRICS, easy_against, final, made_with, paired
from sim.sweeps.execute import execute
from sim.sweeps.executors import Resources
from sim.sweeps.store import Store
from sim.theory.claims.base import Claim, CounterExample, Outcome, Part, Setting, part_of
from sim.verdict import Finding, Statement, Verdict, decide, in_words

if TYPE_CHECKING:
    import pandas as pd

SEEDS = {"quick": 5, "full": 30}
METRICS = {"recall_at_1": "Recall@1", "map_at_r": "MAP@R"}
SHIPPED = ("digits", "mnist", "fashion_mnist", "omniglot", "cub200_merged", "cub200_zero_shot")


def recorded_part(name: str, metric: str) -> str:
    """The text of a recorded data set's part.

    Examples
    --------
    >>> recorded_part("omniglot", "map_at_r")
    'recorded omniglot, MAP@R, mean over losses and noise levels'
    """
    return f"recorded {name}, {METRICS[metric]}, mean over losses and noise levels"


TRAINED = {metric: f"digits trained here, {called}, every loss and noise level" for metric, called in METRICS.items()}
PARTS: dict[str, Verdict] = dict.fromkeys(TRAINED.values(), "holds")
PARTS |= {recorded_part(name, metric): "holds" for name in SHIPPED for metric in METRICS}
PARTS[recorded_part("fashion_mnist", "map_at_r")] = "fails"


def recorded_parts(name: str, rows: pd.DataFrame) -> tuple[dict[str, Part], list[Finding]]:
    """A part for each metric, from a data set's rows, and the findings of its settings.

    Examples
    --------
    >>> parts, settings = recorded_parts("digits", RECORDED["digits"]())
    >>> list(parts)
    ['recorded digits, Recall@1, mean over losses and noise levels', 'recorded digits, MAP@R, mean over losses and noise levels']
    >>> len(settings)
    32
    """
    noisy = rows[rows["noise.level"] > 0]
    settings = decide(easy_against(noisy, FINE_LABEL_METRICS, "random"))
    means = noisy.groupby(["positive", "seed"])[list(METRICS)].mean().reset_index()
    statements: list[Statement] = [
        (
            f"{FINE_LABEL_METRICS[metric]} is greater with easy than with random positives",
            name,
            *paired(means, metric, {"positive": "easy"}, {"positive": "random"}),
        )
        for metric in METRICS
    ]
    parts = {}
    for metric, mean in zip(METRICS, decide(statements), strict=True):
        counted = part_of([f for f in settings if f.claim == mean.claim]).found
        parts[recorded_part(name, metric)] = Part(mean.verdict, f"difference {mean.difference}; {counted}")
    return parts, settings


def _findings(configs: list[RunConfig], device: str) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        execute(configs, store, resources=Resources(device))
        return decide(easy_against(final(store.load(configs)), FINE_LABEL_METRICS, "random"))


def noisy_runs(setting: Setting) -> list[RunConfig]:
    """The digits study's runs at noise > 0, of the seeds that the setting asks for."""
    seeds = range(setting.seed, setting.seed + SEEDS[setting.size])
    return [c for c in STUDIES["digits"].runs(setting.size, setting.seed) if c.noise.level > 0 and c.seed in seeds]


def in_pairs(runs: list[RunConfig]) -> list[RunConfig]:
    """The same runs with two samples a class in the batch: labels are flipped once and batches balanced over them, so that an anchor has one positive."""
    return [c.model_copy(update={"batch": c.batch.model_copy(update={"per_class": 2})}) for c in runs]


def check(setting: Setting) -> Outcome:
    """The digits study at noise > 0; against batches of two samples a class, where easy positives have no choice; recorded rows."""
    runs = noisy_runs(setting)
    findings, without_choice = (_findings(configs, setting.device) for configs in (runs, in_pairs(runs)))
    parts = {
        text: part_of([f for f in findings if f.claim.startswith(FINE_LABEL_METRICS[metric])])
        for metric, text in TRAINED.items()
    }
    evidence: dict[str, Any] = {
        "seeds": SEEDS[setting.size],
        "words": in_words(findings),
        "differences": {
            f"{f.claim} ({f.setting})": [f.difference.mean, f.difference.low, f.difference.high] for f in findings
        },
    }
    for name in RECORDED:
        rows = RECORDED[name]()
        of_set, settings = recorded_parts(name, rows)
        parts |= of_set
        of_rows = {"seeds": rows["seed"].nunique(), "words": in_words(settings), "made with": made_with(rows, name)}
        evidence[f"recorded: {name}"] = {k: v for k, v in of_rows.items() if v}
    return Outcome(
        hypotheses={
            "batches hold three or more samples a class": bool(runs) and min(c.batch.per_class for c in runs) >= 3,
            "labels are noisy": bool(runs) and min(c.noise.level for c in runs) > 0,
        },
        verdict=part_of(findings).verdict,
        bound=0.0,
        best=min((f.difference.mean for f in findings), default=None),
        evidence=evidence,
        counter_example=CounterExample(
            "two samples a class in the batch", part_of(without_choice).verdict, "inconclusive"
        ),
        parts=parts,
    )


CLAIMS.register("C11")(
    Claim(
        "digits, noisy labels: easy positives retrieve fine labels of new images better than random ones (recorded data: parts)",
        "holds",
        check,
        parts=PARTS,
    )
)
