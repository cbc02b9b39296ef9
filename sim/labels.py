"""The labels that runs are trained on: flipped once, or drawn afresh each time a sample is drawn."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sim import noise
from sim.config import Noise
from sim.generators import Sample
from sim.samplers import Draws


class Labels:
    """Noisy labels of R runs.

    Parameters
    ----------
    noises : sequence of R Noise
        Of one mode.
    samples : sequence of R Sample
        Of equal sizes; runs may share one.
    seeds : sequence of R objects
        Run keys: they decide the labels that are flipped once.
    device : torch.device
    dtype : torch.dtype
        Of the label probabilities.

    Attributes
    ----------
    classes : Tensor, shape (R, n), int64
        Without noise.
    flipped : Tensor, shape (R, n), int64, or None
        Flipped once (`static`); None where labels are drawn afresh.
    balanced_over : list of R int64 arrays (n,)
        What batches are balanced over: the labels a practitioner's sampler sees. Fresh labels come after the batch: it is balanced over
        the true classes, a stratified draw of samples whose labels are independent, as in the expected losses.

    Examples
    --------
    >>> sample = Sample(np.zeros((6, 1)), np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 1, 1]))
    >>> labels = Labels([Noise(level=0.4, mode="static")], [sample], [0])
    >>> labels.draw(torch.tensor([[0, 1, 2]]), None).equal(labels.flipped[:, :3])
    True
    >>> labels.transition[0, 0].round(decimals=3).tolist()
    [0.6, 0.4]
    """

    def __init__(
        self,
        noises: Sequence[Noise],
        samples: Sequence[Sample],
        seeds: Sequence[object],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.classes = torch.from_numpy(np.stack([s.classes for s in samples])).to(device)  # (R, n)
        # Runs with the same data and noise share their probabilities.
        names = [f"{id(s)} {n.model_dump_json()}" for n, s in zip(noises, samples, strict=True)]
        distinct: dict[str, np.ndarray] = {}
        for name, n, s in zip(names, noises, samples, strict=True):
            if name not in distinct:
                distinct[name] = noise.label_probabilities(n.kind, n.level, s, **n.params)  # (n, t)
        self._samples, self._of_run = list(samples), [distinct[name] for name in names]
        self._device, self._dtype = device, dtype
        self.flipped: Tensor | None = None
        self.balanced_over = [s.classes for s in samples]
        if noises[0].mode == "static":
            self.balanced_over = [
                noise.static_labels(distinct[name], s.classes, seed=seed, exact=n.exact)
                for name, n, s, seed in zip(names, noises, samples, seeds, strict=True)
            ]
            self.flipped = torch.from_numpy(np.stack(self.balanced_over)).to(device)  # (R, n)
            return
        order = list(distinct)
        self.first_row = torch.tensor([order.index(name) * samples[0].n for name in names], device=device)  # (R,)
        # The distinct ones one below the other, (distinct * n, t).
        self.probabilities = torch.from_numpy(np.concatenate(list(distinct.values()))).to(device, dtype)

    @functools.cached_property
    def transition(self) -> Tensor:
        """P(noisy label | class), (R, t, t): label probabilities averaged over each class's samples."""
        averaged = [_averaged(p, s) for p, s in zip(self._of_run, self._samples, strict=True)]
        return torch.from_numpy(np.stack(averaged)).to(self._device, self._dtype)

    def draw(self, index: Tensor, draws: Draws | None) -> Tensor:
        """Labels of the samples at positions ``index``, (R, B) -> (R, B); ``draws`` are needed for fresh ones.

        Examples
        --------
        Fresh labels: another draw, other flips.

        >>> from sim.samplers import RunDraws
        >>> sample = Sample(np.zeros((40, 1)), np.repeat([0, 1], 20), np.repeat([0, 1], 20))
        >>> labels, index = Labels([Noise(level=0.4)], [sample], [0]), torch.arange(40)[None]
        >>> draws = RunDraws([0])
        >>> torch.equal(labels.draw(index, draws), labels.draw(index, draws))
        False
        """
        if self.flipped is not None:
            return self.flipped.gather(1, index)
        assert draws is not None
        probabilities = self.probabilities[self.first_row.unsqueeze(1) + index]  # (R, B, t)
        like, shape = probabilities[..., 0], tuple(index.shape)
        u, v = (draws.uniform(purpose, like, shape) for purpose in ("flip", "flip to"))
        return noise.flip(probabilities, self.classes.gather(1, index), u, v)


def _averaged(probabilities: np.ndarray, sample: Sample) -> np.ndarray:
    """(n, t) -> (t, t)."""
    return np.stack([probabilities[sample.classes == c].mean(0) for c in range(sample.t)])
