"""Fine-tuning: one run whose backbone is trained end to end on images, with the same losses, samplers and noise as small nets.

The embedding is a head (any net of `sim.nets`) on the backbone's features. A batch may be larger than what the device can
hold: images go through in chunks, once to embed all of them for the loss, once more for the gradient (gradient caching, Gao
et al. 2021), which is exact because a backbone stays in evaluation mode (batch normalisation with its stored statistics, no
dropout), as is usual in metric learning (Roth et al. 2020).

All draws of a step depend on (seed, step) only, so that a run that was killed goes on from its last checkpoint to the same end.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from realdata.backbones import Backbone, Preprocessing, backbone
from realdata.datasets import SPLITS, locate
from realdata.pictures import Pictures
from realdata.protocol import Part, Protocol, parts
from sim import losses, metrics, noise, optim
from sim.catalogue import DATASETS, NETS, NOISE_KINDS, OPTIMIZERS
from sim.config import Batch, Data, Net, Noise, RunConfig
from sim.errors import InvalidInput, integer, takes
from sim.generators import Sample
from sim.samplers import RunDraws
from sim.samplers.batches import Batches
from sim.streams import stream
from sim.training import RunResult

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.pt"

Row = dict[str, float | int | str]


class DataSetOf(Data):
    """A data set of `realdata.datasets`; ``params``: ``root`` and those of `realdata.protocol.Protocol`, ``protocol`` its kind."""

    name: str = "cub200"


class StaticNoise(Noise):
    """Noise as in a real data set: labels are flipped once."""

    mode: Literal["resampled", "static"] = "static"


class Head(Net):
    """The net on the backbone's features."""

    kind: str = "linear"
    dim: int = Field(64, ge=1)
    normalize: bool = True


class FineTuneBatch(Batch):
    """P classes x K samples."""

    classes: int = Field(16, ge=0)
    per_class: int = Field(4, ge=2)


class FineTune(RunConfig):
    """A run that trains a backbone; ``optimizer.lr`` is the head's and the loss's learning rate.

    Attributes
    ----------
    backbone : str
        See `realdata.backbones.backbone`.
    backbone_lr : float
        The backbone's learning rate; 0 keeps it as it is.
    size : int or None
        Side of the images; the backbone's own if not given.
    augment : bool
        Train on random crops and mirror images, instead of the middle.
    precision : str
        ``bfloat16``: mixed precision (PyTorch's autocast).
    """

    data: DataSetOf = DataSetOf()
    noise: StaticNoise = StaticNoise()
    net: Head = Head()
    batch: FineTuneBatch = FineTuneBatch()
    steps: int = Field(1000, ge=1)
    backbone: str = "efficientnet_lite0"
    backbone_lr: float = Field(1e-4, ge=0)
    size: int | None = Field(None, ge=16)
    augment: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"

    def check(self) -> FineTune:
        """See `RunConfig.check`; also refuse what fine-tuning has no place for."""
        super().check()
        takes("data.params", _protocol, self.data.params)
        DATASETS[self.data.name]
        for field, value, allowed in (
            ("memory.size", self.memory.size, 0),
            ("robust.name", self.robust.name, "none"),
            ("dtype", self.dtype, "float32"),
        ):
            if value != allowed:
                raise InvalidInput(field, value, f"{allowed} in fine-tuning")
        if NOISE_KINDS[self.noise.kind].transition is None:
            known = [k for k in NOISE_KINDS if NOISE_KINDS[k].transition is not None]
            raise InvalidInput("noise.kind", self.noise.kind, f"one of {', '.join(known)} in fine-tuning")
        return self


def _protocol(
    root: str | None = None,
    protocol: str = "coarse",
    per_super: int | None = None,
    merge_seed: int | None = None,
    limit: int | None = None,
    test_limit: int | None = None,
) -> Protocol:
    return Protocol(protocol, per_super, merge_seed, limit, test_limit)


Item = tuple[int, float, float, bool]
"""(row, horizontal and vertical place of the crop, mirrored)."""


