"""Any loss and miner of pytorch-metric-learning 2 in the same trainer, sweeps and metrics. Slow: the runs are looped over."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn

from sim.catalogue import LOSSES
from sim.errors import InvalidInput
from sim.losses.base import Loss
from sim.samplers import Sampling
from sim.streams import stream

MAJOR = "2"
"""Version of the library that this is written for and tested with. Version 3 (Python 3.12, PyTorch 2.14 and later) is a clean break: it
changed what constructors take and what miners return, and hasn't been tried."""


def _build(kind: str, name: str, params: dict[str, Any], given: dict[str, Any]) -> Any:
    """An object of the library by the name of its class; ``given`` is passed where the class asks for it."""
    try:
        from pytorch_metric_learning import distances, losses, miners, reducers
    except ImportError:
        raise InvalidInput("loss.name", "pml", "another loss, or install pytorch-metric-learning") from None
    version = metadata.version("pytorch-metric-learning")
    if version.split(".")[0] != MAJOR:
        allowed = (
            f"another loss, or install pytorch-metric-learning {MAJOR} (here is {version}, whose interface is another)"
        )
        raise InvalidInput("loss.name", "pml", allowed)
    module = {"loss": losses, "miner": miners, "distance": distances, "reducer": reducers}[kind]
    found = getattr(module, name, None) if isinstance(name, str) else None
    if not inspect.isclass(found):
        classes = sorted(n for n, c in vars(module).items() if inspect.isclass(c) and not n.startswith("Base"))
        raise InvalidInput(f"loss.params.{kind}", name, "one of " + ", ".join(classes))
    wanted = [p.name for c in found.__mro__ for p in inspect.signature(c.__init__).parameters.values()]  # type: ignore[misc]
    arguments = {**{k: v for k, v in given.items() if k in wanted}, **params}
    try:
        return found(**arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise InvalidInput(f"loss.params.{kind}_params", params, f"what {name} takes ({error})") from None


@LOSSES.register("pml")
class PytorchMetricLearning(Loss):
    """A loss of pytorch-metric-learning (Musgrave et al. 2020), with one of its miners if asked; a loop over the runs.

    Each run has its own copy of what the loss learns, and its own random numbers. The positive and the negative policy
    are ``all``: the miner chooses.

    Parameters
    ----------
    loss : str
        Name of a class in ``pytorch_metric_learning.losses``.
    loss_params : dict
        Its arguments; ``num_classes`` and ``embedding_size`` are known.
    miner, miner_params, distance, distance_params, reducer, reducer_params
        The same for a class in ``miners``, ``distances`` (given to loss and miner) and ``reducers``.
    runs, classes, dim, keys
        See `ProxyLoss`.

    Examples
    --------
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> loss = PytorchMetricLearning(loss="TripletMarginLoss", loss_params={"margin": 1.0})
    >>> round(loss(points, labels, generator=torch.Generator()).item(), 3)
    0.478
    """

    published_negative = "all"
    takes_only_all = "with loss.name = pml: its miner chooses"

    def __init__(
        self,
        *,
        loss: str,
        loss_params: dict[str, Any] | None = None,
        miner: str | None = None,
        miner_params: dict[str, Any] | None = None,
        distance: str | None = None,
        distance_params: dict[str, Any] | None = None,
        reducer: str | None = None,
        reducer_params: dict[str, Any] | None = None,
        runs: int | None = None,
        classes: int | None = None,
        dim: int | None = None,
        keys: Sequence[object] | None = None,
    ) -> None:
        super().__init__()
        self.classes = classes
        given: dict[str, Any] = {"num_classes": classes, "embedding_size": dim}
        if distance is not None:
            given["distance"] = _build("distance", distance, distance_params or {}, {})
        if reducer is not None:
            given["reducer"] = _build("reducer", reducer, reducer_params or {}, {})
        self._miner = None if miner is None else _build("miner", miner, miner_params or {}, given)
        states = []
        for key in range(runs or 1) if keys is None else keys:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(stream(key, "init pml").integers(2**62)))
                # In a tuple, so that its parameters aren't found twice.
                self._module: tuple[nn.Module] = (_build("loss", loss, loss_params or {}, given),)
            states.append(dict(self._module[0].named_parameters()))
        self._names = list(states[0])
        self.stacked = nn.ParameterList(nn.Parameter(torch.stack([s[n].detach() for s in states])) for n in self._names)

    def compute(self, embeddings: Tensor, labels: Tensor, sampling: Sampling) -> Tensor:
        """See `Loss.compute`."""
        draws = sampling.draws
        if draws is None:
            raise InvalidInput("generator", None, "a torch.Generator or Draws: miners may be random")
        uniforms = draws.uniform("pml", embeddings, (len(embeddings), 1))  # (R, 1)
        seeds = (uniforms.double() * 2**53).long().flatten().tolist()
        module = self._module[0].to(embeddings.device)
        values = []
        for r, seed in enumerate(seeds):
            with torch.random.fork_rng(devices=[embeddings.device] if embeddings.is_cuda else []):
                torch.manual_seed(seed)
                e, y = embeddings[r], labels[r]  # (B, m), (B,)
                tuples = None if self._miner is None else self._miner(e, y)
                own = {name: p[r] for name, p in zip(self._names, self.stacked, strict=True)}
                values.append(torch.func.functional_call(module, own, (e, y, tuples)))
        return torch.stack(values)
