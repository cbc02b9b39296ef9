"""The exact theory beside the live run: the lines are the bound, the margin loss's short cut is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sim import distances, noise
from sim.explore.engine import Engine
from sim.explore.lines import LEVELS, Lines, _margin_losses
from sim.explore.state import State
from sim.noise import symmetric
from sim.theory import expected_loss, lower_bound


def complete(lines: Lines) -> Lines:
    while not lines.complete:
        lines.advance()
    return lines


def test_the_theory_line_is_the_bound_where_there_is_one() -> None:
    engine = Engine(State().with_({"positive": "all", "negative": "all"}))
    classes = np.repeat([0, 1], 16)
    n = len(classes)
    for level, share in zip(LEVELS, complete(engine.lines).found["all"], strict=True):
        transition = symmetric(2, 1 - level)
        keep = transition[classes]
        # Total collapse: every triplet of a labelling costs the margin.
        same = keep @ keep.T
        triplets = (
            sum(
                float(same[i, j] - (keep[i] * keep[j] * keep[k]).sum())
                for i in (0, n - 1)
                for j in range(n)
                for k in range(n)
                if len({i, j, k}) == 3
            )
            * n
            / 2
        )
        assert share == pytest.approx(lower_bound(classes, transition, alpha=1.0) / triplets, rel=1e-9)


def test_the_live_expected_loss() -> None:
    engine = Engine(State().with_({"noise": 0.2, "noise_mode": "resampled"}))
    assert engine.metrics(0)["expected"] > 0
    for _ in range(200):
        engine.advance()
    # With all (random) positives no embedding is below the best collapsed one (C3).
    level = LEVELS.index(0.2)
    assert engine.metrics(0)["expected"] >= complete(engine.lines).found["random"][level] - 1e-9
    engine.set({"loss": "npair"})
    assert engine.lines.complete and engine.lines.described() == {"levels": [], "lines": {}}
    assert math.isnan(engine.metrics(0)["expected"])


@pytest.mark.parametrize("positive", ["all", "easy"])
@pytest.mark.parametrize("kind", ["symmetric", "pair_flip"])
def test_weights_taken_once_give_the_margin_loss_at_every_boundary(positive: str, kind: str) -> None:
    classes, betas = np.repeat([0, 1, 2], 4), [0.0, 0.3, 1.5, 4.0]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 12, 2, dtype=torch.float64, generator=generator)
    x[2] = 0  # total collapse: all distances tie
    d, transition = distances.pairwise(x), noise.transition(kind, 3, 0.3)
    direct = [
        expected_loss(d, classes, transition, loss="margin", positive=positive, alpha=1.0, beta=beta) for beta in betas
    ]
    torch.testing.assert_close(_margin_losses(d, classes, transition, positive, betas), torch.stack(direct))


def test_a_point_at_a_time_is_all_that_is_done_at_once() -> None:
    lines = Lines(State().with_({"loss": "margin", "per_class": 3}))
    lines.advance()
    assert {p: len(own) for p, own in lines.found.items()} == {"random": 1, "easy": 0} and not lines.complete
    assert all(len(own) == len(LEVELS) for own in complete(lines).found.values())
