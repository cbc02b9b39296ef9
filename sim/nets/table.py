"""A free position for every sample."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sim.catalogue import NETS
from sim.errors import number
from sim.nets.base import Net, initial


@NETS.register("table")
class Table(Net):
    """A free position for every sample: the setting of the theorems, without a net's inductive bias.

    Parameters
    ----------
    keys : sequence of R run keys
    shape : tuple of int
        Not used.
    samples : int
        Number of samples n.
    dim, normalize
        See `Net`.
    scale : float
        Initial positions are uniform in [-scale, scale]^m.

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> import torch
    >>> net = Table([0], (), samples=4, dim=2)
    >>> found = net(torch.zeros(1, 3, 1), torch.tensor([[2, 0, 2]]))
    >>> bool((found == net.positions[:, [2, 0, 2]]).all())
    True
    """

    def __init__(
        self,
        keys: Sequence[object],
        shape: tuple[int, ...],
        *,
        samples: int,
        dim: int = 2,
        normalize: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__(dim=dim, normalize=normalize)
        scale = number("net.params.scale", scale, "a finite number > 0", lambda v: v > 0)
        self.positions = initial(keys, "positions", (samples, dim), scale)

    def embed(self, x: Tensor, index: Tensor) -> Tensor:
        """See `Net.embed`."""
        return self.positions.gather(1, index.unsqueeze(-1).expand(-1, -1, self.dim))  # (R, B, m)
