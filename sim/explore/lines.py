"""The exact theory beside a live run: expected losses as shares of what total collapse costs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import distances, noise
from sim.catalogue import NOISE_KINDS
from sim.explore.state import State
from sim.samplers.batches import Batches
from sim.theory import expected, expected_loss

LEVELS = tuple(round(0.02 * k, 2) for k in range(46))
"""Noise levels of the lines."""

MOST_PER_CLASS = 16
"""Samples a class at most in the batches whose expected loss is taken."""

BATCHES_OF_LIVE_EXPECTATION = 4
"""Batches over which the live expected loss is averaged."""

BOUNDARIES = 25
"""Boundaries of the margin loss of which the best is taken."""


class Lines:
    """For each positive policy of a state, the best collapsed embedding's share over `LEVELS`; worked out a point at a time.

    Large batches take a second or so: whoever shows the lines goes on in between.

    Attributes
    ----------
    found : dict
        Shares by policy, as far as they are known; no policies where the theory has nothing to say.

    Examples
    --------
    >>> lines = Lines(State().with_({"positive": "all", "compare": "", "per_class": 4}))
    >>> while not lines.complete:
    ...     lines.advance()
    >>> [round(share, 3) for share in lines.found["all"][:12:5]]
    [0.0, 0.33, 0.609]
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.per_class = min(state.per_class, MOST_PER_CLASS)
        self.known = state.loss in expected.LOSSES and NOISE_KINDS[state.noise_kind].transition is not None
        self.found: dict[str, list[float]] = {p: [] for p in state.positives if self.known}

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to do."""
        return all(len(shares) == len(LEVELS) for shares in self.found.values())

    def advance(self) -> None:
        """Work out one more point."""
        positive, shares = next((p, own) for p, own in self.found.items() if len(own) < len(LEVELS))
        s, level = self.state, LEVELS[len(shares)]
        shares.append(_share(s.loss, s.noise_kind, s.classes, self.per_class, _as_expected(positive), level))

    def described(self) -> Mapping[str, Any]:
        """The lines as a front end is told of them."""
        return {"levels": list(LEVELS) if self.known else [], "lines": self.found}

    def live(self, x: Tensor, classes: np.ndarray, positive: str) -> float:
        """The same share for an embedding (n, m) as it is, mean over a few batches; NaN where the theory has nothing to say."""
        if not self.known:
            return float("nan")
        s = self.state
        batches = Batches(["explorer"], [classes], classes=s.classes, per_class=self.per_class)
        index = torch.stack([batches.next()[0] for _ in range(BATCHES_OF_LIVE_EXPECTATION)])
        index = index.gather(1, torch.argsort(torch.from_numpy(classes)[index], dim=1, stable=True))
        d = distances.pairwise(x[index].double())
        both = _expected(
            torch.cat([torch.zeros_like(d[:1]), d]) / s.margin,
            np.repeat(np.arange(s.classes), self.per_class),
            noise.transition(s.noise_kind, s.classes, s.noise),
            s.loss,
            _as_expected(positive),
        )
        return float(both[1:].mean() / both[0])


def _as_expected(positive: str) -> str:
    """Random positives have the expectation of all positives, up to a factor."""
    return positive if positive in expected.POSITIVES else "all"


def _expected(d: Tensor, classes: np.ndarray, transition: np.ndarray, loss: str, positive: str) -> Tensor:
    """Expected losses (...,) of batches (..., n, n) at margin 1; the margin loss at the best of `BOUNDARIES`."""
    if loss != "margin":
        return expected_loss(d, classes, transition, loss=loss, positive=positive, alpha=1.0)
    betas = torch.linspace(0, max(3.0, float(d.max())), BOUNDARIES, dtype=d.dtype).tolist()
    return _margin_losses(d, classes, transition, positive, betas).amin(0)


def _margin_losses(
    d: Tensor, classes: np.ndarray, transition: np.ndarray, positive: str, betas: Sequence[float]
) -> Tensor:
    """Expected margin losses (boundaries, ...): as `expected_loss`, but the pairs' weights are worked out only once."""
    d = d.detach().requires_grad_()
    # With so low a boundary positive pairs are all active and negative ones are not: the gradient is P(the pair is a positive one).
    low = expected_loss(d, classes, transition, loss="margin", positive=positive, alpha=1.0, beta=-2.0)
    (use,) = torch.autograd.grad(low.sum(), d)
    unlike = 1 - torch.from_numpy(expected.same_label(classes, transition)).to(d).fill_diagonal_(1.0)
    d = d.detach()
    losses = [use * (d - b + 1).clamp_min(0) + unlike * (b + 1 - d).clamp_min(0) for b in betas]
    return torch.stack([loss.sum((-2, -1)) for loss in losses])


@functools.lru_cache(maxsize=256 * len(LEVELS))
def _share(loss: str, kind: str, t: int, per_class: int, positive: str, level: float) -> float:
    """The best collapsed embedding's share of total collapse's expected loss at a noise level; free of scale.

    Classes are taken to be equidistant; between kinks, which are multiples of half a margin, the losses are linear in the distance.
    """
    classes = np.repeat(np.arange(t), per_class)
    other = torch.from_numpy(classes[:, None] != classes[None]).double()
    d = torch.linspace(0, 4, 9, dtype=torch.float64)[:, None, None] * other
    losses = _expected(d, classes, noise.transition(kind, t, level), loss, positive)
    return float(losses.min() / losses[0])