@dataclass(frozen=True)
class Resources:
    """What the user lends to a fine-tuning; the result doesn't depend on it (but for the device's rounding).

    Attributes
    ----------
    device : str
    chunk : int
        Images that go through the net at once: memory depends on it.
    workers : int
        Processes that read images; 0: this one does.
    save_every : int
        Steps between two checkpoints on disk: what a kill costs at most.
    """

    device: str = "cpu"
    chunk: int = 64
    workers: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        for name, least in (("chunk", 1), ("workers", 0), ("save_every", 1)):
            integer(name, getattr(self, name), least)


class Images(Dataset[Tensor]):
    """The images of one side of a problem.

    Parameters
    ----------
    read : callable () -> list of Pictures
        Opens the data set's splits; called once in each process, as open archives can't be shared between processes.
    part : Part
    preprocessing : Preprocessing
    """

    def __init__(self, read: Callable[[], list[Pictures]], part: Part, preprocessing: Preprocessing) -> None:
        self.read, self.part, self.preprocessing = read, part, preprocessing
        self._opened: tuple[int, list[Pictures]] | None = None

    @property
    def splits(self) -> list[Pictures]:
        """The data set's splits, as opened by this process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self.read()
        return self._opened[1]

    def __getitem__(self, item: Item) -> Tensor:
        """One image, (3, size, size)."""
        row, across, down, mirrored = item
        place = int(self.part.rows[row])
        border = len(self.splits[0])
        split, at = (self.splits[0], place) if place < border else (self.splits[1], place - border)
        image = self.preprocessing(split, np.array([at]), (across, down))[0]
        return image.flip(-1) if mirrored else image

    def middle(self) -> list[Item]:
        """Items for all images, the middle of each."""
        return [(row, 0.5, 0.5, False) for row in range(len(self.part.rows))]


def _read(name: str, place: Path) -> list[Pictures]:
    return [DATASETS[name].read(place, split) for split in SPLITS]


class Steps:
    """The batches of a run's steps from ``first`` on, as items of `Images`."""

    def __init__(self, config: FineTune, groups: np.ndarray, first: int) -> None:
        self.config, self.groups, self.first = config, groups, first

    def __iter__(self) -> Iterator[list[Item]]:
        c = self.config
        batches = Batches([c.seed], [self.groups], classes=c.batch.classes, per_class=c.batch.per_class)
        for step in range(c.steps):
            rows = batches.next()[0].tolist()
            if step < self.first:
                continue
            u = stream(f"{c.seed} step {step}", "augment").random((len(rows), 3))
            yield [
                (row, float(x), float(y), bool(z < 0.5)) if c.augment else (row, 0.5, 0.5, False)
                for row, (x, y, z) in zip(rows, u, strict=True)
            ]


