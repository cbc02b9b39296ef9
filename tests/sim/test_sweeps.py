"""Runs get their names from their content, are stored once and whole, and are skipped when they are there."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from sim.config import RunConfig, parse
from sim.errors import InvalidInput
from sim.sweeps import store as store_module
from sim.sweeps.execute import execute, groups
from sim.sweeps.grid import grid
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
    assert sorted(map(len, parts)) == [4, 4, 8, 8]
    assert all(len({c.program() for c in part}) == 1 for part in parts)
    assert sorted(c.key() for part in parts for c in part) == sorted(c.key() for c in configs)


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
