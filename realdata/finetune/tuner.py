"""One fine-tuned run: its data, nets, loss and optimiser, and how they are saved and brought back."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from realdata.backbones import Backbone, backbone
from realdata.datasets import SPLITS, locate
from realdata.finetune.config import FineTune, protocol_of
from realdata.finetune.images import Images, Item, read_splits
from realdata.protocol import fingerprint, parts
from sim import losses, metrics, optim
from sim.catalogue import DATASETS, NETS, OPTIMIZERS
from sim.errors import integer
from sim.generators import Sample
from sim.labels import Labels
from sim.meter import LossMeter, Row, metric_row
from sim.samplers import RunDraws
from sim.samplers.batches import Batches


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

    Examples
    --------
    >>> Resources(chunk=0)
    Traceback (most recent call last):
    sim.errors.InvalidInput: chunk: got 0; allowed: an integer >= 1
    """

    device: str = "cpu"
    chunk: int = 64
    workers: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        for name, least in (("chunk", 1), ("workers", 0), ("save_every", 1)):
            object.__setattr__(self, name, integer(name, getattr(self, name), least))


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
        read = functools.partial(read_splits, config.data.name, locate(config.data.name, params.get("root")))
        splits = read()
        found = backbone(config.backbone)
        self.data, self.weights = fingerprint(config.data.name, **params), found.digest()
        preprocessing = found.preprocessing if config.size is None else found.preprocessing.at(config.size)
        sides = parts(splits[0], splits[1], protocol_of(**params))
        self.images = {split: Images(read, part, preprocessing) for split, part in zip(SPLITS, sides, strict=True)}
        train = sides[0]
        sample = Sample(np.zeros((len(train.rows), 1)), train.classes, train.modes)
        self.labels = Labels([config.noise], [sample], [config.seed])
        self.groups = self.labels.balanced_over[0]  # (n,)
        # Refuses batches that can't be drawn, before anything long begins.
        Batches([config.seed], [self.groups], classes=config.batch.classes, per_class=config.batch.per_class)
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
        self.steps, self.meter = 0, LossMeter(1)
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
            features = self.backbone(x)  # (B, width)
        index = torch.arange(len(x), device=x.device).unsqueeze(0)
        embeddings: Tensor = self.head(features.float().unsqueeze(0), index)
        return embeddings

    def step(self, items: list[Item], x: Tensor) -> None:
        """Advance by one step on the batch ``items`` whose images are ``x`` (B, 3, s, s)."""
        c = self.config
        rows = torch.tensor([[item[0] for item in items]])  # (1, B)
        draws = RunDraws([f"{c.seed} step {self.steps}"], block=1)
        chunks = torch.split(x.to(self.device), self.resources.chunk)
        whole = len(chunks) == 1
        with torch.set_grad_enabled(whole):
            embedded = [self.embed(chunk) for chunk in chunks]  # each (1, chunk, m)
        leaf = torch.cat(embedded, 1).detach().requires_grad_()  # (1, B, m)
        sampling = dataclasses.replace(self.sampling, draws=draws)
        progress = self.steps / c.steps
        loss = self.loss.of_batch(leaf, self.labels.draw(rows, draws).to(self.device), sampling, progress)
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
        self.meter.add(loss.detach().cpu())

    @torch.no_grad()
    def evaluate(self, split: str, *, heavy: bool) -> Row:
        """A row of metrics, see `sim.training.metric_row`."""
        images = self.images[split]
        items = images.middle()
        size = self.resources.chunk
        batches = [items[i : i + size] for i in range(0, len(items), size)]
        loader = DataLoader(images, batch_sampler=batches, num_workers=self.resources.workers)
        embeddings = torch.cat([self.embed(x.to(self.device))[0] for x in loader])  # (n, m)
        options = metrics.Options(ks=DATASETS[self.config.data.name].ks)
        values = metrics.evaluate(embeddings, images.part.classes, images.part.modes, heavy=heavy, options=options)
        return metric_row(self.steps, split, self.meter, 0, self.loss, values)

    def identity(self) -> list[str]:
        """What a state belongs to: the configuration, the data and the backbone's weights."""
        return [self.config.model_dump_json(), self.data, self.weights]

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            "of": self.identity(),
            "steps": self.steps,
            "loss": (float(self.meter.total[0]), self.meter.steps),
            "rows": self.rows,
            "nets": [m.state_dict() for m in (self.backbone, self.head, self.loss)],
            "moments": self.optimizer.moments,
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Bring back a `state`."""
        self.steps = self.optimizer.steps = state["steps"]
        total, self.meter.steps = state["loss"]
        self.meter.total.fill_(total)
        self.rows = state["rows"]
        for module, values in zip((self.backbone, self.head, self.loss), state["nets"], strict=True):
            module.load_state_dict(values)
        for moment, values in zip(self.optimizer.moments, state["moments"], strict=True):
            moment.copy_(values)
