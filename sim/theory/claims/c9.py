"""C9. Training follows theory: small nets trained on fresh noisy labels approach the predicted minimisers.

Prediction (C3): with noise and random positives the within-class distance falls to 0 and the between-class distance to alpha. What a
net reaches in a given number of steps is measured, and the gap is reported as a number, in units of alpha. The losses use random
positives and negatives and ``reduction="mean"``, so that a step's expectation is proportional to the expected loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.catalogue import CLAIMS
from sim.config import RunConfig
from sim.problems import build
from sim.sweeps.grid import grid
from sim.theory.claims.base import Claim, CounterExample, Outcome, Setting, part_of
from sim.training import train
from sim.verdict import Finding, Statement, decide, in_words, interval

ALPHA = 0.5
STEPS = {"quick": (200, 1600), "full": (500, 8000)}
"""A short and a long training."""
SEEDS = {"quick": 4, "full": 20}
LEVELS = (0.1, 0.2)


def _configs(setting: Setting, steps: int, positive: str, mode: str, levels: tuple[float, ...]) -> list[RunConfig]:
    base = {
        "loss.params": {"alpha": ALPHA, "reduction": "mean"},
        "positive": positive,
        "negative": "random",
        "noise.mode": mode,
        "optimizer.schedule": "cosine",
        "steps": steps,
        "checkpoints": 1,
        "evaluate": ["train"],
    }
    axes: dict[str, Sequence[Any]] = {
        "data.name": ["gaussian_mixture", "xor_grid"],
        "noise.level": list(levels),
        "seed": range(setting.seed, setting.seed + SEEDS[setting.size]),
    }
    return grid(base, axes)


def _measure(configs: list[RunConfig], device: str) -> dict[tuple[str, float], dict[str, list[float]]]:
    """(generator, level) -> within- and between-class distances over seeds, in units of alpha."""
    measured: dict[tuple[str, float], dict[str, list[float]]] = {}
    for result in train(configs, [build(c.data.name, c.seed, **c.data.params) for c in configs], device=device):
        place = measured.setdefault((result.config.data.name, result.config.noise.level), {"within": [], "between": []})
        row = result.rows[-1]
        place["within"].append(float(row["within_mean"]) / ALPHA)
        place["between"].append(float(row["between_mean"]) / ALPHA)
    return measured


def _findings(setting: Setting, runs: list[list[RunConfig]]) -> tuple[list[Finding], dict[str, Any]]:
    """Does the spread fall with training (short, long) under noise, below half of alpha and the clean one? And what is reached?"""
    short, long = (_measure(configs, setting.device) for configs in runs)
    statements: list[Statement] = []
    distances = {}
    for (name, level), values in long.items():
        spread = interval(np.array(values["within"]))
        between = interval(np.array(values["between"])).mean
        distances[f"{name}, noise {level:g}"] = {"within": [spread.mean, spread.low, spread.high], "between": between}
        if level:
            where = f"{name}, noise {level:g}"
            statements.append(("spread falls with training", where, short[name, level]["within"], values["within"]))
            half = [0.5] * len(values["within"])
            statements.append(("spread is below half of alpha", where, half, values["within"]))
            statements.append(
                ("spread is lower than without noise", where, long[name, 0.0]["within"], values["within"])
            )
    return decide(statements), distances


def check(setting: Setting) -> Outcome:
    """Two generators, two noise levels, random against easy positives; the static-noise contrast."""
    size = setting.size
    runs = {
        positive: [_configs(setting, s, positive, "resampled", (0.0, *LEVELS)) for s in STEPS[size]]
        for positive in ("random", "easy")
    }
    plain, reached = _findings(setting, runs["random"])
    easy, easy_reached = _findings(setting, runs["easy"])
    static = {
        f"{name}, noise {level:g}": interval(np.array(values["within"])).mean
        for (name, level), values in _measure(
            _configs(setting, STEPS[size][1], "random", "static", LEVELS), setting.device
        ).items()
    }
    worst = max(v["within"][0] for where, v in reached.items() if not where.endswith("noise 0"))
    checked = [config for configs in runs["random"] for config in configs]
    return Outcome(
        hypotheses={
            "labels are drawn afresh at every step": all(c.noise.mode == "resampled" for c in checked),
            "positives and negatives are random": all(c.positive == c.negative == "random" for c in checked),
            "the mean over triplets is trained": all(
                c.loss.name == "triplet" and c.loss.params["reduction"] == "mean" for c in checked
            ),
        },
        verdict=part_of(plain).verdict,
        bound=0.0,
        best=worst,
        evidence={
            "steps (short, long)": list(STEPS[size]),
            "seeds": SEEDS[size],
            "random positives": in_words(plain),
            "distances in units of alpha (mean and 95 % interval; predicted under noise: within 0, between 1)": reached,
            "easy positives": in_words(easy),
            "easy positives, distances in units of alpha": easy_reached,
            "static noise, within-class distance in units of alpha": static,
        },
        counter_example=CounterExample("easy positives instead of random ones", part_of(easy).verdict, "fails"),
    )


CLAIMS.register("C9")(
    Claim("training: with fresh noisy labels spread falls towards the predicted 0, random positives", "holds", check)
)
