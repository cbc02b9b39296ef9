"""What figures of the theory show, as functions of plain arguments that give plain numbers: `sim.sweeps.pieces` keeps what they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sim import distances, noise
from sim.theory.certificates import certify_c7
from sim.theory.claims.base import minimisers, two_classes
from sim.theory.descent import Search
from sim.theory.expected import lower_bound
from sim.theory.minimise import minimise, within_between
from sim.theory.reduced import reduced_minimum
from sim.theory.similarity import expected_similarity_loss
from sim.theory.slopes import slopes
from sim.verdict import Verdict

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


def softmax_minima(
    loss: str, positive: str, p: float, temperature: float, per_class: int, dim: int, restarts: int, steps: int
) -> dict[str, float]:
    """The best embedding that minimisation finds on the sphere, and the best collapsed one: two classes, symmetric noise (C12).

    Parameters
    ----------
    loss : str
        ``ntxent`` or ``supcon``.
    positive : str
        ``all`` or ``easy``.
    p : float
        P(a label is kept).
    temperature : float
    per_class : int
        Samples of each class.
    dim : int
        Of the space that the sphere is in.
    restarts : int
        Of the search among all embeddings, seed 0. It isn't told the least value; the search among collapsed ones, two points, has one start.
    steps : int
        Of Adam, and as many of polishing.

    Returns
    -------
    dict
        ``best``, ``collapsed``: expected losses. ``cosine``: mean between the classes at the best. ``within``: its largest within-class distance.

    Examples
    --------
    Easy positives: far below the best collapsed embedding.

    >>> found = softmax_minima("ntxent", "easy", p=0.9, temperature=0.5, per_class=6, dim=3, restarts=3, steps=150)
    >>> found["best"] < 0.9 * found["collapsed"], found["within"] > 1
    (True, True)
    """
    classes, noisy = two_classes(per_class), noise.symmetric(2, p)
    setting: dict[str, Any] = {"loss": loss, "positive": positive, "temperature": temperature, "geometry": "sphere"}
    search = Search(steps=steps, polish=steps)
    free = minimise(classes, noisy, dim=dim, restarts=restarts, search=search, **setting)
    collapsed = minimise(classes, noisy, dim=dim, restarts=1, search=search, collapsed=True, **setting)
    points = free.embeddings[0].numpy()
    return {
        "best": free.best,
        "collapsed": collapsed.best,
        "cosine": float((points[:per_class] @ points[per_class:].T).mean()),
        "within": float(within_between(free.distances(), classes)[0].max()),
    }


def multi_similarity_within(per_class: int, p: float) -> tuple[float, Verdict]:
    """Cosine inside classes where the expected multi-similarity loss is least, and `Reduced.verdict`: is a collapsed embedding a global minimiser (C12, E)?

    Two classes, symmetric noise, all positives, alpha, beta and base 2, 50 and 0.5.

    Examples
    --------
    >>> for p in (0.95, 0.9):
    ...     within, verdict = multi_similarity_within(12, p)
    ...     print(round(within, 4), verdict)
    1.0 holds
    0.6101 fails
    """
    found = reduced_minimum(two_classes(per_class), noise.symmetric(2, p), loss="multi_similarity")
    return float(found.within[0]), found.verdict


def split_landscape(
    positive: str, level: float, temperature: float, per_class: int, apart: list[float]
) -> dict[str, Any]:
    """Expected NT-Xent loss a sample, two classes on the unit sphere, one of them split in halves orthogonally to the centres.

    Parameters
    ----------
    positive : str
        ``all`` or ``easy``.
    level : float
        Symmetric label noise.
    temperature : float
    per_class : int
        Samples of each class.
    apart : list of float
        Distances between the halves, 0 to 2. For each the cosine of the centres is the best of a grid that is refined three times, to 1e-4.

    Returns
    -------
    dict
        ``loss``, ``cosine`` of the centres: for each of ``apart``.

    Examples
    --------
    With all positives a split class costs more, with easy ones less.

    >>> for positive in ("all", "easy"):
    ...     whole, split = split_landscape(positive, 0.1, 0.5, 6, apart=[0.0, 1.0])["loss"]
    ...     print(f"{split / whole:.3f}")
    1.026
    0.937
    """
    half = torch.tensor(apart, dtype=torch.float64)[:, None, None] / 2
    side = torch.where(torch.arange(per_class) < per_class // 2, 1.0, -1.0)
    best, width = torch.zeros(len(apart), 1, dtype=torch.float64), 1.0
    for _ in range(4):
        c = (best + width * torch.linspace(-1, 1, 21, dtype=torch.float64)).clip(-1, 1)[..., None]  # (apart, 21, 1)
        x = torch.zeros(len(apart), 21, 2 * per_class, 3, dtype=torch.float64)
        x[..., :per_class, 0] = (1 - half**2).sqrt()
        x[..., :per_class, 2] = half * side
        x[..., per_class:, 0] = c
        x[..., per_class:, 1] = (1 - c**2).sqrt()
        value = expected_similarity_loss(
            x @ x.mT,
            two_classes(per_class),
            noise.symmetric(2, 1 - level),
            loss="ntxent",
            positive=positive,
            temperature=temperature,
        )
        least = value.min(1)
        best, width = c[..., 0].gather(1, least.indices[:, None]), width / 10
    return {"loss": (least.values / (2 * per_class)).tolist(), "cosine": best[:, 0].tolist()}
