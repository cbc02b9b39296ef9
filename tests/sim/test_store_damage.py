"""What happens to a store's files, and what can't be written: the right numbers or one line, and no trained run lost."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from sim import cli
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.files import whole
from sim.sweeps import index, unsaved
from sim.sweeps.execute import execute
from sim.sweeps.store import INDEX, Store
from sim.training import RunResult

CONFIGS = [RunConfig(seed=seed, save_embeddings=True) for seed in range(12)]


def results(configs: list[RunConfig] = CONFIGS) -> list[RunResult]:
    """Runs of which seed and step decide every number."""
    return [
        RunResult(
            config,
            rows=[
                {"step": step, "split": "test", **{f"metric_{m}": config.seed + step + m / 8 for m in range(20)}}
                for step in (0, 500, 1000)
            ],
            arrays={"embeddings_test": np.full((5, 2), config.seed)},
        )
        for config in configs
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Store(tmp_path / "store").add(results(), 12.0)
    return tmp_path / "store"


def seeds_that_are_right(store: Store) -> set[int]:
    """The seeds of the runs that are whole, having looked at every number of them."""
    table = store.load()
    for seed, rows in table.groupby("seed"):
        assert rows["step"].tolist() == [0, 500, 1000]
        assert (rows["seconds"] == 1.0).all() and (rows["status"] == "done").all()
        for m in range(20):
            assert rows[f"metric_{m}"].tolist() == [seed + step + m / 8 for step in (0, 500, 1000)]
    return set(table.get("seed", []))


def opened(folder: Path) -> str:
    """Whether a damaged store's runs are right, or those that aren't are named, or it is refused in one line."""
    with no_more_than_lines() as said:
        try:
            there = seeds_that_are_right(Store(folder))
        except InvalidInput as error:
            refusal = str(error)
        else:
            refusal = ""
    if refusal:
        assert refusal.startswith("out: got ") and INDEX in refusal and "\n" not in refusal
        return "refused"
    assert there == set(range(12)) or said, "runs are missing and nothing was said"
    return "named" if said else "right"


@contextmanager
def no_more_than_lines() -> Iterator[list[str]]:
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        finally:
            said += [str(w.message) for w in caught]
            assert not any("\n" in line for line in said)


def test_any_flipped_byte_of_an_index_gives_right_numbers_or_a_line(folder: Path, tmp_path: Path) -> None:
    content = (folder / INDEX).read_bytes()
    draw = random.Random(0)
    # The header and every page's head, where the tree is; and others anywhere.
    heads = [page + k for page in range(0, len(content), 4096) for k in range(8)]
    places = [*draw.sample(range(100), 30), *draw.sample(heads, 40), *draw.sample(range(len(content)), 40)]
    outcomes = dict.fromkeys(("right", "named", "refused"), 0)
    for number, place in enumerate(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        own = tmp_path / str(number)
        own.mkdir()
        (own / INDEX).write_bytes(damaged)
        outcomes[opened(own)] += 1
        shutil.rmtree(own)
    assert outcomes["right"] and outcomes["named"]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 512, 4096, 5000, 8192, 12288, -4096, -1])
def test_a_truncated_index_gives_right_numbers_or_a_line(folder: Path, size: int) -> None:
    os.truncate(folder / INDEX, size if size >= 0 else (folder / INDEX).stat().st_size + size)
    # The first pages hold no run, and with the last one those on it are lost.
    assert opened(folder) == ("refused" if size >= 0 else "named")


def test_an_index_that_is_empty_or_gone_is_not_begun_anew(folder: Path) -> None:
    (folder / INDEX).write_bytes(b"")
    with pytest.raises(InvalidInput, match="an index that can be read \\(it is empty\\)"):
        Store(folder)
    (folder / INDEX).unlink()
    with pytest.raises(InvalidInput, match="it isn't there, and arrays of its runs are"):
        Store(folder)
    shutil.rmtree(folder)
    assert Store(folder).load().empty


def test_good_runs_of_a_damaged_index_move_to_a_new_one(folder: Path) -> None:
    with closing(sqlite3.connect(folder / INDEX)) as db, db:
        pages = [p for (p,) in db.execute("SELECT pageno FROM dbstat WHERE name='runs' AND pagetype='leaf'")]
    content = bytearray((folder / INDEX).read_bytes())
    page = 4096 * (pages[len(pages) // 2] - 1)
    content[page : page + 4096] = bytes(4096)
    (folder / INDEX).write_bytes(content)
    with pytest.warns(UserWarning, match="was damaged: .* runs are kept; the old file is .*index.damaged"):
        store = Store(folder)
    there = seeds_that_are_right(store)
    assert 6 <= len(there) < 12
    assert next(folder.glob("index.damaged-*.sqlite")).read_bytes() == content
    # Mended once: nothing more to say, and what was lost can be stored again.
    store = Store(folder)
    assert {c.seed for c in CONFIGS if c.key() in store.finished(CONFIGS)} == there
    store.add(results(), 12.0)
    assert seeds_that_are_right(Store(folder)) == set(range(12))


def test_a_changed_record_is_named_and_trained_again(folder: Path) -> None:
    store, key = Store(folder), CONFIGS[3].key()
    with closing(sqlite3.connect(folder / INDEX)) as db, db:
        db.execute("UPDATE runs SET rows = replace(rows, '3.125', '9.125') WHERE key = ?", (key,))
    with pytest.warns(UserWarning, match=f"run {key} in .*: its record is damaged"):
        assert store.finished(CONFIGS) == {c.key() for c in CONFIGS} - {key}
    with pytest.warns(UserWarning, match=key):
        assert seeds_that_are_right(store) == set(range(12)) - {3}
    store.add(results(CONFIGS[3:4]), 1.0)
    assert seeds_that_are_right(store) == set(range(12))


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped"])
def test_a_damaged_array_file_is_named_and_written_again(folder: Path, damage: str) -> None:
    store, config = Store(folder), CONFIGS[2]
    place = folder / "arrays" / config.key()[:2] / f"{config.key()}.npz"
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.unlink() if damage == "gone" else place.write_bytes(content[:200] if damage == "cut" else content)
    with pytest.raises(InvalidInput, match="run: got .*train it again"):
        store.arrays(config)
    with pytest.warns(UserWarning, match=f"{place.name} is damaged or missing; it is trained again"):
        assert config.key() not in store.finished(CONFIGS)
    store.add(results([config]), 1.0)
    assert store.arrays(config)["embeddings_test"].tolist() == [[2, 2]] * 5
    assert len(store.finished(CONFIGS)) == 12


def test_a_later_version_is_refused(folder: Path) -> None:
    with closing(sqlite3.connect(folder / INDEX)) as db:
        db.execute("ALTER TABLE runs RENAME COLUMN checksum TO seal")
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(InvalidInput, match="an index of version 2 or earlier: a later release wrote it"):
        Store(folder)


def test_a_locked_index_costs_no_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, more = Store(folder), [RunConfig(seed=seed, save_embeddings=True) for seed in (20, 21)]
    monkeypatch.setattr(index, "PATIENCE", 0.1)
    with closing(sqlite3.connect(folder / INDEX, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            InvalidInput, match=r"\(database is locked\); the 2 runs just trained are kept in .*unsaved"
        ):
            store.add(results(more), 2.0)
        with pytest.raises(InvalidInput, match="2 trained runs wait in .*unsaved"):
            Store(folder)
        assert cli.run(["results", f"--out={folder.parent}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    store = Store(folder)
    assert seeds_that_are_right(store) == {*range(12), 20, 21}
    assert store.arrays(more[1])["embeddings_test"].tolist() == [[21, 21]] * 5
    assert not list((folder / "unsaved").iterdir())


def test_another_process_that_holds_the_store_is_waited_for_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(folder)
    monkeypatch.setattr(index, "PATIENCE", 0.1)
    with index.lock(folder), pytest.raises(InvalidInput, match="the 1 runs just trained are kept in"):
        store.add(results([RunConfig(seed=30)]), 1.0)
    assert 30 in set(Store(folder).load()["seed"])


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_full_disk_costs_no_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everywhere: bool
) -> None:
    """Nothing can be written to the store's file system; then nothing anywhere."""
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr("sim.sweeps.unsaved.tempfile.gettempdir", lambda: str(elsewhere))
    store, before, fsync = Store(folder), (folder / INDEX).read_bytes(), os.fsync

    def full(descriptor: int) -> None:
        if everywhere or str(folder) in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("sim.files.os.fsync", full)
        kept = "are lost" if everywhere else f"are kept in {elsewhere}/collapse-unsaved-.*, and added"
        with pytest.raises(InvalidInput, match=f"No space left on device\\); the 1 runs just trained {kept}"):
            store.add(results([RunConfig(seed=40, save_embeddings=True)]), 1.0)
    assert (folder / INDEX).read_bytes() == before
    assert not list(folder.rglob("*.part"))
    expected = set(range(12)) if everywhere else {*range(12), 40}
    assert seeds_that_are_right(Store(folder)) == expected
    assert not list(elsewhere.rglob("*.zip"))


