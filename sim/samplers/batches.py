"""Which samples make up a batch: uniform, or class-balanced P x K; always distinct samples.

Batches of R runs and many steps are drawn at once. A run's batches depend on its own uniforms only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim import kernels
from sim.compiled import compiled
from sim.errors import InvalidInput
from sim.streams import stream


def distinct(uniforms: Tensor, available: Tensor) -> Tensor:
    """K distinct numbers out of 0..available-1, uniformly, from K uniforms.

    The k-th draw picks among the available - k numbers left; stepping over the earlier picks in increasing order turns
    its rank into the number itself. No array of the size of the data set is built.

    Parameters
    ----------
    uniforms : Tensor, shape (..., K), float64, in [0, 1)
    available : Tensor, broadcastable to (...), int64, >= K

    Returns
    -------
    Tensor, shape (..., K), int64

    Examples
    --------
    >>> distinct(torch.tensor([0.0, 0.0, 0.99]).double(), torch.tensor(5)).tolist()  # 0, then the least left, the most
    [0, 1, 4]
    >>> sorted(distinct(torch.tensor([0.7, 0.2, 0.9, 0.4, 0.5]).double(), torch.tensor(5)).tolist())
    [0, 1, 2, 3, 4]
    """
    slots = uniforms.shape[-1]
    picks: list[Tensor] = []
    places = torch.arange(slots, device=uniforms.device)
    ordered = torch.empty(*uniforms.shape[:-1], 0, dtype=torch.int64, device=uniforms.device)
    for k in range(slots):
        left = available - k
        rank = torch.minimum((uniforms[..., k] * left).long(), left - 1).unsqueeze(-1)
        # Before the j-th earlier pick there are as many numbers left as it has below it, less j.
        pick = (rank + (ordered - places[:k] <= rank).sum(-1, keepdim=True)).squeeze(-1)
        picks.append(pick)
        ordered = torch.cat([ordered, pick.unsqueeze(-1)], -1).sort(-1).values
    return torch.stack(picks, -1)


LANES = 16
"""Rows of picks that are found side by side: instructions take several at once, and no branch depends on what was drawn."""


@compiled
def _ranks(uniforms: Any, available: int, ranks: Any, lane: int) -> None:
    """The rank of each of a row's picks among what is left."""
    for k in range(len(uniforms)):
        left = available - k
        ranks[k, lane] = min(int(uniforms[k] * left), left - 1)


@compiled
def _distinct(ranks: Any, ordered: Any, before: Any, place: Any) -> None:
    """What `distinct` makes of ranks (K, LANES), in place; the rest, int32 too, is room: (K, LANES) and twice (LANES,)."""
    one = np.int32(1)
    for k in range(len(ranks)):
        for lane in range(LANES):
            before[lane] = place[lane] = 0
        for j in range(k):
            for lane in range(LANES):
                # The earlier picks in increasing order, each less the number of those below it.
                rank, earlier = ranks[k, lane], ordered[j, lane]
                low = np.int32(earlier <= rank)
                ordered[j, lane] = earlier if low else max(np.int32(before[lane] - one), rank)
                place[lane] = np.int32(place[lane] + low)
                before[lane] = earlier
        for lane in range(LANES):
            rank = ranks[k, lane]
            ordered[k, lane] = max(np.int32(before[lane] - one), rank)
            ranks[k, lane] = np.int32(rank + place[lane])


@compiled
def _batches(
    uniforms: Any, sizes: Any, starts: Any, members: Any, classes: int, per_class: int, out: Any, first: int, last: int
) -> None:
    """Batches of the runs ``first`` to ``last - 1``, (steps, R, B), from uniforms (R, steps, P + B)."""
    steps, groups = uniforms.shape[1], max(classes, 1)
    labels, picks = np.zeros((groups, LANES), np.int32), np.zeros((per_class, LANES), np.int32)
    ordered, room = np.empty((max(groups, per_class), LANES), np.int32), np.empty((2, LANES), np.int32)
    for r in range(first, last):
        for start in range(0, steps, LANES):
            count = min(LANES, steps - start)
            if classes:
                for lane in range(count):
                    _ranks(uniforms[r, start + lane, :classes], sizes.shape[1], labels, lane)
                _distinct(labels, ordered, room[0], room[1])
            for c in range(groups):
                at = c * per_class
                for lane in range(count):
                    u = uniforms[r, start + lane, classes + at : classes + at + per_class]
                    _ranks(u, sizes[r, labels[c, lane]], picks, lane)
                _distinct(picks, ordered, room[0], room[1])
                for lane in range(count):
                    begin = starts[r, labels[c, lane]]
                    for k in range(per_class):
                        out[start + lane, r, at + k] = members[r, begin + picks[k, lane]]


