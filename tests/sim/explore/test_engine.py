"""The engine: the same runs as the trainer's, noise that can be taken back, verdicts and theory computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sim import metrics
from sim.catalogue import STUDIES
from sim.errors import InvalidInput
from sim.explore.engine import Engine
from sim.explore.measured import Measured
from sim.explore.picture import animate, draw
from sim.explore.state import State
from sim.problems import build
from sim.sweeps.execute import execute
from sim.sweeps.store import Store
from sim.training import train


@pytest.mark.parametrize("changes", [{}, {"noise": 0.3, "noise_mode": "resampled", "negative": "semihard"}])
def test_what_is_seen_is_the_run_that_the_command_line_trains(changes: dict[str, object]) -> None:
    engine = Engine(State().with_({**changes, "seed": 2}))
    for _ in range(30):
        engine.advance()
    for k, positive in enumerate(engine.state.positives):
        config = engine.state.config(positive, 30)
        row = train([config], [build(config.data.name, config.seed, **config.data.params)])[0].rows[-1]
        seen = engine.metrics(k)
        for name, column in (
            ("within_mean", "within_mean"),
            ("recall_at_1", "recall_at_1"),
            ("subclusters", "subclusters_linkage"),
        ):
            assert seen[name] == pytest.approx(row[column], rel=1e-6)


def test_noise_flips_labels_monotonically_and_back() -> None:
    engine = Engine()
    before, flipped = engine.labels(), set()
    for level in (0.1, 0.25, 0.5, 0.9):
        engine.set({"noise": level})
        now = set(np.flatnonzero(engine.labels() != engine.problem.train.classes))
        assert flipped < now
        assert len(now) / 600 == pytest.approx(level, abs=0.06)
        flipped = now
    engine.set({"noise": 0.0})
    assert (engine.labels() == before).all()


def test_a_change_restarts_from_the_same_initialisation_or_continues() -> None:
    engine = Engine()
    start = engine.embeddings()
    for _ in range(20):
        engine.advance()
    trained = engine.embeddings()
    engine.set({"noise": 0.2})
    assert engine.step_count == 0 and not engine.continued
    for a, b in zip(start, engine.embeddings(), strict=True):
        np.testing.assert_array_equal(a, b)
    for _ in range(20):
        engine.advance()
    engine.set({"noise": 0.0})
    for _ in range(20):
        engine.advance()
    for a, b in zip(trained, engine.embeddings(), strict=True):
        np.testing.assert_array_equal(a, b)
    engine.set({"noise": 0.2}, carry=True)
    assert engine.step_count == 20 and engine.continued
    for a, b in zip(trained, engine.embeddings(), strict=True):
        np.testing.assert_array_equal(a, b)
    engine.set({"geometry": "sphere"}, carry=True)
    assert engine.step_count == 0 and not engine.continued


def test_a_refused_change_leaves_all_as_it_was() -> None:
    engine = Engine()
    engine.advance()
    before = (engine.state, engine.generation, engine.step_count)
    for changes in ({"noise": 2}, {"positive": "semihard", "negative": "all"}, {"geometry": "disc"}, {"x": 1}):
        with pytest.raises(InvalidInput):
            engine.set(changes)
        assert (engine.state, engine.generation, engine.step_count) == before
    engine.advance()
    assert engine.step_count == 2


ALLOWED = {"noise_kind": "instance", "noise": 0.9, "classes": 6, "modes": 8, "per_class": 64}


@pytest.mark.parametrize("carry", [False, True])
def test_what_only_the_trainer_refuses_leaves_all_as_it_was(carry: bool) -> None:
    """The controls are fine one by one, but of these labels a class has too few for the batch."""
    engine, other = Engine(State().with_(ALLOWED)), Engine(State().with_(ALLOWED))
    for one in (engine, other):
        one.advance()
    before = (engine.state, engine.problem, engine.trainers, engine.lines, engine.generation, engine.continued)
    with pytest.raises(InvalidInput, match="batch.per_class: got 64"):
        engine.set({"modes": 1}, carry=carry)
    after = (engine.state, engine.problem, engine.trainers, engine.lines, engine.generation, engine.continued)
    assert all(a is b for a, b in zip(before, after, strict=True))
    for one in (engine, other):
        one.advance()
    for k in range(2):
        np.testing.assert_array_equal(engine.embeddings()[k], other.embeddings()[k])
        np.testing.assert_equal(engine.metrics(k), other.metrics(k))
    np.testing.assert_array_equal(engine.labels(), other.labels())


@pytest.mark.parametrize("place", ["build", "Trainer", "Lines"])
def test_a_change_that_fails_anywhere_leaves_all_as_it_was(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    before = dict(vars(engine))

    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(f"sim.explore.engine.{place}", fails)
        for change in (lambda: engine.set({"modes": 2}), lambda: engine.set({"modes": 2}, carry=True), engine.restart):
            with pytest.raises(MemoryError):
                change()
    assert vars(engine) == before
    engine.advance()


def test_two_engines_do_not_disturb_each_other() -> None:
    alone, a, b = Engine(), Engine(), Engine(State(noise=0.3, seed=5))
    for _ in range(10):
        alone.advance()
    for _ in range(10):
        a.advance()
        b.advance()
        b.set({"noise": 0.1})
    np.testing.assert_array_equal(alone.embeddings()[0], a.embeddings()[0])


def test_total_and_class_collapse_are_told_apart() -> None:
    engine = Engine()
    sample = engine.problem.train
    options = metrics.Options(ks=(1,))

    def verdict(x: np.ndarray) -> str:
        values = metrics.evaluate(x, sample.classes, sample.modes, options=options)
        return engine.verdict({**values, "subclusters": values["subclusters_linkage"]})

    noise = np.random.default_rng(0).standard_normal((600, 2))
    of_class = np.array([[0.0, 0.0], [1.0, 0.0]])[sample.classes]
    of_mode = np.random.default_rng(1).permutation(8)[sample.modes][:, None] * np.array([[3.0, 0.0]])
    assert verdict(0.001 * noise) == "total"
    assert verdict(of_class + 0.01 * noise) == "class"
    assert verdict(of_class + 0.12 * noise) == "merged"
    assert verdict(of_mode + 0.001 * noise) == "kept"


def test_divergence_is_said() -> None:
    engine = Engine(State().with_({"loss": "contrastive", "lr": 0.1, "negative": "all"}))
    for trainer in engine.trainers:
        for p in trainer.parameters:
            p.data.fill_(math.inf)
    for _ in range(30):
        engine.advance()
    assert engine.diverged == [0, 1]
    assert engine.metrics(0) == {"verdict": "diverged"}


def test_pictures_and_animations(tmp_path: Path) -> None:
    from PIL import Image

    engine = Engine(State().with_({"noise": 0.2, "geometry": "sphere"}))
    assert draw(engine).startswith(b"\x89PNG")
    place = tmp_path / "a.gif"
    animate(engine, place, frames=3, steps=2)
    with Image.open(place) as film:
        assert film.n_frames == 3  # type: ignore[attr-defined]
    assert engine.step_count == 4
    with pytest.raises(InvalidInput, match="animation: got .*; allowed: a name that ends with .gif or .webp"):
        animate(engine, tmp_path / "a.png")


def test_measured_runs_come_from_the_store(tmp_path: Path) -> None:
    assert Measured(None).near(State()) == {"mode": "", "lines": {}, "maps": {}}
    store = Store(tmp_path)
    runs = [
        c.model_copy(update={"steps": 3, "checkpoints": 1, "save_embeddings": False})
        for c in STUDIES["noise_sweep"].configs("quick")
        if c.seed < 2 and c.noise.level in (0.0, 0.2)
    ]
    execute(runs, store)
    found = Measured(tmp_path).near(State())
    assert set(found["lines"]) == {"random", "easy"} and found["mode"] == "resampled"
    assert [r["noise"] for r in found["lines"]["easy"]] == [0.0, 0.2]
    row = found["lines"]["easy"][0]
    assert row["recall_at_1_low"] <= row["recall_at_1"] <= row["recall_at_1_high"] and row["runs"] == 2
    assert {(c["value"], c["noise"]) for c in found["maps"]["positive"]} == {
        (p, level) for p in ("random", "easy") for level in (0.0, 0.2)
    }
    assert {c["value"] for c in found["maps"]["loss"]} == {"triplet", "margin"}
    assert Measured(tmp_path).near(State(generator="rings"))["lines"] == {}
