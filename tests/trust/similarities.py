"""Hostile arguments for the theory of similarity losses."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sim.theory import expected_similarity_loss
from sim.theory.certificates import NotFound, certify_c3_of, certify_c7_between
from sim.theory.descent import Search
from sim.theory.minimise import SIMILARITY_LOSSES, minimise
from sim.theory.reduced import CONVEX, best_gap, limit_of_gap, reduced_minimum
from sim.theory.similarity import DEFAULTS
from sim.theory.splitting import kappa, splitting
from tests.trust import hostile


def _or_hostile(draw: Random, usual: Any) -> Any:
    return usual if draw.random() < 0.85 else hostile.value(draw)


def similarity_functions(draw: Random, _: Path) -> None:
    """Expected losses of cosines, their minimisers, the reduced program, splitting by intervals, certificates for any noise."""
    n = draw.randrange(2, 6)
    points = np.random.default_rng(n).normal(size=(n, 2))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cosines = points @ points.T if draw.random() < 0.85 else hostile.tensor(draw, (n, n))
    classes = [i % 2 for i in range(n)] if draw.random() < 0.85 else hostile.array(draw, (n,), labels=True)
    transition = [[0.9, 0.1], [0.2, 0.8]] if draw.random() < 0.85 else hostile.array(draw, (2, 2))
    params = {
        name: hostile.value(draw) for name in ("temperature", "alpha", "beta", "base", "cosine") if draw.random() < 0.15
    }
    which = draw.randrange(6)
    if which == 0:
        expected_similarity_loss(
            cosines,
            classes,
            transition,
            loss=draw.choice((*DEFAULTS, hostile.text(draw))),
            positive=draw.choice(("all", "easy", hostile.text(draw))),
            reduction=draw.choice(("sum", "mean", hostile.text(draw))),
            **params,
        )
    elif which == 1:
        reduced_minimum(classes, transition, loss=draw.choice((*CONVEX, hostile.text(draw))), **params)
    elif which == 2:
        best_gap(_or_hostile(draw, 3), transition, loss=draw.choice((*CONVEX, hostile.text(draw))))
        limit_of_gap(_or_hostile(draw, 0.9))
    elif which == 3:
        kappa(*(_or_hostile(draw, usual) for usual in (3, 0.9, 0.2, 0.1)))
        splitting(*(_or_hostile(draw, usual) for usual in (3, "9/10", "1/10")), most=_or_hostile(draw, 5))
    elif which == 4:
        minimise(
            classes,
            transition,
            loss=draw.choice(SIMILARITY_LOSSES),
            positive=draw.choice(("all", "easy")),
            geometry=draw.choice(("sphere", "plane")),
            collapsed=draw.choice((True, False, hostile.value(draw))),
            restarts=2,
            search=Search(steps=3, polish=3),
            **params,
        )
    else:
        with contextlib.suppress(NotFound):
            certify_c3_of(classes, transition, _or_hostile(draw, "1/2"))
        with contextlib.suppress(NotFound):
            certify_c7_between(_or_hostile(draw, 3), _or_hostile(draw, 1), _or_hostile(draw, 2))
