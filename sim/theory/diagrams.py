"""What figures of the theory show, as functions of plain arguments that give plain numbers: `sim.sweeps.pieces` keeps what they give."""

from __future__ import annotations

import numpy as np
import torch

from sim import distances, noise
from sim.theory.certificates import certify_c7
from sim.theory.claims.base import minimisers, two_classes
from sim.theory.expected import lower_bound
from sim.theory.minimise import minimise, within_between
from sim.theory.slopes import slopes

ALPHA = 0.5
PER_MODE = 6
"""Samples of a mode in `landscape`."""


def triplet_spread(dim: int, restarts: int) -> list[float]:
    """Mean within-class distance of every minimiser found, in margins: two classes of four, p = 0.9, all triplets (C3).

    Examples
    --------
    In the plane a class collapses.

    >>> max(triplet_spread(dim=2, restarts=1)) < 0.01
    True
    """
    classes, noisy = two_classes(4), noise.symmetric(2, 0.9)
    bound = lower_bound(classes, noisy, alpha=ALPHA)
    found = minimise(classes, noisy, alpha=ALPHA, dim=dim, bound=bound, restarts=restarts)
    return [float(within_between(found.distances(k), classes)[0].mean() / ALPHA) for k in minimisers(found)]


def squared_contrastive_spread(p: float, dim: int) -> float:
    """Mean within-class distance of the best embedding found, in margins: two classes of four, squared contrastive loss (C5).

    Examples
    --------
    >>> 0 < squared_contrastive_spread(p=0.9, dim=2) < 0.2
    True
    """
    classes = two_classes(4)
    found = minimise(classes, noise.symmetric(2, p), loss="contrastive", squared=True, alpha=1.0, dim=dim, restarts=3)
    return float(within_between(found.distances(), classes)[0].mean())


def easy_triplet_values(p: str) -> tuple[float, float]:
    """Least expected loss of a collapsed embedding and that of a better one on a line, exact: two classes of twelve, easy positives (C7).

    Examples
    --------
    >>> collapsed, better = easy_triplet_values("9/10")
    >>> better < collapsed
    True
    """
    certificate = certify_c7(p, 12, "1/2")
    assert certificate.better is not None
    return float(certificate.collapsed.value), float(certificate.better.value)


def landscape(positive: str, level: float, apart: list[float], classes_apart: list[float]) -> list[float]:
    """Expected triplet loss a tuple, in margins, of two classes of two modes, each mode on a point, in the plane.

    Parameters
    ----------
    positive : str
        ``all`` or ``easy``.
    level : float
        Symmetric label noise.
    apart : list of float
        Distances between a class's two modes, in margins.
    classes_apart : list of float
        Distances between the classes that are tried for each of them.

    Returns
    -------
    list of float
        For each of ``apart`` the least over ``classes_apart``.

    Examples
    --------
    Without noise modes may stand apart at no cost.

    >>> landscape("all", 0.0, apart=[0.0, 1.0], classes_apart=[1.0, 3.0])
    [0.0, 0.0]
    """
    samples = torch.arange(4 * PER_MODE)
    x = torch.zeros(len(apart), len(classes_apart), 4 * PER_MODE, 2, dtype=torch.float64)
    mode, side = (samples // PER_MODE % 2) * 2 - 1, samples // (2 * PER_MODE)
    x[..., 0] = ALPHA / 2 * torch.tensor(apart, dtype=torch.float64)[:, None, None] * mode
    x[..., 1] = ALPHA * torch.tensor(classes_apart, dtype=torch.float64)[None, :, None] * side
    p = torch.from_numpy(noise.symmetric(2, 1 - level)[side.numpy()])  # (n, 2)
    value = slopes(distances.pairwise(x.flatten(0, 1)), p, loss="triplet", positive=positive, alpha=ALPHA).value
    least = value.view(len(apart), -1).min(1).values / (4 * PER_MODE)
    triplets = (2 * PER_MODE - 1 if positive == "all" else 1) * 2 * PER_MODE
    found: list[float] = np.asarray(least / triplets / ALPHA).tolist()
    return found
