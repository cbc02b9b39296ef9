"""Kernels compiled before they are needed, rather than by the command that needs them first."""

from __future__ import annotations

import numpy as np
import torch

from sim import catalogue
from sim.fused import net, pairs
from sim.fused.stages import Stage
from sim.sweeps.pool import OnSteps

STAGES: dict[str, Stage] = {
    stage.function.__name__: stage
    for stage in (pairs.find, net.forward, pairs.back, net.backward, net.back_through_norm, net.normalise)
}
"""Parts of the compiled step that all runs share, those that take longest first."""

EVALUATION, THEORY = "evaluation", "theory"

PER_CLASS = 40
"""Samples of what is embedded: the kernels are the same for any number."""


def parts() -> list[str]:
    """What can be compiled apart, those that take longest first: the evaluation, stages, each loss with the step around it, minimisers.

    Examples
    --------
    >>> parts()[:2], "triplet" in parts()
    (['evaluation', 'find'], True)
    """
    return [
        EVALUATION,
        *STAGES,
        *(name for name in catalogue.LOSSES if "terms" in vars(catalogue.LOSSES[name])),
        THEORY,
    ]


def compile_part(part: str, on_steps: OnSteps) -> str:
    """Compile one of `parts` for float32 runs on a CPU, or load it where it was compiled already; its name.

    Examples
    --------
    >>> compile_part("normalise", lambda steps: None)
    'normalise'
    """
    if part in STAGES:
        STAGES[part].of("float32")
    elif part == EVALUATION:
        from sim import metrics

        sample = np.arange(PER_CLASS * 2)
        points = np.random.default_rng(0).normal(size=(len(sample), 2)).astype(np.float32)
        metrics.evaluate(torch.from_numpy(points), sample // PER_CLASS, sample // (PER_CLASS // 2), heavy=True)
    elif part == THEORY:
        from sim.theory.descent import Search
        from sim.theory.minimise import minimise

        minimise([0, 0, 1], np.eye(2), alpha=0.5, restarts=1, search=Search(steps=1, polish=0))
    else:
        from sim.config import Batch, Loss, RunConfig
        from sim.problems import build
        from sim.training import Trainer

        config = RunConfig(loss=Loss(name=part), batch=Batch(per_class=4))
        Trainer([config], [build(config.data.name, 0, samples_per_mode=PER_CLASS)]).advance(1)
    on_steps(1)
    return part
