"""The peers of `benchmarks/training.py` do the same work as this package, and what is recorded is what was measured.

Nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.peers import limits, readme, rows, turns
from benchmarks.peers.cases import BATCHED, CASES, JAX, LOOP, OURS, VMAP, Case, Epochs, Peer, Start
from benchmarks.peers.equal import check_weighted, first_steps, refuse_unequal
from benchmarks.peers.turns import Rates, Setup, Team, Worker, measure

ROOT = Path(__file__).parents[2]
RUNS = 3
SMALL = {name: replace(case, runs=RUNS) for name, case in CASES.items() if name != "all512"}
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax isn't installed")


def peer(side: str, case: Case) -> Peer:
    return Setup(side, case, RUNS, chunk=2 if side in (BATCHED, VMAP) else 0).make()


def two_steps_agree(made: Peer, case: Case) -> None:
    """The second loss is after an update: gradient and Adam agree too, up to what Adam makes of gradients that are nearly 0."""
    for tolerance, (index, labels, losses) in zip((1e-5, 1e-3), first_steps(case, RUNS, 2), strict=True):
        assert losses.min() > 0.01
        found = made.on_batch(index[: made.runs], labels[: made.runs])
        torch.testing.assert_close(found, losses[: made.runs], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "weighted"])
@pytest.mark.parametrize("side", [LOOP, BATCHED, VMAP])
def test_a_peer_of_torch_takes_the_same_steps(side: str, name: str) -> None:
    two_steps_agree(peer(side, SMALL[name]), SMALL[name])


@needs_jax
@pytest.mark.parametrize("name", [name for name in SMALL if name != "weighted"])
def test_jax_takes_the_same_steps(name: str) -> None:
    two_steps_agree(peer(JAX, SMALL[name]), SMALL[name])


@pytest.mark.parametrize("side", [LOOP, BATCHED, VMAP, pytest.param(JAX, marks=needs_jax)])
def test_weighted_draws_have_the_same_mean_loss(side: str) -> None:
    # The library drops anchors whose negatives are all far; in a batch of this size there are none.
    case = SMALL["weighted"]
    check_weighted(case, peer(side, case), side)


@pytest.mark.parametrize("side", [LOOP, BATCHED])
def test_other_work_is_refused(side: str) -> None:
    case = SMALL["eps"]
    with pytest.raises(RuntimeError, match=f"{side}: the losses of the first step are .* from ours"):
        refuse_unequal(case, peer(side, replace(case, negative="hard")), first_steps(case, RUNS), side)
    weighted = SMALL["weighted"]
    with pytest.raises(RuntimeError, match="four standard errors"):
        check_weighted(weighted, peer(side, replace(weighted, positive="easy", negative="semihard")), side)


@pytest.mark.parametrize("side", [OURS, LOOP, BATCHED, VMAP, pytest.param(JAX, marks=needs_jax)])
def test_a_block_trains_and_a_restart_forgets_it(side: str) -> None:
    made: Any = Setup(side, SMALL["eps"], RUNS).make()
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))

    def embedded() -> torch.Tensor:
        return made.trainer.embed("test") if side == OURS else made.embed(x)

    first = embedded()
    made.advance()
    trained = embedded()
    assert trained.isfinite().all()
    assert (trained - first).abs().amax((1, 2)).min() > 1e-4
    made.restart()
    torch.testing.assert_close(embedded(), first)


def test_epochs_are_balanced_and_repeat_nothing() -> None:
    torch.manual_seed(0)
    labels = (torch.rand(4, 30) < 0.4).long()
    labels[:, :8] = torch.tensor([0, 1] * 4)
    epochs = Epochs(labels, 4)
    drawn = torch.stack([epochs.next() for _ in range(epochs.steps)])  # (S, R, B)
    of_run = labels.expand(epochs.steps, -1, -1).gather(2, drawn)
    assert of_run.tolist() == [[[0] * 4 + [1] * 4] * 4] * epochs.steps
    for run in range(4):
        assert len(set(drawn[:, run].flatten().tolist())) == drawn[:, run].numel()
    assert not torch.equal(epochs.next(), drawn[0])


def test_parts_hold_their_own_runs() -> None:
    start = Start.of(SMALL["eps"], RUNS)
    part = start.part(slice(1, 3))
    assert torch.equal(part.labels, start.labels[1:])
    assert all(torch.equal(p, q[1:]) for p, q in zip(part.parameters, start.parameters, strict=True))


def test_sides_take_turns_in_processes() -> None:
    """A worker has the cores and variables it was given, and the fastest setup is taken; ratios are those of the turns."""
    worker = Worker(turns.CORES[:1], {"A_VARIABLE": "here"})
    try:
        assert worker.ask(os.getenv, "A_VARIABLE").result() == "here"
        if hasattr(os, "sched_getaffinity"):
            assert worker.ask(os.sched_getaffinity, 0).result() == set(turns.CORES[:1])
        assert "A_VARIABLE" not in os.environ
        case = SMALL["eps"]
        teams = {side: [Team(side, (worker,), Setup(side, case, r))] for side, r in ((OURS, RUNS), (LOOP, 1))}
        found = measure(teams, turns=2, seconds=0.01, clock="cpu")
    finally:
        worker.end()
    assert {name: len(rates.values) for name, rates in found.items()} == {OURS: 2, LOOP: 2}
    ours, loop = rows.of_rates("speed", case, found, rows.CPU)
    assert (ours.side, loop.side, ours.runs, loop.runs) == (OURS, LOOP, RUNS, 1)
    assert loop.least <= loop.ratio <= loop.most


def test_ratios_are_taken_turn_by_turn() -> None:
    case = CASES["eps"]
    team = Team(LOOP, (), Setup(LOOP, case, 1))
    found = {OURS: Rates(replace(team, name=OURS), [80.0, 90.0, 100.0]), LOOP: Rates(team, [2.0, 1.0, 5.0])}
    row = rows.of_rates("speed", case, found, rows.WALL)[1]
    assert (row.value, row.ratio, row.least, row.most, row.aim) == (2.0, 40.0, 20.0, 90.0, 40.0)


def test_a_run_step_has_so_many_operations() -> None:
    assert limits.products(CASES["eps"]) == 1_654_784
    hidden = 2 * 64 * 64 * 64  # one product of the hidden layer: forward, and two gradients
    assert (
        limits.products(replace(CASES["eps"], width=128)) - limits.products(CASES["eps"])
        == 9 * hidden + 5 * 2 * 64 * 128
    )


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    row = rows.Row("speed", "a, b", 64, 256, LOOP, "1 thread", rows.WALL, 1439.0, 16.2, 16.1, 18.0, 20.0)
    rows.write(tmp_path / "rows.csv", [row, replace(row, side=OURS, ratio=None)], rows.header("a command"))
    table, about = rows.read(tmp_path / "rows.csv")
    assert about["command"] == "a command"
    assert f"torch {torch.__version__.split('+')[0]}" in about["versions"]
    assert table.loc[0].to_dict() == vars(row)
    assert table["ratio"].isna().tolist() == [False, True]


def test_readme_shows_what_is_recorded() -> None:
    """`python benchmarks/training.py --readme` writes the section from the recorded rows."""
    section = readme.section(*rows.read(ROOT / "figures" / "data" / "throughput.csv"))
    assert section in (ROOT / "README.md").read_text()


def test_missed_aims_are_said() -> None:
    row = rows.Row("speed", "EPS", 64, 1, LOOP, "", rows.WALL, 1.0, 30.0, 29.0, 31.0, 40.0)
    table = rows.as_table([row, replace(row, side=JAX, ratio=4.0, aim=3.0)])
    assert (
        readme._missed(table)
        == f"1 of 2 aims are met. Missed: EPS (batch 64) against loop, {rows.WALL}: 30 for 40, 25% short."
    )
