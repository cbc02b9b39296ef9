"""C11. Trained on noisy labels, easy positives retrieve fine labels better than random ones: digits, and recorded benchmarks.

Of the benchmarks whose results came with the code, each is one statement a metric: the mean over losses and noise levels > 0, paired by
seed. Its settings one by one, some of them undecided, are in the evidence and decide nothing.

Decided by the statements of the digits study (Recall@1 and MAP@R on new images, paired by seed, Holm's correction) at noise > 0.
"""

from __future__ import annotations

import tempfile
from typing import Any

from sim.catalogue import CLAIMS, RECORDED, STUDIES
from sim.config import RunConfig
from sim.studies import FINE_LABEL_METRICS, easy_against, final, made_with, paired
from sim.sweeps.execute import execute
from sim.sweeps.executors import Resources
from sim.sweeps.store import Store
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting
from sim.verdict import Finding, decide, in_words, together

SEEDS = {"quick": 5, "full": 30}


def _findings(configs: list[RunConfig], device: str) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        execute(configs, store, resources=Resources(device))
        return decide(easy_against(final(store.load(configs)), FINE_LABEL_METRICS, "random"))


def check(setting: Setting) -> Outcome:
    """The digits study at noise > 0; against batches of two samples a class, where easy positives have no choice."""
    size = setting.size
    runs = STUDIES["digits"].runs(size, setting.seed)
    noisy = [c for c in runs if c.noise.level > 0 and c.seed < setting.seed + SEEDS[size]]
    findings = _findings(noisy, setting.device)
    pairs = [
        c.model_copy(update={"batch": c.batch.model_copy(update={"per_class": 2}), "steps": 200})
        for c in noisy
        if c.noise.level == 0.2 and c.seed < setting.seed + 3
    ]
    without_choice = _findings(pairs, setting.device)
    evidence: dict[str, Any] = {
        "seeds": SEEDS[size],
        "words": in_words(findings),
        "differences": {
            f"{f.claim} ({f.setting})": [f.difference.mean, f.difference.low, f.difference.high] for f in findings
        },
    }
    averaged = []
    for name in RECORDED:
        rows = RECORDED[name]()
        noisy_rows = rows[rows["noise.level"] > 0]
        settings = decide(easy_against(noisy_rows, FINE_LABEL_METRICS, "random"))
        of_rows = {"seeds": rows["seed"].nunique(), "words": in_words(settings), "made with": made_with(rows, name)}
        evidence[f"recorded: {name}"] = {k: v for k, v in of_rows.items() if v}
        means = noisy_rows.groupby(["positive", "seed"])[list(FINE_LABEL_METRICS)].mean().reset_index()
        for metric, called in FINE_LABEL_METRICS.items():
            sides = paired(means, metric, {"positive": "easy"}, {"positive": "random"})
            averaged.append((f"{called} is greater with easy than with random positives", name, *sides))
    of_sets = decide(averaged)
    evidence["recorded data sets, mean over losses and noise levels"] = {
        f"{f.claim} ({f.setting})": [f.verdict, f.difference.mean, f.difference.low, f.difference.high] for f in of_sets
    }
    findings += of_sets
    least = min(f.difference.mean for f in findings)
    return Outcome(
        hypotheses={"batches hold three or more samples a class": True, "labels are noisy": True},
        verdict=together(f.verdict for f in findings),
        bound=0.0,
        best=least,
        evidence=evidence,
        counter_example=CounterExample(
            "two samples a class in the batch", together(f.verdict for f in without_choice), "inconclusive"
        ),
    )


CLAIMS.register("C11")(
    Claim("real data, noisy labels: easy positives retrieve fine labels better than random ones", "fails", check)
)
