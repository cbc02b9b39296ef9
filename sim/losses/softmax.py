"""The softmax family: cross entropy over classes from learnt class vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sim.catalogue import LOSSES
from sim.distances import pairwise
from sim.errors import number
from sim.losses.base import ProxyLoss, Setting


class CrossEntropy(ProxyLoss):
    """Base of the softmax family: mean over the batch of - log softmax(logits)_y; its tuples are (sample, class) pairs.

    Examples
    --------
    A loss of one's own gives the logits: here minus the squared distances to the class vectors.

    >>> class Nearest(CrossEntropy):
    ...     def of_proxies(self, embeddings, labels):
    ...         return self.cross_entropy(-torch.cdist(embeddings, self.proxies).square(), labels)
    >>> loss = Nearest(runs=1, classes=2, dim=2, keys=None)
    >>> at = loss.proxies.detach()
    >>> bool(loss(at, torch.tensor([[0, 1]])) < loss(at, torch.tensor([[1, 0]])))
    True
    """

    weighable = of_classes = True

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(R, B, t), (R, B) -> (R,)."""
        return self.reduced(-logits.log_softmax(-1), self.own_class(labels))


@LOSSES.register("softmax")
class Softmax(CrossEntropy):
    """Cross entropy on a linear classifier, logits w_y . e + b_y.

    Parameters
    ----------
    runs, classes, dim, keys
        See `ProxyLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(Softmax(runs=1, classes=2, dim=2)(points, labels).detach().item(), 3)
    1.256
    """

    def __init__(
        self,
        *,
        runs: int | None = None,
        classes: int | None = None,
        dim: int | None = None,
        keys: Sequence[object] | None = None,
    ) -> None:
        super().__init__(runs=runs, classes=classes, dim=dim, keys=keys)
        self.bias = nn.Parameter(torch.zeros(self.proxies.shape[0], 1, self.classes))  # (R, 1, t)

    def of_proxies(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `ProxyLoss.of_proxies`."""
        weights, bias = self.proxies.to(embeddings), self.bias.to(embeddings)
        return self.cross_entropy(torch.baddbmm(bias, embeddings, weights.mT), labels)


@LOSSES.register("normalized_softmax")
class NormalizedSoftmax(CrossEntropy):
    """Cross entropy on cosines / temperature (Zhai & Wu 2019).

    Parameters
    ----------
    temperature : float or Tensor (R,)
        > 0.
    runs, classes, dim, keys
        See `ProxyLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(NormalizedSoftmax(runs=1, classes=2, dim=2)(points, labels).detach().item(), 3)
    18.029
    """

    per_run = ("temperature",)

    def __init__(
        self,
        *,
        temperature: float | Tensor = 0.05,
        runs: int | None = None,
        classes: int | None = None,
        dim: int | None = None,
        keys: Sequence[object] | None = None,
    ) -> None:
        super().__init__(runs=runs, classes=classes, dim=dim, keys=keys)
        self.parameter("temperature", temperature, above=0.0)

    def of_proxies(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `ProxyLoss.of_proxies`."""
        return self.cross_entropy(self.cosines(embeddings) / self.column("temperature", embeddings), labels)


@LOSSES.register("proxy_nca")
class ProxyNCA(CrossEntropy):
    """ProxyNCA++: cross entropy on - ||e - w||^2 / temperature, both normalised, own proxy in the sum (Teh et al. 2020, eq. 6).

    Parameters
    ----------
    temperature : float or Tensor (R,)
        > 0; 1/9 in the paper.
    runs, classes, dim, keys
        See `ProxyLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(ProxyNCA(runs=1, classes=2, dim=2)(points, labels).detach().item(), 3)
    16.226
    """

    per_run = ("temperature",)

    def __init__(
        self,
        *,
        temperature: float | Tensor = 1 / 9,
        runs: int | None = None,
        classes: int | None = None,
        dim: int | None = None,
        keys: Sequence[object] | None = None,
    ) -> None:
        super().__init__(runs=runs, classes=classes, dim=dim, keys=keys)
        self.parameter("temperature", temperature, above=0.0)

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """- ||e - w||^2 is 2 cos - 2: the normalised softmax at half the temperature."""
        return "normalized_softmax", {"temperature": params["temperature"] / 2}

    def of_proxies(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `ProxyLoss.of_proxies`."""
        squared = 2 - 2 * self.cosines(embeddings)  # (R, B, t)
        return self.cross_entropy(-squared / self.column("temperature", embeddings), labels)


@LOSSES.register("softtriple")
class SoftTriple(CrossEntropy):
    """Cross entropy on class similarities softened over several centres a class (Qian et al. 2019, eqs 6-7).

    s_c = sum_k softmax_k(s_ck / gamma) s_ck, logits scale (s_c - delta [c = y]); plus ``tau`` times half the mean distance between
    two centres of a class, which merges centres (their eqs 8-9).

    Parameters
    ----------
    centres : int
        Centres a class, >= 1.
    scale, gamma : float or Tensor (R,)
        > 0.
    delta : float or Tensor (R,)
        Margin.
    tau : float
        Weight of the regulariser, >= 0; 0.2 in the paper.
    runs, classes, dim, keys
        See `ProxyLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(SoftTriple(runs=1, classes=2, dim=2)(points, labels).detach().item(), 3)
    0.772
    """

    per_run = ("scale", "gamma", "delta")

    def __init__(
        self,
        *,
        centres: int = 10,
        scale: float | Tensor = 20.0,
        gamma: float | Tensor = 0.1,
        delta: float | Tensor = 0.01,
        tau: float = 0.0,
        runs: int | None = None,
        classes: int | None = None,
        dim: int | None = None,
        keys: Sequence[object] | None = None,
    ) -> None:
        super().__init__(runs=runs, classes=classes, dim=dim, keys=keys, centres=centres)
        self.parameter("scale", scale, above=0.0)
        self.parameter("gamma", gamma, above=0.0)
        self.parameter("delta", delta)
        self.tau = number("tau", tau, "a finite number >= 0", lambda v: v >= 0)

    @classmethod
    def same_as(cls, name: str, params: dict[str, Any], setting: Setting) -> tuple[str, dict[str, Any]]:
        """With one centre a class there is nothing to soften."""
        if params["centres"] != 1 or params["delta"] != 0:
            return name, params
        return "normalized_softmax", {"temperature": 1 / params["scale"]}

    def of_proxies(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `ProxyLoss.of_proxies`."""
        scale, gamma, delta = (self.column(name, embeddings) for name in self.per_run)
        each = self.cosines(embeddings).view(*labels.shape, self.classes, self.centres)  # (R, B, t, centres)
        similarity = ((each / gamma.unsqueeze(-1)).softmax(-1) * each).sum(-1)  # (R, B, t)
        loss = self.cross_entropy(scale * (similarity - delta * self.own_class(labels)), labels)
        return loss + self.tau * self._scatter().to(loss) if self.tau else loss

    def _scatter(self) -> Tensor:
        """Sum of the distances between the centres of a class over 2 C(centres, 2), mean over classes, (R,)."""
        runs = len(self.proxies)
        centres = F.normalize(self.proxies, dim=-1).view(runs, self.classes, self.centres, -1)  # (R, t, centres, m)
        # The sum over both triangles counts each pair twice.
        return pairwise(centres).sum((1, 2, 3)) / (2 * self.classes * max(1, self.centres * (self.centres - 1)))
