"""The run-batched trainer: R runs of equal shape advance together in one tensor program.

Nothing a run computes depends on the runs beside it: draws come from its own streams (`sim.streams`), every tensor has
the runs on its first axis, and the gradient of the summed loss with respect to run r's parameters is run r's own.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sim import losses, metrics, optim
from sim.catalogue import LOSSES, NETS, OPTIMIZERS, WEIGHTINGS
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.fused import program
from sim.labels import Labels
from sim.losses import weighting
from sim.meter import LossMeter, Row, metric_row
from sim.nets import Net
from sim.problems import Problem, build
from sim.samplers import Memory, RunDraws
from sim.samplers.batches import Batches
from sim.splits import Split

CHECK_EVERY = 25
"""Steps between two looks for diverged runs (a look is a synchronisation on CUDA)."""

AHEAD = 64
"""Steps whose draws are taken at once."""

SECONDS_AT_ONCE = 0.5
"""About how long runs are advanced without a word to whoever waits for them."""

EMBED_CHUNK = 4_000_000
"""Input numbers embedded at once when a whole split is evaluated."""


@dataclass
class RunResult:
    """What a run leaves behind.

    Attributes
    ----------
    config : RunConfig
    status : str
        ``done`` or ``diverged`` (a non-finite loss; the metrics end before it).
    diverged_at : int or None
        Step by which the loss was seen to be non-finite.
    rows : list of dict
        One a checkpoint and split: ``step``, ``split``, ``loss`` (mean over the steps since the last checkpoint) and the
        metrics; clustering metrics at the last checkpoint only.
    arrays : dict of ndarray
        ``embeddings_<split>`` (n, m) at the end, if the config asks for them.
    data : str or None
        What it was trained on, as `sim.problems.fingerprint` says it where it was trained; None: not asked.
    """

    config: RunConfig
    status: str = "done"
    diverged_at: int | None = None
    rows: list[Row] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    data: str | None = None


class Trainer:
    """R runs that advance together.

    Parameters
    ----------
    configs : sequence of R RunConfig
        Of one `RunConfig.program`.
    problems : sequence of R Problem
        Of equal sizes; runs may share one.
    device : str or torch.device
    ahead : int
        Steps whose draws are taken at once; changes speed only.

    Raises
    ------
    InvalidInput
        If the runs can't share a program, or a batch can't be drawn from the data.

    Examples
    --------
    >>> from sim.problems import build
    >>> config = RunConfig(steps=10)
    >>> trainer = Trainer([config], [build("rings", 0, samples_per_mode=10)])
    >>> for _ in range(3):
    ...     trainer.step()
    >>> trainer.steps, tuple(trainer.embed("test").shape)
    (3, (1, 80, 2))
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        problems: Sequence[Problem],
        device: str | torch.device = "cpu",
        *,
        ahead: int = AHEAD,
    ) -> None:
        if not configs or len({c.program() for c in configs}) != 1:
            raise InvalidInput("configs", len(configs), "one or more runs of one program (see RunConfig.program)")
        first = self.first = configs[0]
        self.runs, self.steps = len(configs), 0
        self.device, self.dtype = torch.device(device), getattr(torch, first.dtype)
        inits: list[object] = [c.seed for c in configs]
        if first.robust.name != "none" and WEIGHTINGS[first.robust.name].twins:
            configs, problems = [*configs, *configs], [*problems, *problems]
            inits += [f"{key} twin" for key in inits]
        self.configs, self.keys = list(configs), [c.seed for c in configs]
        self.options = metrics.Options(ks=problems[0].ks)
        self.splits = self._splits(problems)
        data = self.splits["train"]
        self.labels = Labels([c.noise for c in configs], data.samples, self.keys, self.device, self.dtype)
        self.batches = Batches(
            self.keys,
            self.labels.balanced_over,
            classes=first.batch.classes,
            per_class=first.batch.per_class,
            block=ahead,
        )
        self.draws = RunDraws(self.keys, ahead)
        self.net = self._net(inits, data)
        self.loss = self._loss(inits, data)
        self.memory, self.slow_net = self._memory()
        self.sampling = self.loss.sampling(first.positive, first.negative, self.draws, self.memory)
        self.parameters = [*self.net.parameters(), *self.loss.parameters()]
        self.optimizer = self._optimizer()
        self.diverged_at: list[int | None] = [None] * len(configs)
        self.meter = LossMeter(len(configs), self.device, self.dtype)
        self.why_not_fused = program.why_not(self)
        self._program = None if self.why_not_fused else program.Program(self, CHECK_EVERY)

    def _splits(self, problems: Sequence[Problem]) -> dict[str, Split]:
        train = [p.train for p in problems]
        splits = {"train": Split(train, train, self.device, self.dtype)}
        if "test" in self.first.evaluate:
            splits["test"] = Split([p.test for p in problems], train, self.device, self.dtype)
        return splits

    def _net(self, inits: Sequence[object], data: Split) -> Net:
        first = self.first
        table = {"samples": data.n} if first.net.kind == "table" else {}
        if table and first.evaluate != ("train",):
            raise InvalidInput(
                "evaluate", first.evaluate, "train, as net.kind = table has no positions for new samples"
            )
        net = NETS[first.net.kind](
            inits, data.shape, dim=first.net.dim, normalize=first.net.normalize, **table, **first.net.params
        )
        return net.to(self.device, self.dtype)

    def _loss(self, inits: Sequence[object], data: Split) -> losses.Loss:
        first = self.first
        params = {**first.loss.params, **self._per_run_loss_params()}
        given = {"runs": len(self.configs), "classes": data.t, "dim": first.net.dim, "keys": inits}
        robust = None
        if first.robust.name != "none":
            robust = weighting.make(first.robust.name, transition=self.labels.transition, **first.robust.params)
        return losses.make(first.loss.name, weighting=robust, **params, **given).to(self.device, self.dtype)

    def _per_run_loss_params(self) -> dict[str, Tensor]:
        """Loss parameters given by any run, as tensors over the runs."""
        name = self.first.loss.name
        defaults = losses.parameters_of(name)
        given = {k for c in self.configs for k in c.loss.params if k in LOSSES[name].per_run}
        return {
            k: torch.tensor([float(c.loss.params.get(k, defaults[k].default)) for c in self.configs])
            for k in sorted(given)
        }

    def _memory(self) -> tuple[Memory | None, Net | None]:
        """A queue of Q embeddings a run, empty, and the slowly moving net that fills it."""
        size = self.first.memory.size
        if not size:
            return None, None
        shape = (len(self.configs), size)
        stored = torch.zeros(*shape, self.first.net.dim, device=self.device, dtype=self.dtype)  # (R, Q, m)
        slow_net = copy.deepcopy(self.net).requires_grad_(False)
        return Memory(stored, torch.full(shape, -1, device=self.device)), slow_net

    def _optimizer(self) -> optim.Optimizer:
        net_lr = torch.tensor([c.optimizer.lr for c in self.configs])  # (R,)
        loss_lr = torch.tensor([c.optimizer.loss_lr or c.optimizer.lr for c in self.configs])  # (R,)
        rates = [net_lr] * len(list(self.net.parameters())) + [loss_lr] * len(list(self.loss.parameters()))
        decay = torch.tensor([c.optimizer.weight_decay for c in self.configs])  # (R,)
        return OPTIMIZERS[self.first.optimizer.name](self.parameters, rates, decay)

    @property
    def active(self) -> list[int]:
        """Runs that haven't diverged; twins are not among them."""
        return [r for r in range(self.runs) if self.diverged_at[r] is None]

    def draw_ahead(self, steps: int) -> None:
        """Take the draws of so many steps at once from now on; changes speed only."""
        self.batches.draw_ahead(steps)
        self.draws.draw_ahead(steps)

    @torch.no_grad()
    def carry_over(self, other: Trainer) -> bool:
        """Go on from where another trainer is: its parameters, moments and steps, if shapes agree; says whether they do.

        Examples
        --------
        >>> from sim.problems import build
        >>> problem = build("rings", 0, samples_per_mode=10)
        >>> old, new = (Trainer([RunConfig(positive=p)], [problem]) for p in ("easy", "random"))
        >>> old.step()
        >>> new.carry_over(old), new.steps, new.embed("test").equal(old.embed("test"))
        (True, 1, True)
        """
        mine, its = ([*t.parameters, *t.optimizer.moments] for t in (self, other))
        if [value.shape for value in mine] != [value.shape for value in its]:
            return False
        for value, carried in zip(mine, its, strict=True):
            value.copy_(carried)
        self.steps, self.optimizer.steps = other.steps, other.optimizer.steps
        return True

    def advance(self, steps: int) -> None:
        """Advance all runs by so many optimisation steps, in compiled code where there is some for them (see `sim.fused`)."""
        if self._program is None:
            for _ in range(steps):
                self.step()
            return
        for start in range(0, steps, AHEAD):
            self._program.advance(min(AHEAD, steps - start))

    def step(self) -> None:
        """Advance all runs by one optimisation step, as a tensor program."""
        index = self.batches.next().to(self.device)  # (R, B)
        labels = self.labels.draw(index, self.draws)
        embeddings = self.net(self.splits["train"].rows(index), index)  # (R, B, m)
        progress = self.steps / self.first.steps
        loss = self.loss.of_batch(embeddings, labels, self.sampling, progress)  # (R,)
        gradients = torch.autograd.grad(loss.sum(), self.parameters)
        self.optimizer.step(gradients, optim.schedule(self.first.optimizer.schedule, progress))
        self._remember(index, labels)
        self.steps += 1
        self.meter.add(loss)
        if self.steps % CHECK_EVERY == 0:
            self._drop_diverged()

    @torch.no_grad()
    def _remember(self, index: Tensor, labels: Tensor) -> None:
        """Move the slow net towards the net, and put its embeddings of the batch where the oldest in the queue are."""
        if self.memory is None or self.slow_net is None:
            return
        for slow, fast in zip(self.slow_net.parameters(), self.net.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.first.memory.momentum)
        size, batch = self.memory.labels.shape[1], labels.shape[1]
        place = (torch.arange(batch, device=self.device) + self.steps * batch) % size  # (B,)
        # A batch larger than the queue would write places twice: its last samples stay.
        last = slice(max(0, batch - size), None)
        self.memory.embeddings[:, place[last]] = self.slow_net(self.splits["train"].rows(index), index)[:, last]
        self.memory.labels[:, place[last]] = labels[:, last]

    def _drop_diverged(self) -> None:
        """Freeze runs with a non-finite loss at finite parameters, so that they cost and harm nothing."""
        for r in self.meter.not_finite():
            self.drop(r, self.steps)

    def drop(self, run: int, step: int) -> None:
        """Freeze a run whose loss is not finite by a step, unless it is frozen already."""
        if self.diverged_at[run] is None:
            self.diverged_at[run] = step
            self.optimizer.freeze(run)

    @torch.no_grad()
    def embed(self, split: str) -> Tensor:
        """Embeddings (R, n, m) of a whole split."""
        data = self.splits[split]
        chunk = max(1, EMBED_CHUNK // (len(self.configs) * int(np.prod(data.shape))))
        parts = []
        for start in range(0, data.n, chunk):
            index = torch.arange(start, min(start + chunk, data.n), device=self.device).expand(len(self.configs), -1)
            parts.append(self.net(data.rows(index), index))  # (R, chunk, m)
        return torch.cat(parts, dim=1)

    def evaluate(self, split: str, *, heavy: bool) -> dict[int, Row]:
        """A `metric_row` for each active run."""
        self._drop_diverged()
        active = self.active
        if not active:
            return {}
        samples = self.splits[split].samples
        values = metrics.evaluate_runs(
            self.embed(split)[active],
            np.stack([samples[r].classes for r in active]),
            np.stack([samples[r].modes for r in active]),
            heavy=heavy,
            options=self.options,
        )
        return {
            r: metric_row(self.steps, split, self.meter, r, self.loss, of_run)
            for r, of_run in zip(active, values, strict=True)
        }


def train(
    configs: Sequence[RunConfig],
    problems: Sequence[Problem],
    *,
    device: str | torch.device = "cpu",
    on_steps: Callable[[int], None] | None = None,
) -> list[RunResult]:
    """Train R runs together and evaluate them at their checkpoints.

    Parameters
    ----------
    configs, problems, device
        See `Trainer`.
    on_steps : callable, optional
        Called with the number of run-steps done since the last call.

    Returns
    -------
    list of R RunResult
        In the order of ``configs``.

    Examples
    --------
    >>> from sim.problems import build
    >>> config = RunConfig(steps=5, checkpoints=1)
    >>> (result,) = train([config], [build("rings", 0, samples_per_mode=10)])
    >>> result.status, [row["step"] for row in result.rows]
    ('done', [0, 5])
    """
    trainer = Trainer(configs, problems, device)
    first, at_once = trainer.first, 1
    results = [RunResult(c) for c in configs]
    for checkpoint in first.checkpoint_steps():
        while trainer.steps < checkpoint and trainer.active:
            steps, started = min(at_once, checkpoint - trainer.steps), time.perf_counter()
            trainer.advance(steps)
            if on_steps is not None:
                on_steps(len(configs) * steps)
            # As many at once as pass between two looks at the clock: a user sees progress, and an interrupt is heard.
            in_time = int(steps * SECONDS_AT_ONCE / (time.perf_counter() - started))
            at_once = max(1, min(AHEAD, in_time, 8 * at_once))
        for split in first.evaluate:
            for r, row in trainer.evaluate(split, heavy=checkpoint == first.steps).items():
                results[r].rows.append(row)
        trainer.meter.restart()
    for r, result in enumerate(results):
        if trainer.diverged_at[r] is not None:
            result.status, result.diverged_at = "diverged", trainer.diverged_at[r]
    if first.save_embeddings:
        for split in first.evaluate:
            embeddings = trainer.embed(split).cpu().numpy()
            for r in trainer.active:
                results[r].arrays[f"embeddings_{split}"] = embeddings[r]
    return results


def step_in_words(config: RunConfig, device: str = "cpu") -> str:
    """What computes a run's training steps: compiled code, or a tensor program, and why.

    Examples
    --------
    >>> step_in_words(RunConfig(positive="k_easy:2", negative="all"))
    'training steps: a tensor program (the positives k_easy:2 or negatives all have no compiled form)'
    """
    problem = build(config.data.name, config.seed, **config.data.params)
    reason = Trainer([config], [problem], device).why_not_fused
    return f"training steps: {f'a tensor program ({reason})' if reason else 'compiled code'}"
