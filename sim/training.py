"""The run-batched trainer: R runs of equal shape advance together in one tensor program.

Nothing a run computes depends on the runs beside it: draws come from its own streams (`sim.streams`), every tensor has
the runs on its first axis, and the gradient of the summed loss with respect to run r's parameters is run r's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sim import losses, metrics, noise, optim
from sim.catalogue import NETS, OPTIMIZERS, WEIGHTINGS
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.generators import Sample
from sim.losses import weighting
from sim.problems import Problem
from sim.samplers import Memory, RunDraws
from sim.samplers.batches import Batches

CHECK_EVERY = 25
"""Steps between two looks for diverged runs (a look is a synchronisation on CUDA)."""

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
    """

    config: RunConfig
    status: str = "done"
    diverged_at: int | None = None
    rows: list[dict[str, float | int | str]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class _Split:
    """One split of R runs' problems on the device; runs that share a problem share its memory."""

    def __init__(
        self, samples: Sequence[Sample], reference: Sequence[Sample], device: torch.device, dtype: torch.dtype
    ):
        unique = list({id(s): (s, r) for s, r in zip(samples, reference, strict=True)}.values())
        if len({(s.x.shape, s.t) for s, _ in unique}) > 1:
            raise InvalidInput("data", [s.x.shape for s, _ in unique], "one shape and one number of classes a group")
        self.samples = list(samples)
        self.n, self.shape, self.t = unique[0][0].n, unique[0][0].x.shape[1:], unique[0][0].t
        place = {id(s): k for k, (s, _) in enumerate(unique)}
        self.problem = torch.tensor([place[id(s)] for s in samples], device=device)
        x = np.concatenate([_standardised(s.x, r.x) for s, r in unique])
        self.x = torch.from_numpy(x).to(device, dtype)

    def rows(self, index: Tensor) -> Tensor:
        """Inputs (R, B, ...) at positions (R, B)."""
        return self.x[self.problem.unsqueeze(1) * self.n + index]


def _standardised(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Centre each feature and scale all by one number, both taken from the training sample: geometry stays as it is."""
    centred = reference - reference.mean(0)
    scale = np.sqrt(np.mean(np.square(centred)))
    standardised: np.ndarray = (x - reference.mean(0)) / (scale if scale > 0 else 1.0)
    return standardised


class Trainer:
    """R runs that advance together.

    Parameters
    ----------
    configs : sequence of R RunConfig
        Of one `RunConfig.program`.
    problems : sequence of R Problem
        Of equal sizes; runs may share one.
    device : str or torch.device
    ahead : int, optional
        Steps whose draws are taken at once, see `draw_ahead`.

    Raises
    ------
    InvalidInput
        If the runs can't share a program, or a batch can't be drawn from the data.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        problems: Sequence[Problem],
        device: str | torch.device = "cpu",
        *,
        ahead: int | None = None,
    ) -> None:
        if not configs or len({c.program() for c in configs}) != 1:
            raise InvalidInput("configs", len(configs), "one or more runs of one shape (see RunConfig.program)")
        self.device = torch.device(device)
        self.dtype = getattr(torch, configs[0].dtype)
        first = configs[0]
        self.runs = len(configs)
        robustness = None if first.robust.name == "none" else WEIGHTINGS[first.robust.name]
        inits: list[object] = [c.seed for c in configs]
        if robustness is not None and robustness.twins:
            configs, problems = [*configs, *configs], [*problems, *problems]
            inits += [f"{key} twin" for key in inits]
        self.configs = list(configs)
        self.keys = [c.seed for c in configs]
        train = [p.train for p in problems]
        self.options = metrics.Options(ks=problems[0].ks)
        self.splits = {"train": _Split(train, train, self.device, self.dtype)}
        if "test" in first.evaluate:
            self.splits["test"] = _Split([p.test for p in problems], train, self.device, self.dtype)
        data = self.splits["train"]
        self._label_setup(data)
        self.batches = Batches(
            self.keys, self._balanced_over, classes=first.batch.classes, per_class=first.batch.per_class
        )
        self.draws = RunDraws(self.keys)
        if ahead is not None:
            self.draw_ahead(ahead)
        table = {"samples": data.n} if first.net.kind == "table" else {}
        if table and first.evaluate != ("train",):
            raise InvalidInput(
                "evaluate", first.evaluate, "train, as net.kind = table has no positions for new samples"
            )
        self.net = NETS[first.net.kind](
            inits, data.shape, dim=first.net.dim, normalize=first.net.normalize, **table, **first.net.params
        ).to(self.device, self.dtype)
        params = {**first.loss.params, **self._per_run_loss_params()}
        given = {"runs": len(configs), "classes": data.t, "dim": first.net.dim, "keys": inits}
        robust = None
        if robustness is not None:
            robust = weighting.make(first.robust.name, transition=self._transitions(data), **first.robust.params)
        self.loss = losses.make(first.loss.name, weighting=robust, **params, **given).to(self.device, self.dtype)
        self.memory = self.slow_net = None
        if first.memory.size:
            shape = (len(configs), first.memory.size)
            self.memory = Memory(
                torch.zeros(*shape, first.net.dim, device=self.device, dtype=self.dtype),
                torch.full(shape, -1, device=self.device),
            )
            self.slow_net = copy.deepcopy(self.net).requires_grad_(False)
        self.sampling = self.loss.sampling(first.positive, first.negative, self.draws, self.memory)
        self.parameters = [*self.net.parameters(), *self.loss.parameters()]
        net_lr = torch.tensor([c.optimizer.lr for c in configs])
        loss_lr = torch.tensor([c.optimizer.loss_lr or c.optimizer.lr for c in configs])
        rates = [net_lr] * len(list(self.net.parameters())) + [loss_lr] * len(list(self.loss.parameters()))
        decay = torch.tensor([c.optimizer.weight_decay for c in configs])
        self.optimizer = OPTIMIZERS[first.optimizer.name](self.parameters, rates, decay)
        self.steps = 0
        self.diverged_at: list[int | None] = [None] * len(configs)
        self._loss_sum = torch.zeros(len(configs), device=self.device, dtype=self.dtype)
        self._loss_steps = 0

    def _label_setup(self, data: _Split) -> None:
        """Labels of the static runs, label probabilities of the resampled ones."""
        cache: dict[str, np.ndarray] = {}
        probabilities = []
        for config, sample in zip(self.configs, data.samples, strict=True):
            name = f"{id(sample)} {config.noise.model_dump_json()}"
            if name not in cache:
                cache[name] = noise.label_probabilities(
                    config.noise.kind, config.noise.level, sample, **config.noise.params
                )
            probabilities.append((name, cache[name]))
        self.classes = torch.from_numpy(np.stack([s.classes for s in data.samples])).to(self.device)
        self.static = self.configs[0].noise.mode == "static"
        if self.static:
            labels = [
                noise.static_labels(p, s.classes, seed=c.seed, exact=c.noise.exact)
                for c, s, (_, p) in zip(self.configs, data.samples, probabilities, strict=True)
            ]
            self.labels = torch.from_numpy(np.stack(labels)).to(self.device)
            self._balanced_over = labels
            return
        # Fresh labels for every batch: batches are balanced over the true classes, then labelled, so that a batch is a
        # stratified draw of samples whose labels are independent, as in the expected losses.
        self._balanced_over = [s.classes for s in data.samples]
        names = list(cache)
        self._noise = torch.tensor([names.index(name) for name, _ in probabilities], device=self.device)
        self._probabilities = torch.from_numpy(np.concatenate(list(cache.values()))).to(self.device, self.dtype)

    def _transitions(self, data: _Split) -> Tensor:
        """P(noisy label | class) of each run, (R, t, t): label probabilities averaged over each class's samples."""
        rows = []
        for config, sample in zip(self.configs, data.samples, strict=True):
            p = noise.label_probabilities(config.noise.kind, config.noise.level, sample, **config.noise.params)
            rows.append(np.stack([p[sample.classes == c].mean(0) for c in range(data.t)]))
        return torch.from_numpy(np.stack(rows)).to(self.device, self.dtype)

    def _per_run_loss_params(self) -> dict[str, Tensor]:
        """Loss parameters given by any run, as tensors over the runs."""
        name = self.configs[0].loss.name
        defaults = losses.parameters_of(name)
        given = {k for c in self.configs for k in c.loss.params if k in losses.LOSSES[name].per_run}
        return {
            k: torch.tensor([float(c.loss.params.get(k, defaults[k].default)) for c in self.configs])
            for k in sorted(given)
        }

    @property
    def active(self) -> list[int]:
        """Runs that haven't diverged; twins are not among them."""
        return [r for r in range(self.runs) if self.diverged_at[r] is None]

    def draw_labels(self, index: Tensor) -> Tensor:
        """Labels (R, B) of the samples at positions (R, B): the flipped ones, or fresh ones."""
        if self.static:
            return self.labels.gather(1, index)
        rows = self._noise.unsqueeze(1) * self.splits["train"].n + index
        probabilities = self._probabilities[rows]
        like = probabilities[..., 0]
        shape = tuple(index.shape)
        return noise.flip(
            probabilities,
            self.classes.gather(1, index),
            self.draws.uniform("flip", like, shape),
            self.draws.uniform("flip to", like, shape),
        )

    def draw_ahead(self, steps: int) -> None:
        """From the next time that something is drawn, draw for this many steps at once; changes speed only."""
        self.batches.block = self.draws.block = steps

    @torch.no_grad()
    def carry_over(self, other: Trainer) -> bool:
        """Go on where another trainer is: take its parameters, moments and steps, if shapes agree; says whether it did."""
        own, its = ([*trainer.parameters, *trainer.optimizer.moments] for trainer in (self, other))
        if [tensor.shape for tensor in own] != [tensor.shape for tensor in its]:
            return False
        for mine, source in zip(own, its, strict=True):
            mine.copy_(source)
        self.steps, self.optimizer.steps = other.steps, other.optimizer.steps
        return True

    def step(self) -> None:
        """Advance all runs by one optimisation step."""
        first = self.configs[0]
        index = self.batches.next().to(self.device)
        labels = self.draw_labels(index)
        embeddings = self.net(self.splits["train"].rows(index), index)
        progress = self.steps / first.steps
        loss = self.loss.of_batch(embeddings, labels, self.sampling, progress)
        gradients = torch.autograd.grad(loss.sum(), self.parameters)
        self.optimizer.step(gradients, optim.schedule(first.optimizer.schedule, progress))
        self._remember(index, labels)
        self.steps += 1
        self._loss_sum += loss.detach()
        self._loss_steps += 1
        if self.steps % CHECK_EVERY == 0:
            self._drop_diverged()

    @torch.no_grad()
    def _remember(self, index: Tensor, labels: Tensor) -> None:
        """Move the slow net towards the net, and put its embeddings of the batch where the oldest in the queue are."""
        if self.memory is None or self.slow_net is None:
            return
        for slow, fast in zip(self.slow_net.parameters(), self.net.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.configs[0].memory.momentum)
        size, batch = self.memory.labels.shape[1], labels.shape[1]
        place = (torch.arange(batch, device=self.device) + self.steps * batch) % size
        # A batch larger than the queue would write places twice: its last samples stay.
        last = slice(max(0, batch - size), None)
        self.memory.embeddings[:, place[last]] = self.slow_net(self.splits["train"].rows(index), index)[:, last]
        self.memory.labels[:, place[last]] = labels[:, last]

    def _drop_diverged(self) -> None:
        """Freeze runs with a non-finite loss at finite parameters, so that they cost and harm nothing."""
        bad = ~torch.isfinite(self._loss_sum)
        for r in bad.nonzero().flatten().tolist():
            if self.diverged_at[r] is None:
                self.diverged_at[r] = self.steps
                self.optimizer.freeze(r)

    @torch.no_grad()
    def embed(self, split: str) -> Tensor:
        """Embeddings (R, n, m) of a whole split."""
        data = self.splits[split]
        chunk = max(1, EMBED_CHUNK // (len(self.configs) * int(np.prod(data.shape))))
        parts = []
        for start in range(0, data.n, chunk):
            index = torch.arange(start, min(start + chunk, data.n), device=self.device).expand(len(self.configs), -1)
            parts.append(self.net(data.rows(index), index))
        return torch.cat(parts, dim=1)

    def evaluate(self, split: str, *, heavy: bool) -> dict[int, dict[str, float | int | str]]:
        """A row of metrics for each active run: ``step``, ``split``, ``loss``, learnt parameters, metrics."""
        self._drop_diverged()
        active = self.active
        if not active:
            return {}
        samples = self.splits[split].samples
        embeddings = self.embed(split)[active]
        values = metrics.evaluate_runs(
            embeddings,
            np.stack([samples[r].classes for r in active]),
            np.stack([samples[r].modes for r in active]),
            heavy=heavy,
            options=self.options,
        )
        mean_loss = self._loss_sum / max(self._loss_steps, 1)
        learnt = self.loss.learnt()
        rows: dict[int, dict[str, float | int | str]] = {}
        for r, run_metrics in zip(active, values, strict=True):
            loss = float(mean_loss[r]) if self._loss_steps else float("nan")
            rows[r] = {"step": self.steps, "split": split, "loss": loss}
            rows[r].update({name: float(value[r]) for name, value in learnt.items()})
            rows[r].update(run_metrics)
        return rows

    def forget_losses(self) -> None:
        """Start a new mean loss (after a checkpoint)."""
        self._loss_sum.zero_()
        self._loss_steps = 0


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
    """
    trainer = Trainer(configs, problems, device)
    first = trainer.configs[0]
    results = [RunResult(c) for c in configs]
    checkpoints = sorted({round(k * first.steps / first.checkpoints) for k in range(first.checkpoints + 1)})
    for checkpoint in checkpoints:
        while trainer.steps < checkpoint and trainer.active:
            trainer.step()
            if on_steps is not None:
                on_steps(len(configs))
        for split in first.evaluate:
            for r, row in trainer.evaluate(split, heavy=checkpoint == first.steps).items():
                results[r].rows.append(row)
        trainer.forget_losses()
    for r, result in enumerate(results):
        if trainer.diverged_at[r] is not None:
            result.status, result.diverged_at = "diverged", trainer.diverged_at[r]
    if first.save_embeddings:
        for split in first.evaluate:
            embeddings = trainer.embed(split).cpu().numpy()
            for r in trainer.active:
                results[r].arrays[f"embeddings_{split}"] = embeddings[r]
    return results
