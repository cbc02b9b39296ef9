"""Where samplers get their random numbers: one uniform per anchor (or per anchor and slot), from a named purpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sim.errors import InvalidInput
from sim.streams import stream

MOST_AHEAD = 4_000_000
"""Numbers drawn ahead at once: large batches must not fill the memory."""


class Draws(Protocol):
    """A source of uniforms in [0, 1)."""

    def uniform(self, purpose: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Uniforms of ``shape`` = (R, ...) with ``like``'s device and dtype."""


class TorchDraws:
    """Uniforms from one ``torch.Generator`` for all runs.

    Examples
    --------
    >>> draws = TorchDraws(torch.Generator().manual_seed(0))
    >>> uniforms = draws.uniform("positive", torch.zeros(1, dtype=torch.float64), (2, 3))
    >>> uniforms.shape, uniforms.dtype
    (torch.Size([2, 3]), torch.float64)
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, purpose: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """See `Draws`."""
        drawn = torch.rand(shape, generator=self.generator, device=self.generator.device, dtype=like.dtype)
        return drawn.to(like.device)


class RunDraws:
    """Uniforms for R runs, each from its own streams, drawn in blocks of calls.

    Run r's numbers depend on ``keys[r]``, the purpose and how many calls of that purpose went before, never on the
    other runs.

    Parameters
    ----------
    keys : sequence of R objects
        Run keys, see `sim.streams.stream`.
    block : int
        Calls drawn ahead at once; changes speed only.

    Examples
    --------
    A run's numbers are the same beside other runs and on its own.

    >>> together = RunDraws(["a", "b"]).uniform("positive", torch.zeros(1), (2, 3))
    >>> alone = RunDraws(["b"]).uniform("positive", torch.zeros(1), (1, 3))
    >>> torch.equal(together[1], alone[0]), torch.equal(together[0], alone[0])
    (True, False)
    """

    def __init__(self, keys: Sequence[object], block: int = 64) -> None:
        self.keys, self.block = list(keys), block
        self._streams: dict[str, list[np.random.Generator]] = {}
        self._ahead: dict[str, tuple[Tensor, int]] = {}

    def draw_ahead(self, calls: int) -> None:
        """Draw so many calls at once from the next time on; changes speed only."""
        self.block = calls

    def uniform(self, purpose: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """See `Draws`; ``shape[0]`` must be R, and a purpose keeps its shape over all calls."""
        ahead, used = self._ahead.get(purpose, (None, 0))
        if ahead is None or used == len(ahead):
            block = max(1, min(self.block, MOST_AHEAD // math.prod(shape)))
            ahead, used = self._draw(purpose, (block, *shape[1:])).to(like.device), 0
        if tuple(ahead.shape[1:]) != tuple(shape):
            raise InvalidInput(f"shape of {purpose!r} draws", shape, f"{tuple(ahead.shape[1:])}, as in earlier calls")
        self._ahead[purpose] = (ahead, used + 1)
        return ahead[used].to(like.dtype)

    def take(self, purpose: str, calls: int, shape: tuple[int, ...]) -> Tensor:
        """What so many calls of `uniform` would give, one after the other: (calls, *shape), float32, on the CPU.

        Examples
        --------
        >>> one, other = RunDraws(["a"]), RunDraws(["a"])
        >>> torch.equal(one.take("positive", 2, (1, 3))[1], [other.uniform("positive", torch.zeros(1), (1, 3)) for _ in range(2)][1])
        True
        """
        ahead, used = self._ahead.get(purpose, (torch.empty(0, *shape), 0))
        left = ahead[used : used + calls].cpu()
        if purpose in self._ahead:
            self._ahead[purpose] = (ahead, used + len(left))
        return left if len(left) == calls else torch.cat([left, self._draw(purpose, (calls - len(left), *shape[1:]))])

    def _draw(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        streams = self._streams.setdefault(purpose, [stream(key, purpose) for key in self.keys])
        return torch.from_numpy(np.stack([s.random(shape, dtype=np.float32) for s in streams], axis=1))


def as_draws(generator: torch.Generator | Draws | None) -> Draws | None:
    """Wrap a ``torch.Generator``; pass anything else through.

    Examples
    --------
    >>> type(as_draws(torch.Generator())).__name__, as_draws(None)
    ('TorchDraws', None)
    """
    return TorchDraws(generator) if isinstance(generator, torch.Generator) else generator
