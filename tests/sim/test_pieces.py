"""What theory computes is kept: once computed it is never computed again, unless what decides it changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from sim.catalogue import FIGURES
from sim.config import SCHEMA
from sim.sweeps import pieces
from sim.sweeps.executors import Resources
from sim.sweeps.pieces import FOLDER, Piece, compute
from sim.sweeps.pool import OnSteps, in_processes
from sim.sweeps.store import Store

CALLS: list[int] = []


def square(x: int) -> list[float]:
    CALLS.append(x)
    if x < 0:
        raise KeyboardInterrupt
    return [x * x, 0.1 + 0.2]


def cube(x: int) -> list[float]:
    CALLS.append(x)
    return [x**3]


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def squares(numbers: Sequence[int]) -> list[Piece]:
    return [Piece(square, {"x": x}) for x in numbers]


def test_a_second_time_nothing_is_computed(tmp_path: Path) -> None:
    first = compute(squares([1, 2, 1]), Store(tmp_path))
    assert first == [[1, 0.1 + 0.2], [4, 0.1 + 0.2], [1, 0.1 + 0.2]]
    assert sorted(CALLS) == [1, 2]
    assert compute(squares([2, 1]), Store(tmp_path)) == [first[1], first[0]]
    assert sorted(CALLS) == [1, 2]


def test_other_arguments_code_and_schema_are_other_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [Piece(square, {"x": 1}).key(), Piece(square, {"x": 2}).key(), Piece(cube, {"x": 1}).key()]
    monkeypatch.setattr(pieces, "code", lambda module, entry: "def square(x): return [x * x + 1]")
    keys.append(Piece(square, {"x": 1}).key())
    monkeypatch.setattr(pieces, "SCHEMA", SCHEMA + 1)
    keys.append(Piece(square, {"x": 1}).key())
    assert len(set(keys)) == 5
    assert Piece(square, {"x": 1}, seconds=9.0).key() == keys[-1]


def test_of_a_package_all_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a function uses may stand in any file of its package."""
    from sim.theory.diagrams import easy_triplet_values

    seen: list[str] = []

    def digest(content: bytes) -> str:
        seen.append(content.decode())
        return "0" * 64

    monkeypatch.setattr(pieces, "digest", digest)
    Piece(easy_triplet_values, {"p": "9/10"}).key()
    assert "def certify_c7(" in seen[0]
    assert "def stream(" in seen[0]


def test_an_interruption_loses_only_what_is_being_computed(tmp_path: Path) -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        compute([*squares([3, 4]), Piece(square, {"x": -1}, seconds=0.1)], Store(tmp_path), on_steps=done.append)
    assert done == [1, 1]
    announced: list[int] = []
    compute(squares([3, 4, 5]), Store(tmp_path), on_start=announced.append)
    assert announced == [1]
    assert sorted(CALLS) == [-1, 3, 4, 5]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", None])
def test_a_damaged_file_is_named_and_computed_again(damage: bytes | None, tmp_path: Path) -> None:
    compute(squares([7]), Store(tmp_path))
    (place,) = (tmp_path / FOLDER).iterdir()
    place.write_bytes(place.read_bytes().replace(b"49", b"48") if damage is None else damage)
    with pytest.warns(UserWarning, match="is damaged: what it held is computed again"):
        assert compute(squares([7]), Store(tmp_path)) == [[49, 0.1 + 0.2]]
    assert compute(squares([7]), Store(tmp_path)) == [[49, 0.1 + 0.2]]
    assert CALLS == [7, 7]


def test_processes_compute_the_same(tmp_path: Path) -> None:
    from sim.theory.diagrams import landscape

    axes = {"apart": [0.0, 1.0], "classes_apart": [1.0, 2.0]}
    made = [Piece(landscape, {"positive": p, "level": 0.2, **axes}, seconds=60.0) for p in ("all", "easy")]
    done: list[int] = []
    there = compute(made, Store(tmp_path / "there"), Resources(workers=2), on_steps=done.append)
    assert sum(done) == 2
    assert there == compute(made, Store(tmp_path / "here"), Resources(workers=1))


def nap(seconds: float, on_steps: OnSteps) -> None:
    on_steps(1)
    time.sleep(seconds)


def test_an_interruption_does_not_wait_for_parts() -> None:
    """Pieces, unlike runs, don't look up in between: a worker that slept to its end would outlast the test's own limit."""
    children: list[psutil.Process] = []

    def interrupt(_: int) -> None:
        children.extend(c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_processes(nap, [3600.0, 3600.0], 2, interrupt))
    assert children
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_figures_draw_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from figures.render import source

    store = Store(tmp_path)
    first = source("landscape", store, "tiny")
    assert len(first.theory) == len(FIGURES["landscape"].pieces("tiny"))
    monkeypatch.setattr(pieces, "_compute", lambda *_: pytest.fail("computed again"))
    assert source("landscape", store, "tiny").theory == first.theory