class FineTuner:
    """One run: its data, nets, loss and optimiser, and how they are saved and brought back.

    Parameters
    ----------
    config : FineTune
        Checked.
    resources : Resources

    Raises
    ------
    InvalidInput
        If the data or the backbone isn't there, or a batch can't be drawn.
    """

    def __init__(self, config: FineTune, resources: Resources) -> None:
        self.config, self.resources, self.device = config, resources, torch.device(resources.device)
        params = config.data.params
        read = functools.partial(_read, config.data.name, locate(config.data.name, params.get("root")))
        splits = read()
        found = backbone(config.backbone)
        preprocessing = found.preprocessing if config.size is None else found.preprocessing.at(config.size)
        sides = parts(splits[0], splits[1], _protocol(**params))
        self.images = {split: Images(read, part, preprocessing) for split, part in zip(SPLITS, sides, strict=True)}
        train = sides[0]
        sample = Sample(np.zeros((len(train.rows), 1)), train.classes, train.modes)
        probabilities = noise.label_probabilities(config.noise.kind, config.noise.level, sample, **config.noise.params)
        self.classes = torch.from_numpy(train.classes)
        self.probabilities = torch.from_numpy(probabilities)
        self.labels: Tensor | None = None
        groups = train.classes
        if config.noise.mode == "static":
            groups = noise.static_labels(probabilities, train.classes, seed=config.seed, exact=config.noise.exact)
            self.labels = torch.from_numpy(groups)
        self.groups = groups
        Batches([config.seed], [groups], classes=config.batch.classes, per_class=config.batch.per_class)
        self.backbone, self.head = self._nets(found)
        given: dict[str, Any] = {"runs": 1, "classes": sample.t, "dim": config.net.dim, "keys": [config.seed]}
        self.loss = losses.make(config.loss.name, **config.loss.params, **given).to(self.device, torch.float32)
        self.sampling = self.loss.sampling(config.positive, config.negative)
        # The optimisers have a run axis; a view gives one to the backbone's parameters.
        trained = list(self.backbone.parameters()) if config.backbone_lr else []
        self.parameters = [*trained, *self.head.parameters(), *self.loss.parameters()]
        views = [p.detach().unsqueeze(0) for p in trained] + self.parameters[len(trained) :]
        o = config.optimizer
        rates = [config.backbone_lr] * len(trained) + [o.lr] * len(list(self.head.parameters()))
        rates += [o.loss_lr or o.lr] * len(list(self.loss.parameters()))
        self.optimizer = OPTIMIZERS[o.name](
            views, [torch.tensor([rate]) for rate in rates], torch.tensor([o.weight_decay])
        )
        self.steps, self.loss_sum, self.loss_steps = 0, 0.0, 0
        self.rows: list[Row] = []

    def _nets(self, found: Backbone) -> tuple[nn.Module, nn.Module]:
        net = found.build(str(self.device)).eval().requires_grad_(self.config.backbone_lr > 0)
        with torch.no_grad():
            probe = self.images["train"][(0, 0.5, 0.5, False)].unsqueeze(0).to(self.device)
            width = net(probe).shape[1]
        c = self.config.net
        head = NETS[c.kind]([self.config.seed], (width,), dim=c.dim, normalize=c.normalize, **c.params)
        return net, head.to(self.device)

    def embed(self, x: Tensor) -> Tensor:
        """Images (B, 3, s, s) -> embeddings (1, B, m), float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            features = self.backbone(x)
        index = torch.arange(len(x), device=x.device).unsqueeze(0)
        embeddings: Tensor = self.head(features.float().unsqueeze(0), index)
        return embeddings

    def step(self, items: list[Item], x: Tensor) -> None:
        """Advance by one step on the batch ``items`` whose images are ``x`` (B, 3, s, s)."""
        c = self.config
        rows = torch.tensor([[item[0] for item in items]])
        draws = RunDraws([f"{c.seed} step {self.steps}"], block=1)
        chunks = torch.split(x.to(self.device), self.resources.chunk)
        whole = len(chunks) == 1
        with torch.set_grad_enabled(whole):
            embedded = [self.embed(chunk) for chunk in chunks]
        leaf = torch.cat(embedded, 1).detach().requires_grad_()
        sampling = dataclasses.replace(self.sampling, draws=draws)
        progress = self.steps / c.steps
        loss = self.loss.of_batch(leaf, self._draw_labels(rows, draws).to(self.device), sampling, progress)
        for p in self.parameters:
            p.grad = None
        torch.autograd.backward(loss.sum())
        assert leaf.grad is not None
        for chunk, graph, gradient in zip(
            chunks, embedded, torch.split(leaf.grad, self.resources.chunk, 1), strict=True
        ):
            torch.autograd.backward(graph if whole else self.embed(chunk), gradient)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        shaped = [g.view_as(v) for g, v in zip(gradients, self.optimizer.parameters, strict=True)]
        self.optimizer.step(shaped, optim.schedule(c.optimizer.schedule, progress))
        self.steps += 1
        self.loss_sum += float(loss.detach())
        self.loss_steps += 1

    def _draw_labels(self, rows: Tensor, draws: RunDraws) -> Tensor:
        if self.labels is not None:
            return self.labels[rows]
        p = self.probabilities[rows]
        u, v = (draws.uniform(purpose, p, tuple(rows.shape)) for purpose in ("flip", "flip to"))
        return noise.flip(p, self.classes[rows], u, v)

    @torch.no_grad()
    def evaluate(self, split: str, *, heavy: bool) -> Row:
        """A row of metrics, see `sim.training.Trainer.evaluate`."""
        images = self.images[split]
        items = images.middle()
        size = self.resources.chunk
        batches = [items[i : i + size] for i in range(0, len(items), size)]
        loader = DataLoader(images, batch_sampler=batches, num_workers=self.resources.workers)
        embeddings = torch.cat([self.embed(x.to(self.device))[0] for x in loader])
        options = metrics.Options(ks=DATASETS[self.config.data.name].ks)
        values = metrics.evaluate(embeddings, images.part.classes, images.part.modes, heavy=heavy, options=options)
        loss = self.loss_sum / self.loss_steps if self.loss_steps else float("nan")
        learnt = {name: float(value[0]) for name, value in self.loss.learnt().items()}
        return {"step": self.steps, "split": split, "loss": loss, **learnt, **values}

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            "config": self.config.model_dump_json(),
            "steps": self.steps,
            "loss": (self.loss_sum, self.loss_steps),
            "rows": self.rows,
            "nets": [m.state_dict() for m in (self.backbone, self.head, self.loss)],
            "moments": self.optimizer.moments,
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Bring back a `state`."""
        self.steps = self.optimizer.steps = state["steps"]
        self.loss_sum, self.loss_steps = state["loss"]
        self.rows = state["rows"]
        for module, values in zip((self.backbone, self.head, self.loss), state["nets"], strict=True):
            module.load_state_dict(values)
        for moment, values in zip(self.optimizer.moments, state["moments"], strict=True):
            moment.copy_(values)


