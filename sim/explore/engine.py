"""The explorer without a screen: it trains what the controls say, and tells what there is to see.

Labels use common random numbers (`sim.noise.flip`): one fixed uniform and one alternative a point, so that raising the noise
flips labels one after the other and lowering it flips them back.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import distances, metrics, noise
from sim.catalogue import NOISE_KINDS
from sim.errors import InvalidInput
from sim.explore.state import State
from sim.explore.verdicts import verdict
from sim.metrics.base import prepare
from sim.problems import Problem, build
from sim.samplers.batches import Batches
from sim.theory import expected, expected_loss
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

THEORY_LEVELS = tuple(round(0.02 * k, 2) for k in range(46))
"""Noise levels of the theory's lines."""

MOST_PER_CLASS_IN_THEORY = 16
"""Samples a class at most in the batches whose expected loss is taken."""

BATCHES_OF_LIVE_EXPECTATION = 4
"""Batches over which the live expected loss is averaged."""

STEPS_AHEAD_AT_START, STEPS_AHEAD = 16, 64
"""Steps whose draws are taken at once: few at first, as they delay the first frame after a change; the numbers are the same."""


class Engine:
    """Trains the runs of a `State`, one for each positive policy.

    Attributes
    ----------
    state : State
    generation : int
        Counts the changes: what is shown says of which one it is.
    continued : bool
        Whether the nets were carried over a change: the run then can't be repeated from its configuration.
    """

    def __init__(self, state: State | None = None) -> None:
        self.state = State() if state is None else state
        self.generation, self.continued = 0, False
        self.trainers: list[Trainer] = []
        self._start(None)

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
        state, before = self.state.with_(changes), (self.state, self.trainers)
        try:
            self.state = state
            self._start(self.trainers if carry else None)
        except InvalidInput:
            self.state, self.trainers = before
            raise

    def restart(self) -> None:
        """Start again from the initialisation."""
        self._start(None)

    def _start(self, carried: list[Trainer] | None) -> None:
        configs = [self.state.config(positive) for positive in self.state.positives]
        data = configs[0].data
        self.problem: Problem = build(data.name, self.state.seed, **data.params)
        trainers = [Trainer([config], [self.problem], ahead=STEPS_AHEAD_AT_START) for config in configs]
        self.continued = carried is not None and all(
            new.carry_over(old) for old, new in zip(carried, trainers, strict=False)
        )
        self.trainers = trainers
        self.generation += 1
        self._theory()

    def advance(self) -> None:
        """One step of each run."""
        for trainer in self.trainers:
            if trainer.active:
                trainer.step()
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
        values["expected"] = self._expected_now(trainer, x)
        return {**values, "verdict": self.verdict(values)}

    def verdict(self, values: Mapping[str, float]) -> str:
        """The verdict on an embedding with these metrics, see `sim.explore.verdicts.verdict`."""
        return verdict(values, margin=self.state.margin, modes=self.state.modes)

    # The exact theory, on batches as training draws them.

    def _theory(self) -> None:
        """Expected losses of the best collapsed embedding over noise levels, as shares of total collapse's."""
        s = self.state
        self._batch_classes = np.repeat(np.arange(s.classes), min(s.per_class, MOST_PER_CLASS_IN_THEORY))
        known = s.loss in expected.LOSSES and NOISE_KINDS[s.noise_kind].transition is not None
        size = len(self._batch_classes)
        lines = {p: _line(s.loss, s.noise_kind, s.classes, size, self._as_expected(p)) for p in s.positives if known}
        self.theory: dict[str, Any] = {"levels": list(THEORY_LEVELS) if known else [], "lines": lines}

    @staticmethod
    def _as_expected(positive: str) -> str:
        """Random positives have the expectation of all positives, up to a factor."""
        return positive if positive in expected.POSITIVES else "all"

    def _expected_now(self, trainer: Trainer, x: Tensor) -> float:
        """The same for the embedding as it is, mean over a few batches; NaN where the theory has nothing to say."""
        if not self.theory["levels"]:
            return float("nan")
        s, size = self.state, min(self.state.per_class, MOST_PER_CLASS_IN_THEORY)
        batches = Batches(["explorer"], [self.problem.train.classes], classes=s.classes, per_class=size)
        index = torch.stack([batches.next()[0] for _ in range(BATCHES_OF_LIVE_EXPECTATION)])
        classes = torch.from_numpy(self.problem.train.classes)[index]
        index = index.gather(1, torch.argsort(classes, dim=1, stable=True))
        d = distances.pairwise(x[index].double())
        transition = noise.transition(s.noise_kind, s.classes, s.noise)
        positive = self._as_expected(trainer.configs[0].positive)
        both = _expected(
            torch.cat([torch.zeros_like(d[:1]), d]) / s.margin, self._batch_classes, transition, s.loss, positive
        )
        return float(both[1:].mean() / both[0])


def _expected(d: Tensor, classes: np.ndarray, transition: np.ndarray, loss: str, positive: str) -> Tensor:
    """Expected losses of batches (..., n, n) at margin 1; the margin loss at the best of 25 boundaries."""
    if loss != "margin":
        return expected_loss(d, classes, transition, loss=loss, positive=positive, alpha=1.0)
    betas = torch.linspace(0, max(3.0, float(d.max())), 25, dtype=torch.float64).view(-1, *[1] * (d.dim() - 2))
    wide = d.unsqueeze(0).expand(len(betas), *d.shape)
    return expected_loss(wide, classes, transition, loss=loss, positive=positive, alpha=1.0, beta=betas).amin(0)


@functools.lru_cache(maxsize=256)
def _line(loss: str, kind: str, t: int, n: int, positive: str) -> tuple[float, ...]:
    """The best collapsed embedding's share of total collapse's expected loss at each of `THEORY_LEVELS`; free of scale.

    Classes are taken to be equidistant; between kinks, which are multiples of half a margin, the losses are linear in the distance.
    """
    classes = np.repeat(np.arange(t), n // t)
    other = torch.from_numpy(classes[:, None] != classes[None]).double()
    d = torch.linspace(0, 4, 9, dtype=torch.float64)[:, None, None] * other
    shares = []
    for level in THEORY_LEVELS:
        losses = _expected(d, classes, noise.transition(kind, t, level), loss, positive)
        shares.append(float(losses.min() / losses[0]))
    return tuple(shares)
