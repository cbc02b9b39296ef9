"""Kinds of noise whose flips depend on the sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.errors import InvalidInput, integer, number
from sim.generators import Sample
from sim.noise import sample_dependent, symmetric


@sample_dependent("instance")
def _instance(sample: Sample, level: float, *, sharpness: float = 4.0) -> np.ndarray:
    """Flips grow near the class boundary and go to the class of the nearest other-class sample.

    A sample's flip probability is min(1, s exp(-sharpness * m)) with m = (d_other - d_own) / (d_other + d_own), where
    d_own and d_other are the distances to the nearest other sample of its own and of another class; s makes the mean
    over the sample equal to the level.
    """
    from scipy.optimize import brentq
    from scipy.spatial import cKDTree

    sharpness = number("noise.params.sharpness", sharpness, "a number, 0 to 300", lambda v: 0 <= v <= 300)
    x = sample.x.reshape(sample.n, -1)  # (n, d)
    own, other, destination = np.empty(sample.n), np.full(sample.n, np.inf), np.zeros(sample.n, dtype=np.int64)
    trees = [cKDTree(x[sample.classes == c]) for c in range(sample.t)]
    for c, tree in enumerate(trees):
        mine = sample.classes == c
        own[mine] = tree.query(x[mine], k=2)[0][:, 1] if mine.sum() > 1 else 0.0
        away = tree.query(x[~mine])[0]
        nearer = away < other[~mine]
        rows = np.flatnonzero(~mine)[nearer]
        other[rows], destination[rows] = away[nearer], c
    margin = (other - own) / np.maximum(other + own, np.finfo(float).tiny)
    unscaled = np.exp(-sharpness * (margin - margin.min()))  # (n,)

    def excess(log_scale: float) -> float:
        return float(np.minimum(1, np.exp(log_scale) * unscaled).mean() - level)

    flip_probability = np.zeros(sample.n)
    if level > 0:
        widest = 2 * sharpness + 1
        flip_probability = np.minimum(1, np.exp(brentq(excess, np.log(level) - 1, widest)) * unscaled)
    probabilities: np.ndarray = np.eye(sample.t)[sample.classes] * (1 - flip_probability)[:, None]
    probabilities[np.arange(sample.n), destination] += flip_probability
    return probabilities


@sample_dependent("one_mode")
def _one_mode(sample: Sample, level: float, *, mode: int = 0, classes: Sequence[int] | None = None) -> np.ndarray:
    """Symmetric noise in one mode of each class only; all other modes keep their labels.

    ``mode`` counts within each class, in the order of mode ids; ``classes`` limits the noise to some classes.
    """
    hit = np.zeros(sample.n, dtype=bool)
    if classes is not None and not isinstance(classes, Sequence):
        raise InvalidInput("noise.params.classes", classes, "a list of classes")
    for c in range(sample.t) if classes is None else classes:
        c = integer("noise.params.classes", c, 0, sample.t - 1)
        modes = np.unique(sample.modes[sample.classes == c])
        mode = integer("noise.params.mode", mode, 0, len(modes) - 1)
        hit |= sample.modes == modes[mode]
    clean, noisy = np.eye(sample.t)[sample.classes], symmetric(sample.t, 1 - level)[sample.classes]
    mixed: np.ndarray = np.where(hit[:, None], noisy, clean)
    return mixed
