"""The explorer without a screen: it trains what the controls say, and tells what there is to see.

Labels use common random numbers (`sim.noise.flip`): one fixed uniform and one alternative a point, so that raising the noise
flips labels one after the other and lowering it flips them back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from sim import metrics
from sim.explore.lines import Lines
from sim.explore.state import State
from sim.explore.verdicts import verdict
from sim.metrics.base import prepare
from sim.problems import Problem, build
from sim.training import Trainer

SHOWN_METRICS = {
    "within_mean": "within_mean",
    "between_mean": "between_mean",
    "relative_spread": "relative_spread",
    "global_spread": "global_spread",
    "recall_at_1": "recall_at_k",
    "subclusters": "subclusters_linkage",
}
"""What is shown, and the metric that it is."""

STEPS_AHEAD_AT_START, STEPS_AHEAD = 16, 64
"""Steps whose draws are taken at once: few at first, as they delay the first frame after a change; the numbers are the same."""


class Engine:
    """Trains the runs of a `State`, one for each positive policy.

    Attributes
    ----------
    state : State
    generation : int
        Counts the changes: what is shown says of which one it is.
    lines : Lines
        What the exact theory says of the state.
    continued : bool
        Whether the nets were carried over a change: the run then can't be repeated from its configuration.
    """

    def __init__(self, state: State | None = None) -> None:
        self.generation = 0
        self._start(State() if state is None else state)

    @property
    def step_count(self) -> int:
        """Steps done since the start or the last restart."""
        return self.trainers[0].steps

    def set(self, changes: Mapping[str, Any], *, carry: bool = False) -> None:
        """Change controls.

        Parameters
        ----------
        changes : mapping from fields of `State`
        carry : bool
            Go on with the nets as they are (where their shapes allow it); otherwise start again from the same initialisation.

        Raises
        ------
        InvalidInput
            The state is then as before.
        """
        self._start(self.state.with_(changes), carried=self.trainers if carry else None)

    def restart(self) -> None:
        """Start again from the initialisation."""
        self._start(self.state)

    def _start(self, state: State, carried: Sequence[Trainer] | None = None) -> None:
        configs = [state.config(positive) for positive in state.positives]
        data = configs[0].data
        problem = build(data.name, state.seed, **data.params)
        trainers = [Trainer([config], [problem], ahead=STEPS_AHEAD_AT_START) for config in configs]
        continued = carried is not None and all(
            new.carry_over(old) for old, new in zip(carried, trainers, strict=False)
        )
        lines = Lines(state)
        # All that may be refused has been built; only now does anything change.
        self.state: State = state
        self.problem: Problem = problem
        self.trainers: list[Trainer] = trainers
        self.lines: Lines = lines
        self.continued: bool = continued
        self.generation += 1

    def advance(self) -> None:
        """One step of each run."""
        for trainer in self.trainers:
            if trainer.active:
                trainer.advance(1)
                if trainer.steps == STEPS_AHEAD_AT_START:
                    trainer.draw_ahead(STEPS_AHEAD)

    @property
    def diverged(self) -> list[int]:
        """Places of the runs whose loss isn't finite any more."""
        return [k for k, t in enumerate(self.trainers) if not t.active]

    def labels(self) -> np.ndarray:
        """The labels trained on, (n,): flipped ones in static noise; the true classes where they're drawn afresh each time."""
        labels = self.trainers[0].labels
        found: np.ndarray = (labels.classes if labels.flipped is None else labels.flipped)[0].numpy()
        return found

    def inputs(self) -> np.ndarray:
        """Points of the input space in the plane, (n, 2) float32: the inputs, or their first two principal components."""
        x = self.problem.train.x.reshape(self.problem.train.n, -1)
        if x.shape[1] > 2:
            centred = x - x.mean(0)
            x = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        return x.astype(np.float32)

    def embeddings(self) -> list[np.ndarray]:
        """Embeddings of all training points, a (n, m) float32 array for each run."""
        return [t.embed("train")[0].numpy().astype(np.float32) for t in self.trainers]

    def metrics(self, run: int) -> dict[str, float | str]:
        """What became of classes and modes in a run: the numbers `SHOWN_METRICS`, the expected loss, the verdict."""
        sample, trainer = self.problem.train, self.trainers[run]
        x = trainer.embed("train")[0]
        if not torch.isfinite(x).all() or not trainer.active:
            return {"verdict": "diverged"}
        (runs,) = prepare(x, sample.classes, sample.modes, metrics.Options(ks=(1,)))[1]
        values = {name: float(metrics.METRICS[column].compute(runs)) for name, column in SHOWN_METRICS.items()}
        values["expected"] = self.lines.live(x, sample.classes, trainer.configs[0].positive)
        return {**values, "verdict": self.verdict(values)}

    def verdict(self, values: Mapping[str, float]) -> str:
        """The verdict on an embedding with these metrics, see `sim.explore.verdicts.verdict`."""
        return verdict(values, margin=self.state.margin, modes=self.state.modes)
