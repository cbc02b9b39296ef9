"""Proxy-anchor loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sim.catalogue import LOSSES
from sim.losses.base import ProxyLoss, masked_logsumexp


@LOSSES.register("proxy_anchor")
class ProxyAnchor(ProxyLoss):
    """Proxies as anchors: each pulls its class and pushes the others, hardest first (Kim et al. 2020, eq. 4).

    mean over proxies with a positive of log(1 + sum_{x of the class} exp(-alpha (s - delta)))
    + mean over all proxies of log(1 + sum_{other x} exp(alpha (s + delta))).

    Parameters
    ----------
    alpha : float or Tensor (R,)
        Sharpness, > 0.
    delta : float or Tensor (R,)
        Margin.
    runs, classes, dim, keys
        See `ProxyLoss`.

    Examples
    --------
    >>> import torch
    >>> points, labels = torch.tensor([[[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]]), torch.tensor([[0, 0, 1]])
    >>> round(ProxyAnchor(runs=1, classes=2, dim=2)(points, labels).detach().item(), 3)
    43.147
    """

    per_run = ("alpha", "delta")

    def __init__(
        self,
        *,
        alpha: float | Tensor = 32.0,
        delta: float | Tensor = 0.1,
        runs: int | None = None,
        classes: int | None = None,
        dim: int | None = None,
        keys: Sequence[object] | None = None,
    ) -> None:
        super().__init__(runs=runs, classes=classes, dim=dim, keys=keys)
        self.parameter("alpha", alpha, above=0.0)
        self.parameter("delta", delta)

    def of_proxies(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `ProxyLoss.of_proxies`."""
        alpha, delta = (self.column(name, embeddings) for name in self.per_run)
        cosines, own = self.cosines(embeddings), self.own_class(labels)  # (R, B, t)
        pull = masked_logsumexp(-alpha * (cosines - delta), own, 1)  # (R, t)
        push = masked_logsumexp(alpha * (cosines + delta), ~own, 1)  # (R, t)
        zero = torch.zeros_like(pull)
        present = own.any(1).sum(-1)  # (R,)
        return torch.logaddexp(pull, zero).sum(-1) / present + torch.logaddexp(push, zero).mean(-1)
