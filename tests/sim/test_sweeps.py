"""Runs get their names from their content, are stored once and whole, and are skipped when they are there."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sim import losses
from sim.config import RunConfig, parse
from sim.errors import InvalidInput
from sim.sweeps import grid as grid_module
from sim.sweeps import index
from sim.sweeps import store as store_module
from sim.sweeps.execute import MOST_BYTES_TOGETHER, MOST_STEPS_TOGETHER, bytes_of, execute, groups, suitable
from sim.sweeps.executors import Resources
from sim.sweeps.grid import grid
from sim.sweeps.index import Record
from sim.sweeps.query import select
from sim.sweeps.store import Store
from sim.training import RunResult

BASE = {
    "data.params": {"samples_per_mode": 8, "modes_per_class": 2},
    "batch.per_class": 4,
    "net.params": {"width": 8, "depth": 1},
    "steps": 4,
    "checkpoints": 2,
    "save_embeddings": True,
}


def test_grid_is_the_product_in_order() -> None:
    configs = grid(BASE, {"loss.name,loss.params": [("triplet", {}), ("contrastive", {"alpha": 1.0})], "seed": [3, 4]})
    assert [(c.loss.name, c.loss.params, c.seed) for c in configs] == [
        ("triplet", {}, 3),
        ("triplet", {}, 4),
        ("contrastive", {"alpha": 1.0}, 3),
        ("contrastive", {"alpha": 1.0}, 4),
    ]


def test_keys_name_content() -> None:
    a, b = parse(RunConfig, {"seed": 1}), parse(RunConfig, {"seed": 1, "loss": {"name": "triplet"}})
    assert a.key() == b.key()
    assert a.key() != parse(RunConfig, {"seed": 2}).key()
    assert RunConfig.model_validate_json(a.model_dump_json()).key() == a.key()


def test_groups_share_shapes() -> None:
    configs = grid(
        BASE, {"positive": ["easy", "all"], "noise.level": [0, 0.1], "loss.params.alpha": [0.1, 0.2], "seed": range(3)}
    )
    parts = groups(configs, limit=8)
    assert list(map(len, parts)) == [6, 6, 6, 6]
    assert all(len({c.program() for c in part}) == 1 for part in parts)
    assert sorted(c.key() for part in parts for c in part) == sorted(c.key() for c in configs)


def test_groups_are_bounded_by_memory_and_by_what_an_interruption_loses() -> None:
    def sizes(**fields: object) -> list[int]:
        return list(map(len, groups(grid(fields, {"seed": range(400)}))))

    assert sizes() == [200, 200]
    assert max(sizes(steps=MOST_STEPS_TOGETHER // 10)) == 10
    assert sizes(steps=10 * MOST_STEPS_TOGETHER) == [1] * 400
    large = grid({"batch": {"per_class": 1024}}, {"seed": range(400)})
    assert max(map(len, groups(large))) == MOST_BYTES_TOGETHER // bytes_of(large[0]) < 10


def test_what_takes_longest_begins_first() -> None:
    configs = grid({}, {"steps": [10, 1000, 100], "seed": range(3)})
    assert [group[0].steps for group in groups(configs)] == [1000, 100, 10]


def test_processes_where_there_is_work_for_several() -> None:
    few, many = grid({}, {"seed": range(5)}), grid({}, {"seed": range(500)})
    assert suitable(few, Resources(workers=4)) == "local"
    assert suitable(many, Resources(workers=4)) == "processes"
    assert suitable(many, Resources(workers=1)) == "local"
    assert suitable(many, Resources(device="cuda", workers=4)) == "local"
    assert suitable(few, Resources(scheduler="tcp://here:1")) == "dask"
    assert suitable(grid({"steps": 10**7}, {}), Resources(workers=4)) == "local"  # one run can't be divided


def test_a_small_run_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.sweeps.executors.processes.in_processes", lambda *_: pytest.fail("processes were started"))
    execute(grid(BASE, {"seed": range(2)}), Store(tmp_path), resources=Resources(workers=4))
    assert len(Store(tmp_path).load()["key"].unique()) == 2


@pytest.mark.parametrize(("own", "expected"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(own: dict[str, str], expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | own
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    program = "import sys, sim, os; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == expected


def test_a_grid_reads_and_checks_each_part_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    read: list[object] = []
    make = losses.make
    monkeypatch.setattr(losses, "make", lambda name, **given: made.append(name) or make(name, **given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(grid_module, "parse", lambda *a: read.append(a) or parse(*a))  # type: ignore[func-returns-value]
    axes = {
        "loss.name": ["triplet", "margin"],
        "noise.level": [0, 0.1, 0.2],
        "optimizer.lr": [0.1, 0.2],
        "seed": range(50),
    }
    configs = grid({"steps": 10}, axes)
    assert len({c.key() for c in configs}) == len(configs) == 600
    assert made == ["triplet", "margin"]
    assert len(read) < len(RunConfig.model_fields) + 2 + 3 + 2 + 50
    for config in (configs[0], configs[-1]):
        alone = parse(RunConfig, config.model_dump())
        assert (alone, alone.key()) == (config, config.key())


def test_a_grid_names_the_fault_of_any_of_its_runs() -> None:
    for axes, message in (
        ({"seed": [0, 1, -1]}, "seed: got -1"),
        ({"noise.level": [0, 1.5]}, "noise: got 1.5"),
        ({"positive": ["easy", "esay"], "seed": [0, 1]}, "positive: got 'esay'"),
        ({"loss.params.alpha": [0.1, "x"], "loss.name": ["triplet"]}, "alpha: got 'x'"),
        ({"steps,seed": [(5, 0), (5,)]}, "steps,seed: got (5,); allowed: a tuple of 2 values"),
    ):
        with pytest.raises(InvalidInput) as caught:
            grid({}, axes)
        assert message in str(caught.value)


def test_a_query_reads_the_rows_of_possible_runs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    configs = grid({}, {"loss.name": ["triplet", "margin"], "seed": range(4)})
    for config in configs:
        own = {"beta": 1.0 + config.seed} if config.loss.name == "margin" else {}
        rows = [{"step": k, "split": "test", "recall_at_1": k / 10 + config.seed, **own} for k in (0, 5)]
        store.add([RunResult(config, rows=rows)], seconds=1.0)
    whole = store.load()
    looked_at: list[str] = []
    read = index.read

    def spy(*given: object) -> Iterator[tuple[Record, bool]]:
        for record, sound in read(*given):
            looked_at.append(record.key)
            yield record, sound

    monkeypatch.setattr(index, "read", spy)
    for query, runs in (
        ("seed == 3", 2),
        ('loss.name == "margin" and beta > 2 and step == 5', 4),
        ('loss.name == "margin" or recall_at_1 > 3', 8),
        ("recall_at_1 > 3", 8),
        ("seed > 100", 0),
        ('loss.name == "triplet" and beta > 1', 4 + 8),  # triplets have no such column: there are others that have
    ):
        looked_at.clear()
        found = store_module.load(tmp_path, query)
        assert len(looked_at) == runs, query
        expected = select(whole, query)
        assert found["key"].tolist() == expected["key"].tolist() if len(expected) else found.empty
    with pytest.raises(InvalidInput, match="there is no column 'recal'"):
        store_module.load(tmp_path, "seed == 1 and recal > 0")


def test_execute_trains_each_run_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    configs = grid(BASE, {"noise.level": [0.0, 0.2], "seed": range(2)})
    announced: list[int] = []
    steps: list[int] = []
    execute(configs[:3], store, on_start=announced.append, on_steps=steps.append)
    execute(configs + configs, store, on_start=announced.append, on_steps=steps.append)
    execute(configs, store, on_start=announced.append, on_steps=steps.append)
    assert announced == [12, 4, 0]
    assert sum(steps) == 16
    table = store.load()
    assert sorted(table["key"].unique()) == sorted(c.key() for c in configs)
    assert len(table) == 4 * 3
    assert set(table["noise.level"]) == {0.0, 0.2}
    assert len(store.load(configs[:1])) == 3
    assert store.arrays(configs[0])["embeddings_test"].shape == (32, 2)


def test_stored_results_do_not_depend_on_what_was_trained_before(tmp_path: Path) -> None:
    configs = grid(BASE, {"noise.level": [0.0, 0.2], "seed": range(2)})
    at_once, one_by_one = Store(tmp_path / "a"), Store(tmp_path / "b")
    execute(configs, at_once)
    for config in reversed(configs):
        execute([config], one_by_one)
    for config in configs:
        np.testing.assert_allclose(
            at_once.arrays(config)["embeddings_test"],
            one_by_one.arrays(config)["embeddings_test"],
            rtol=1e-4,
            atol=1e-5,
        )


def test_a_run_is_stored_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    config = grid(BASE, {})[0]

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sim.sweeps.index.write", fail)
        with pytest.raises(KeyboardInterrupt):
            execute([config], store)
    assert store.finished([config]) == set()
    assert store.load().empty
    execute([config], store)
    assert len(store.load()) == 3
    assert not list(tmp_path.rglob("*.part"))


def test_a_run_added_while_the_store_is_read_is_not_seen_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = Store(tmp_path), Store(tmp_path)
    first, second = (
        RunResult(parse(RunConfig, {"seed": s}), rows=[{"step": k, "split": "test", "loss": 1.0} for k in range(9)])
        for s in (0, 1)
    )
    writer.add([first], 1.0)
    connect = reader._connect

    def interrupted() -> sqlite3.Connection:
        db = connect()
        # Called before each statement: the other run comes while the load has begun.
        db.set_trace_callback(lambda text: writer.add([second], 1.0) if "FROM runs" in text else None)
        return db

    monkeypatch.setattr(reader, "_connect", interrupted)
    assert set(reader.load().groupby("seed").size()) == {9}
    monkeypatch.undo()
    assert reader.load().groupby("seed").size().to_dict() == {0: 9, 1: 9}


def test_a_run_without_rows_still_shows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    config = grid(BASE, {})[0]
    store.add([RunResult(config, status="diverged", diverged_at=25)], 1.0)
    row = store.load().iloc[0]
    assert (row["status"], row["diverged_at"]) == ("diverged", 25)
    with pytest.raises(InvalidInput, match="run: got .* save_embeddings = true"):
        store.arrays(config)


def _fill(folder: str, seeds: list[int]) -> None:
    execute(grid(BASE, {"seed": seeds}), Store(folder))


def test_two_processes_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(str(tmp_path), seeds)) for seeds in ([0, 1, 2, 3], [3, 2, 4, 5])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    table = Store(tmp_path).load()
    assert sorted(table.groupby("seed").size().to_dict().items()) == [(seed, 3) for seed in range(6)]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InvalidInput, match="out: got .*file/sub.*; allowed: a folder that can be written"):
        Store(file / "sub")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(locked, os.W_OK):  # root writes anywhere: let the system call say no instead

        def refuse(*args: object, **kwargs: object) -> object:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("sim.files.tempfile.TemporaryFile", refuse)
    with pytest.raises(InvalidInput, match="locked.*a folder that can be written"):
        Store(locked)


def test_load_queries_by_dotted_names(tmp_path: Path) -> None:
    configs = grid(BASE, {"positive": ["easy", "random"], "noise.level": [0.0, 0.2]})
    execute(configs, Store(tmp_path))
    assert len(store_module.load(tmp_path)) == 12
    chosen = store_module.load(tmp_path, 'positive == "easy" and noise.level > 0.1 and step == 4')
    assert list(chosen["key"]) == [configs[1].key()]
    for query in ("nonsense >", "no_such_column == 1", "`noise.level` + 1"):
        with pytest.raises(InvalidInput, match="query: got"):
            store_module.load(tmp_path, query)
    with pytest.raises(InvalidInput, match="out: got .*a folder with results"):
        store_module.load(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