def test_a_damaged_side_file_is_named(folder: Path) -> None:
    place = unsaved.keep(folder, [])
    place.write_bytes(place.read_bytes() + b"x")
    with pytest.warns(UserWarning, match="unsaved.*damaged: the runs in it are trained again"):
        Store(folder)
    assert len(Store(folder).load()) == 36


def test_a_full_disk_leaves_the_files_that_were_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.csv", "a.json"):
        (tmp_path / name).write_text("precious")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sim.files.os.fsync", full)
        for option in ("csv", "json"):
            place = tmp_path / f"a.{option}"
            assert cli.run(["results", f"--out={folder.parent}", f"--{option}={place}"]) == 2
            assert capsys.readouterr().err == f"error: {place}: No space left on device\n"
            assert place.read_text() == "precious"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("moment", ["sim.sweeps.index.write", "sim.sweeps.store.whole", "sim.files.os.replace"])
def test_a_process_killed_while_it_stores_leaves_all_or_nothing(folder: Path, moment: str) -> None:
    module, _, name = moment.rpartition(".")
    program = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from tests.sim.test_store_damage import *\n"
        "from unittest import mock\n"
        "store = Store(sys.argv[1])\n"
        "die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"with mock.patch('{module}.{name}', die):\n"
        "    store.add(results([RunConfig(seed=50, save_embeddings=True)]), 1.0)\n"
    )
    root = Path(__file__).parents[2]
    end = subprocess.run([sys.executable, "-c", program, str(folder), str(root)], cwd=root, check=False)
    assert end.returncode == -9
    store, config = Store(folder), RunConfig(seed=50, save_embeddings=True)
    assert seeds_that_are_right(store) == set(range(12)) and not store.finished([config])
    assert not list(folder.rglob("*.part"))
    store.add(results([config]), 1.0)
    assert store.arrays(config)["embeddings_test"].tolist() == [[50, 50]] * 5


def test_what_a_living_process_writes_is_left_alone(folder: Path) -> None:
    with whole(folder / "arrays" / "slow.npz") as file:
        file.write(b"slowly")
        Store(folder)
    assert (folder / "arrays" / "slow.npz").read_bytes() == b"slowly"


def test_a_run_that_is_damaged_is_trained_again(tmp_path: Path) -> None:
    base = {"samples_per_mode": 8, "modes_per_class": 2}
    form = {"data": {"params": base}, "batch": {"per_class": 4}, "steps": 2, "checkpoints": 1}
    config, announced = RunConfig.model_validate(form), []
    store = Store(tmp_path)
    execute([config], store, on_start=announced.append)
    before = store.load()
    with closing(sqlite3.connect(tmp_path / INDEX)) as db, db:
        db.execute("UPDATE runs SET rows = '[]'")
    with pytest.warns(UserWarning, match="its record is damaged"):
        execute([config], store, on_start=announced.append)
    assert announced == [2, 2]
    assert store.load().drop(columns="seconds").equals(before.drop(columns="seconds"))
