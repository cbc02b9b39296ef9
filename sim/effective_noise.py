"""How many labels of a batch are wrong: what a noise level comes to where classes differ in size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sim import problems
from sim.labels import Labels

if TYPE_CHECKING:
    from sim.config import RunConfig

FROM = 0.005
"""Difference to the nominal level from which it is told."""


def wrong_labels(sizes: Tensor, transition: Tensor, *, balanced_over: str) -> tuple[Tensor, Tensor]:
    """Expected share of wrong labels among the samples of a batch that bear each label, and in the batch as a whole.

    Batches that are balanced over noisy labels take as many samples with a rare label as with a frequent one. Of the rare one's most
    may be strays from large classes: (n_l T_ll) / (sum over c of n_c T_cl) are right.

    Parameters
    ----------
    sizes : Tensor, shape (..., t)
        Samples of each class, >= 0.
    transition : Tensor, shape (..., t, t)
        T[c, l] = P(label l | class c); rows sum to 1.
    balanced_over : str
        ``labels``: batches hold each (noisy) label alike, as with static noise; ``classes``: each true class alike, as with labels
        drawn afresh; ``nothing``: uniform batches.

    Returns
    -------
    (Tensor, Tensor), shapes (..., t) and (...)
        Of each label (NaN where nobody bears it), and of the batch.

    Examples
    --------
    Groups of 5 : 1 : 3 : 1, one label in five wrong.

    >>> sizes, t = torch.tensor([5.0, 1.0, 3.0, 1.0]), 4
    >>> transition = torch.full((t, t), 0.2 / 3).fill_diagonal_(0.8)
    >>> of_label, of_batch = wrong_labels(sizes, transition, balanced_over="labels")
    >>> [round(share, 2) for share in of_label.tolist()], round(of_batch.item(), 2)
    ([0.08, 0.43, 0.16, 0.43], 0.27)
    """
    weights = sizes if balanced_over != "classes" else torch.ones_like(sizes)  # (..., t)
    joint = weights.unsqueeze(-1) * transition  # (..., t, t), up to a factor
    right = joint.diagonal(dim1=-2, dim2=-1)  # (..., t)
    of_label = 1 - right / joint.sum(-2)
    if balanced_over == "labels":
        return of_label, of_label.nanmean(-1)
    return of_label, 1 - right.sum(-1) / weights.sum(-1)


def of_run(config: RunConfig) -> tuple[Tensor, Tensor]:
    """`wrong_labels` of a run's data, noise and batches.

    Examples
    --------
    >>> from sim.config import Noise, RunConfig
    >>> of_label, of_batch = of_run(RunConfig(noise=Noise(level=0.2)))  # two classes of one size
    >>> of_label.round(decimals=3).tolist(), round(of_batch.item(), 3)
    ([0.2, 0.2], 0.2)
    """
    sample = problems.build(config.data.name, config.seed, **config.data.params).train
    transition = Labels([config.noise], [sample], [config.seed]).transition[0]  # (t, t)
    sizes = torch.bincount(torch.from_numpy(sample.classes), minlength=sample.t).to(transition.dtype)
    over = "nothing" if not config.batch.classes else "labels" if config.noise.mode == "static" else "classes"
    return wrong_labels(sizes, transition, balanced_over=over)


def in_words(config: RunConfig) -> str | None:
    """What to say of a run whose batches hold another share of wrong labels than its noise level; None if they don't.

    Examples
    --------
    >>> from sim.config import Noise, RunConfig
    >>> in_words(RunConfig(noise=Noise(level=0.2))) is None
    True
    """
    of_label, of_batch = of_run(config)
    level = config.noise.level
    if not (torch.cat([of_label, of_batch[None]]) - level).abs().gt(FROM).any():
        return None
    each = ", ".join(f"{share:.0%}" for share in of_label.tolist())
    return f"noise {level:g}: {of_batch.item():.0%} of a batch's labels are wrong (of those that bear label 0, 1, ...: {each})"
