"""A result belongs to the data and the code that it was made with: others never get it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sim import cli
from sim.catalogue import PROBLEMS
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.problems import Problem, build
from sim.sweeps import inputs
from sim.sweeps.execute import execute
from sim.sweeps.grid import grid
from sim.sweeps.store import INDEX, Store, load
from sim.training import RunResult, train

SMALL = {"steps": 2, "checkpoints": 1, "batch.per_class": 3, "net.params": {"width": 4, "depth": 1}}


def write_data(root: Path, first: int) -> None:
    """2 coarse labels of 2 fine ones, 4 pictures each of 8 x 8; every grey is decided by the place and ``first``."""
    draws = np.random.default_rng(first)
    for coarse in "ab":
        for fine in "xy":
            for k in range(4):
                place = root / "folder" / coarse / f"{coarse}{fine}" / f"{k}.bmp"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draws.integers(0, 256, (8, 8), np.uint8)).save(place)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two data sets of the same names and sizes, every pixel of which differs."""
    monkeypatch.setenv("COLLAPSE_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate("AB"):
        write_data(tmp_path / name, number)
    return tmp_path / "A", tmp_path / "B"


TRAIN = ["train", "--set=data.name=folder", "--set=steps=2", "--set=checkpoints=1", "--set=batch.per_class=3",
         "--set=net.params={width: 4, depth: 1}", "--set=data.params={protocol: zero_shot}"]  # fmt: skip


def numbers(place: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in json.loads(place.read_text())]


def test_other_data_get_numbers_of_their_own(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under another root, and under the same one with its files replaced; the right values are those of a new folder."""

    def trained(root: Path, out: str) -> list[dict[str, object]]:
        monkeypatch.setenv("COLLAPSE_DATA", str(root))
        assert cli.run([*TRAIN, f"--out={tmp_path / out}", f"--json={tmp_path / 'a.json'}"]) == 0, capsys.readouterr()
        return numbers(tmp_path / "a.json")

    right = [trained(root, f"alone {root.name}") for root in data]
    assert right[0] != right[1]
    assert [trained(root, "together") for root in (*data, *data)] == right + right
    shutil.rmtree(data[0] / "folder")
    shutil.copytree(data[1] / "folder", data[0] / "folder")
    assert trained(data[0], "together") == right[1]
    rows = load(tmp_path / "together" / "store")
    assert rows["key"].nunique() == 1 and rows["inputs"].nunique() == 2
    capsys.readouterr()

    monkeypatch.setenv("COLLAPSE_DATA", "/nonexistent")
    for command in (TRAIN, ["bench", "--dataset=folder", "--seeds=1"]):
        assert cli.run([*command, f"--out={tmp_path / 'together'}"]) == 2
        out, err = capsys.readouterr()
        assert err.startswith("error: COLLAPSE_DATA: got '/nonexistent'") and err.count("\n") == 1
        assert "recall_at_1" not in out


def test_where_the_data_are_not_stored_runs_are_read_if_there_is_no_doubt(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = grid({**SMALL, "data.name": "folder", "save_embeddings": True}, {})[0]
    store = Store(tmp_path / "store")
    monkeypatch.setenv("COLLAPSE_DATA", str(data[0]))
    execute([config], store)
    here, embeddings = store.load([config]), store.arrays(config)
    monkeypatch.setenv("COLLAPSE_DATA", "/nonexistent")
    assert store.load([config]).equals(here)
    np.testing.assert_array_equal(store.arrays(config)["embeddings_test"], embeddings["embeddings_test"])
    monkeypatch.setenv("COLLAPSE_DATA", str(data[1]))
    assert store.load([config]).empty and not store.finished([config])
    execute([config], store)
    assert not np.array_equal(store.arrays(config)["embeddings_test"], embeddings["embeddings_test"])
    monkeypatch.setenv("COLLAPSE_DATA", "/nonexistent")
    for read in (lambda: store.load([config]), lambda: store.arrays(config)):
        with pytest.raises(InvalidInput, match="data.name: got 'folder'; allowed: data that are here: .*2 versions"):
            read()
    assert len(store.load()) == len(here) * 2


def test_data_that_change_while_runs_train_store_nothing(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLAPSE_DATA", str(data[0]))
    config = grid({**SMALL, "data.name": "folder"}, {})[0]

    def slowly(*arguments: object, **options: object) -> object:
        write_data(data[0], 7)
        return train(*arguments, **options)

    monkeypatch.setattr("sim.sweeps.executors.train", slowly)
    with pytest.raises(InvalidInput, match="the 1 runs just trained read others, and are not stored"):
        execute([config], Store(tmp_path / "store"))
    assert Store(tmp_path / "store").load().empty


def test_the_data_are_looked_at_once_a_call(data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from realdata import protocol

    monkeypatch.setenv("COLLAPSE_DATA", str(data[0]))
    asked: list[str] = []
    real = protocol.fingerprint

    def asking(name: str, **params: object) -> str:
        asked.append(name)
        return real(name, **params)

    monkeypatch.setattr(protocol, "fingerprint", asking)
    configs = grid({**SMALL, "data.name": "folder"}, {"seed": range(5), "noise.level": [0, 0.1]})
    assert len(set(inputs.of(configs).values())) == 1
    assert asked == ["folder"]


def test_a_problem_of_its_own_is_what_it_builds(tmp_path: Path, replace: Callable[..., None]) -> None:
    shift = [0.0]

    def shifted(seed: int) -> Problem:
        problem = build("rings", seed, samples_per_mode=8)
        return Problem(
            problem.train, type(problem.test)(problem.test.x + shift[0], problem.test.classes, problem.test.modes)
        )

    replace(PROBLEMS, "shifted", shifted)
    configs = grid({**SMALL, "data.name": "shifted"}, {"seed": range(2)})
    store = Store(tmp_path)
    before = inputs.of(configs)
    execute(configs, store)
    assert len(store.finished(configs)) == 2
    assert len({i.partition(".")[0] for i in before.values()}) == 1 and len(set(before.values())) == 2
    shift[0] = 1.0
    assert not store.finished(configs) and not set(inputs.of(configs).values()) & set(before.values())


PLUGIN = """
from sim.catalogue import SCHEDULES
from neighbour import factor

@SCHEDULES.register("own")
def own(progress):
    return factor
"""


def test_a_plugin_whose_code_changed_gets_new_numbers(tmp_path: Path) -> None:
    """Its own, and that of a module beside it that it imports."""
    (tmp_path / "own.py").write_text(PLUGIN)

    def losses(factor: str) -> list[dict[str, object]]:
        (tmp_path / "neighbour.py").write_text(f"factor = {factor}\n")
        command = [sys.executable, "-m", "sim.cli", "train", "--plugin=own.py", "--set=optimizer.schedule=own", "--seeds=2",
                   "--set=steps=3", "--set=checkpoints=1", "--set=batch.per_class=4", "--json=a.json",
                   "--set=data.params.samples_per_mode=8"]  # fmt: skip
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        end = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert end.returncode == 0, end.stderr
        return numbers(tmp_path / "a.json")

    whole, half = losses("1.0"), losses("0.125")
    assert [row["seed"] for row in whole] == [row["seed"] for row in half] == [0, 1]
    assert all(a["within_mean"] != b["within_mean"] for a, b in zip(whole, half, strict=True))
    assert load(tmp_path / "results" / "store").groupby("key")["inputs"].nunique().tolist() == [2, 2]


def test_built_in_runs_depend_on_their_configuration_only() -> None:
    configs = grid(
        SMALL, {"loss.name": ["triplet", "npair"], "positive": ["easy", "k_easy:3"], "robust.name": ["none"]}
    )
    assert set(inputs.of(configs).values()) == {""}


def test_means_are_not_taken_over_different_data(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "out" / "store")
    configs = grid({**SMALL, "data.name": "folder"}, {"seed": range(4)})
    for root, chosen in zip(data, (configs[:2], configs[2:]), strict=True):
        monkeypatch.setenv("COLLAPSE_DATA", str(root))
        value = {"recall_at_1": 0.25 if root == data[0] else 0.75}
        store.add([RunResult(c, rows=[{"step": 2, "split": "test", "loss": 1.0, **value}]) for c in chosen], 1.0)
    with closing(sqlite3.connect(store.folder / INDEX)) as db, db:
        assert db.execute("SELECT COUNT(*) FROM runs WHERE inputs != ''").fetchone() == (4,)
    assert cli.run(["results", f"--out={tmp_path / 'out'}"]) == 0
    out = capsys.readouterr().out
    assert "4 runs (4 done), 4 rows" in out and "inputs" in out
    assert "0.25" in out and "0.75" in out and "0.5 " not in out


OLD = """
CREATE TABLE runs (
    key TEXT PRIMARY KEY, config TEXT NOT NULL, status TEXT NOT NULL, diverged_at INTEGER, seconds REAL, finished TEXT
);
CREATE TABLE rows (
    key TEXT NOT NULL REFERENCES runs(key), step INTEGER NOT NULL, split TEXT NOT NULL, metrics TEXT NOT NULL,
    PRIMARY KEY (key, step, split)
);
"""


def test_a_store_of_the_first_release_counts_for_what_it_is(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generators' and digits' runs as they are; other data's for nothing; a run that lacks rows or arrays is named."""
    monkeypatch.setenv("COLLAPSE_DATA", str(data[0]))
    drawn, digits, folder = (
        [c] for c in grid({**SMALL, "save_embeddings": True}, {"data.name": ["rings", "digits", "folder"]})
    )
    short, bare = grid({**SMALL, "save_embeddings": True}, {"seed": [8, 9]})
    with closing(sqlite3.connect(tmp_path / INDEX)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(OLD)
        for config in (*drawn, *digits, *folder, short, bare):
            key = config.key()
            db.execute(
                "INSERT INTO runs VALUES (?, ?, 'done', NULL, 1.5, '2025-01-01')", (key, config.model_dump_json())
            )
            for step in (0, 2)[: 1 if config is short else 2]:
                db.execute("INSERT INTO rows VALUES (?, ?, 'test', ?)", (key, step, json.dumps({"loss": 0.5 + step})))
            if config is not bare:
                place = tmp_path / "arrays" / key[:2] / f"{key}.npz"
                place.parent.mkdir(parents=True, exist_ok=True)
                np.savez(place, embeddings_test=np.full((3, 2), config.seed))
        db.execute("INSERT INTO rows VALUES ('orphan', 0, 'test', '{}')")
    before = (tmp_path / INDEX).read_bytes()
    with pytest.warns(UserWarning, match="is of an earlier version: 3 runs are kept, 2 of them can't be read"):
        store = Store(tmp_path)
    assert next(tmp_path.glob("index.version-0-*.sqlite")).read_bytes() == before
    store = Store(tmp_path)
    configs = [*drawn, *digits, *folder, short, bare]
    assert store.finished(configs) == {c.key() for c in (*drawn, *digits)}
    rows = store.load([*drawn, *digits])
    assert rows["loss"].tolist() == [0.5, 2.5] * 2 and set(rows["schema"]) == {1}
    assert store.arrays(digits[0])["embeddings_test"].shape == (3, 2)
    assert set(store.load()["inputs"]) == {"", inputs.UNKNOWN, inputs.of(digits)[digits[0].key()]}
    monkeypatch.setenv("COLLAPSE_DATA", "/nonexistent")
    assert store.load(folder).empty


SCRIPT = """
import sys
from sim.catalogue import SCHEDULES
from sim.config import RunConfig
from sim.sweeps import inputs

scale = {scale}

def helper(progress):
    return scale * progress

@SCHEDULES.register("own")
def own(progress):
    return helper(progress)

unrelated = {unrelated}
print(*inputs.of([RunConfig.model_validate({{"optimizer": {{"schedule": "own"}}}})]).values())
"""


def test_a_script_s_own_entries_are_their_code(tmp_path: Path) -> None:
    """What it uses counts, from a file and from text; what it doesn't use, a comment or a blank line, doesn't."""
    texts = [SCRIPT.format(scale=s, unrelated=u) for s, u in ((1.0, 0), (1.0, "5\n\n# a comment"), (2.0, 0))]
    texts.append(texts[0].replace("scale * progress", "scale + progress"))
    texts.append(texts[0].replace("\nscale", "\n\nscale"))
    program = "import runpy, sys\nfor n in range(5):\n    exec(compile(open(f'{n}.py').read(), f'{n}.py', 'exec'), globals())\n"
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    end = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert end.returncode == 0, end.stderr
    found = end.stdout.split()
    assert found[0] == found[1] == found[4] and len(set(found)) == 3
    alone = subprocess.run(
        [sys.executable, "0.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert alone.stdout.split() == found[:1]


def test_features_depend_on_the_weights(
    tmp_path: Path, data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from realdata import backbones
    from sim.catalogue import BACKBONES

    monkeypatch.setenv("COLLAPSE_DATA", str(data[0]))
    weights = tmp_path / "weights.bin"
    net = backbones.backbone("small_conv")
    config = RunConfig.model_validate({"data": {"name": "folder", "params": {"features": "own"}}})
    found = []
    with BACKBONES.replaced("own", lambda: backbones.Backbone("own", (weights,), net.preprocessing, net.build)):
        for content in (b"1", b"2", b"1"):
            weights.write_bytes(content)
            found += inputs.of([config]).values()
    assert found[0] == found[2] != found[1]