class Batches:
    """Batches for R runs.

    Parameters
    ----------
    keys : sequence of R run keys
    groups : sequence of R int64 arrays (n_r,)
        What batches are balanced over: the labels a practitioner's sampler sees, 0..t-1.
    classes : int
        P, classes in a batch; 0 for uniform batches.
    per_class : int
        K, samples a class in a balanced batch; the batch size in a uniform one.
    block : int
        Steps drawn ahead at once; changes speed only.

    Raises
    ------
    InvalidInput
        If there are fewer than P classes, a class (or the data set) has fewer than K samples, or a label is below 0.

    Examples
    --------
    Two classes of two samples in a batch, from three classes.

    >>> labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    >>> batches = Batches(["run 1"], [labels], classes=2, per_class=2)
    >>> positions = batches.next()[0].numpy()
    >>> np.unique(labels[positions], return_counts=True)[1].tolist(), len(set(positions.tolist()))
    ([2, 2], 4)
    """

    def __init__(
        self, keys: Sequence[object], groups: Sequence[np.ndarray], *, classes: int, per_class: int, block: int = 64
    ) -> None:
        self.classes, self.per_class, self.block = classes, per_class, block
        self._streams = [stream(key, "batches") for key in keys]
        if any(g.min() < 0 for g in groups):
            raise InvalidInput(
                "labels", min(int(g.min()) for g in groups), "whole numbers >= 0 to balance batches over"
            )
        if not classes:
            groups = [np.zeros_like(g) for g in groups]
        present = max(int(g.max()) + 1 for g in groups)
        sizes = np.stack([np.bincount(g, minlength=present) for g in groups])  # (R, t)
        if classes > present:
            raise InvalidInput("batch.classes", classes, f"at most {present}, the number of classes")
        if per_class > sizes.min():
            run, label = np.unravel_index(sizes.argmin(), sizes.shape)
            what = f"class {label}" if classes else "the data set"
            raise InvalidInput(
                "batch.per_class",
                per_class,
                f"at most {sizes.min()}, the samples that {what} has in run {keys[int(run)]}",
            )
        longest = max(len(g) for g in groups)
        members = np.zeros((len(groups), longest), dtype=np.int64)  # (R, n), group by group
        for row, g in zip(members, groups, strict=True):
            row[: len(g)] = np.argsort(g, kind="stable")
        self._members = torch.from_numpy(members)
        self._sizes = torch.from_numpy(sizes)
        self._starts = torch.from_numpy(np.cumsum(sizes, axis=1) - sizes)
        self._ahead = torch.empty(0, len(groups), self.size, dtype=torch.int64)
        self._used = 0

    def draw_ahead(self, steps: int) -> None:
        """Draw so many steps at once from the next time on; changes speed only."""
        self.block = steps

    @property
    def size(self) -> int:
        """B, samples in a batch."""
        return max(self.classes, 1) * self.per_class

    def next(self) -> Tensor:
        """The next batch of every run: positions (R, B), int64; class by class in balanced batches.

        Examples
        --------
        A batch of the size of the data set is a permutation of it.

        >>> batches = Batches(["run 1", "run 2"], [np.zeros(4, int)] * 2, classes=0, per_class=4)
        >>> batches.next().sort(-1).values.tolist()
        [[0, 1, 2, 3], [0, 1, 2, 3]]
        """
        if self._used == len(self._ahead):
            self._ahead, self._used = self._draw(self.block), 0
        self._used += 1
        return self._ahead[self._used - 1]

    def take(self, steps: int) -> Tensor:
        """The next batches of every run: positions (steps, R, B), int64.

        Examples
        --------
        >>> one, other = (Batches(["run 1"], [np.zeros(9, int)], classes=0, per_class=4) for _ in range(2))
        >>> torch.equal(one.take(2)[1], [other.next() for _ in range(2)][1])
        True
        """
        left = self._ahead[self._used : self._used + steps]
        self._used += len(left)
        return left if len(left) == steps else torch.cat([left, self._draw(steps - len(left))])

    def _draw(self, steps: int) -> Tensor:
        per_step = self.classes + self.size
        drawn = np.empty((len(self._streams), steps, per_step))
        for source, row in zip(self._streams, drawn, strict=True):
            source.random(out=row)
        uniforms = torch.from_numpy(drawn)
        runs, present = self._sizes.shape
        if kernels.AVAILABLE:
            places = torch.empty(steps, runs, self.size, dtype=torch.int64)
            numbers = self.classes, self.per_class
            kernels.over_runs(
                _batches, runs, uniforms, self._sizes, self._starts, self._members, *numbers, out=(places,)
            )
            return places
        uniforms = uniforms.transpose(0, 1)  # (steps, R, P + B)
        if self.classes:
            labels = distinct(uniforms[..., : self.classes], torch.tensor(present))  # (steps, R, P)
        else:
            labels = torch.zeros(steps, runs, 1, dtype=torch.int64)
        sizes = self._sizes.expand(steps, -1, -1).gather(-1, labels)
        starts = self._starts.expand(steps, -1, -1).gather(-1, labels)
        shape = (steps, runs, max(self.classes, 1), self.per_class)
        within = distinct(uniforms[..., self.classes :].reshape(shape), sizes)  # (steps, R, P, K)
        places = (starts.unsqueeze(-1) + within).flatten(2)  # (steps, R, B)
        return self._members.expand(steps, -1, -1).gather(-1, places)