def _save(place: Path, value: Any) -> None:
    """Write a file so that it is there whole or not at all."""
    part = place.with_name(f"{place.name}.part")
    with part.open("wb") as file:
        torch.save(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, place)


def _load(place: Path, device: torch.device) -> dict[str, Any]:
    try:
        return dict(torch.load(place, map_location=device, weights_only=True))
    # What a broken file raises depends on where it is broken.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput("out", str(place), f"a checkpoint as written; delete it to start again ({reason})") from None


def finetune(
    config: FineTune,
    folder: Path,
    resources: Resources,
    *,
    on_start: Callable[[int], None] = lambda n: None,
    on_steps: Callable[[int], None] = lambda n: None,
) -> RunResult:
    """Train a run to its end, from its last checkpoint if there is one.

    Parameters
    ----------
    config : FineTune
    folder : Path
        The run's own: ``checkpoint.pt``, and at the end ``weights.pt`` (states of backbone, head and loss). Whoever has put
        the result in a safe place may delete the checkpoint.
    resources : Resources
    on_start, on_steps : callable
        Told how many steps are left, and how many more are done.

    Returns
    -------
    RunResult
        ``diverged`` if the loss became non-finite: nothing is trained beyond it.

    Raises
    ------
    InvalidInput
        Also if the checkpoint is broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = FineTuner(config, resources)
    place = folder / CHECKPOINT
    if place.exists():
        state = _load(place, run.device)
        if state.get("config") != config.model_dump_json():
            raise InvalidInput("out", str(place), "a checkpoint of this configuration; delete it to start again")
        run.restore(state)
    on_start(config.steps - run.steps)
    due = {round(k * config.steps / config.checkpoints) for k in range(config.checkpoints + 1)}
    result = RunResult(config)

    def look() -> None:
        """Evaluate if this step is a checkpoint of the config that has no rows yet."""
        if run.steps not in due or any(row["step"] == run.steps for row in run.rows):
            return
        run.rows += [run.evaluate(split, heavy=run.steps == config.steps) for split in config.evaluate]
        run.loss_sum, run.loss_steps = 0.0, 0

    look()
    items = Steps(config, run.groups, run.steps)
    loader = DataLoader(run.images["train"], batch_sampler=items, num_workers=resources.workers)
    for batch, x in zip(items, loader, strict=True):
        run.step(batch, x)
        on_steps(1)
        if not np.isfinite(run.loss_sum):
            result.status, result.diverged_at = "diverged", run.steps
            break
        look()
        if run.steps % resources.save_every == 0 or run.steps == config.steps:
            _save(place, run.state())
    result.rows = run.rows
    _save(folder / WEIGHTS, run.state()["nets"])
    return result
