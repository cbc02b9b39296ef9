"""Whether a peer does the same work: its losses on this package's own first batches."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.peers.cases import Case, Peer, trainer

CLOSE = 1e-5
"""Largest difference of the losses of the first step."""

DRAWS = 200
"""Of the negatives, where they are random: means are compared."""


def first_steps(case: Case, runs: int, steps: int = 1) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Positions (R, B), labels (R, B) and losses (R,) of this package's first steps.

    The losses are those of the program that is measured; the batches come from a twin's draws, which are the same.
    """
    measured, twin, found, before = trainer(case, runs), trainer(case, runs), [], torch.zeros(runs)
    for _ in range(steps):
        measured.advance(1)
        index = twin.batches.next()
        total = measured.meter.total.float().clone()
        found.append((index, twin.labels.draw(index, twin.draws), total - before))
        before = total
    return found


def refuse_unequal(case: Case, peer: Peer, steps: list[tuple[Tensor, Tensor, Tensor]], name: str) -> None:
    """Raise unless a peer's losses of the first step are ours.

    Raises
    ------
    RuntimeError
    """
    index, labels, losses = steps[0]
    apart = float((peer.on_batch(index[: peer.runs], labels[: peer.runs]) - losses[: peer.runs]).abs().max())
    if not apart <= CLOSE:
        raise RuntimeError(
            f"{case.title}, {name}: the losses of the first step are {apart:.2g} from ours, more than {CLOSE}"
        )


def check_weighted(case: Case, peer: Peer, name: str) -> None:
    """Raise unless a peer's mean first loss over many draws is ours, within four standard errors.

    Raises
    ------
    RuntimeError
    """
    (index, labels, _), *_ = first_steps(case, peer.runs)
    # A run again and again: all draws of its negatives in one step of as many equal runs.
    made = trainer(case, peer.runs)
    with torch.no_grad():
        e = made.net(made.splits["train"].rows(index), index)
        ours = torch.stack([made.loss.of_batch(e, labels, made.sampling, 0.0)[0] for _ in range(DRAWS)])
    theirs = []
    for _ in range(DRAWS):
        peer.restart()
        theirs.append(peer.on_batch(index, labels)[0])
    other = torch.stack(theirs)
    apart, error = float((ours.mean() - other.mean()).abs()), float((ours.var() + other.var()).div(DRAWS).sqrt())
    if not apart <= 4 * error:
        raise RuntimeError(
            f"{case.title}, {name}: mean first loss {apart:.2g} from ours, more than four standard errors ({error:.2g})"
        )
