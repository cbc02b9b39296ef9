"""Every executor stores each run once, whatever happens to its workers, and a killed sweep goes on where it was."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest

from sim.catalogue import EXECUTORS
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.sweeps import spec, store
from sim.sweeps.execute import execute, groups
from sim.sweeps.executors import Done, Group, OnSteps, Resources
from sim.sweeps.store import Store

TINY = """\
base:
  data.params: {{samples_per_mode: 8, modes_per_class: 2}}
  batch.per_class: 4
  net.params: {{width: 8, depth: 1}}
  steps: {steps}
  checkpoints: 1
grid:
  positive: [random, easy]
  noise.level: [0, 0.1, 0.2, 0.3, 0.4]
seeds: {seeds}
"""


def tiny(seeds: int, steps: int = 4) -> list[RunConfig]:
    return spec.read(TINY.format(seeds=seeds, steps=steps))


def assert_whole(folder: Path, configs: Sequence[RunConfig]) -> None:
    """Every run there exactly once with all its rows, and the index sound."""
    with closing(sqlite3.connect(folder / store.INDEX)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    table = store.load(folder)
    assert sorted(table["key"].unique()) == sorted(c.key() for c in configs)
    assert set(table.groupby("key").size()) == {2}
    assert not table.duplicated(["key", "step", "split"]).any()
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("executor", list(EXECUTORS))
def test_executors_give_the_same_results(executor: str, tmp_path: Path) -> None:
    configs = tiny(2)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    execute(configs, here)
    steps: list[int] = []
    execute(configs, there, executor=executor, resources=Resources(workers=2), on_steps=steps.append)
    assert sum(steps) == 4 * len(configs)
    assert_whole(tmp_path / "there", configs)
    columns = ["key", "step", "within_mean", "recall_at_1"]
    a, b = (s.load()[columns].sort_values(["key", "step"]) for s in (here, there))
    assert list(a["key"]) == list(b["key"])
    np.testing.assert_allclose(a[columns[2:]], b[columns[2:]], rtol=1e-3)


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_killed_worker_costs_no_run(executor: str, tmp_path: Path) -> None:
    configs = tiny(4, steps=600)
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 280
        while not killed and time.monotonic() < deadline:
            for child in psutil.Process().children(recursive=True):
                # A cluster also starts processes that end at once: they may be gone by now.
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "spawn_main" in " ".join(child.cmdline()) and len(store.load(tmp_path)):
                        child.kill()
                        killed.append(child.pid)
                        return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    execute(configs, Store(tmp_path), executor=executor, resources=Resources(workers=2))
    killer.join()
    assert killed
    assert_whole(tmp_path, configs)


def _survives_kill_9(configs: list[RunConfig], text: str, folder: Path, kills: int, at_least: int) -> None:
    place = folder / "spec.yaml"
    place.write_text(text)
    command = [sys.executable, "-m", "sim.cli", "sweep", str(place), "--out", str(folder)]
    command += ["--executor", "processes", "--workers", "2"]
    interrupted = 0
    for _ in range(kills):
        before = len(store.load(folder / "store")) if (folder / "store").exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        children: list[psutil.Process] = []
        while process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True) or children
            if (folder / "store" / store.INDEX).exists() and len(store.load(folder / "store")) >= before + at_least:
                process.send_signal(signal.SIGKILL)
                interrupted += process.wait() == -signal.SIGKILL
                break
            time.sleep(0.02)
        # No worker outlives its parent.
        _, alive = psutil.wait_procs(children, timeout=120)
        assert not alive
    assert interrupted
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert_whole(folder / "store", configs)


def test_a_sweep_survives_kill_9(tmp_path: Path) -> None:
    text = TINY.format(seeds=32, steps=300)
    _survives_kill_9(spec.read(text), text, tmp_path, kills=2, at_least=1)


SLOW_IMPORT = """
import pathlib, sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    class Slow:
        def find_spec(name, *_):
            if name == "{module}":
                pathlib.Path(r"{marker}").touch()
                time.sleep(600)
    sys.meta_path.insert(0, Slow)
"""


@pytest.mark.parametrize(("executor", "module"), [("processes", "torch"), ("dask", "distributed")])
def test_workers_that_still_import_end_with_a_killed_parent(executor: str, module: str, tmp_path: Path) -> None:
    marker = tmp_path / "importing"
    (tmp_path / "spec.yaml").write_text(TINY.format(seeds=2, steps=4))
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT.format(module=module, marker=marker))
    command = [sys.executable, "-m", "sim.cli", "sweep", "spec.yaml", "--executor", executor, "--workers", "1"]
    path = os.pathsep.join(filter(None, [str(tmp_path), *sys.path]))
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL)
    while process.poll() is None and not marker.exists():
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert children
    _, alive = psutil.wait_procs(children, timeout=120)
    for left in alive:
        left.kill()
    assert not alive


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_cluster_leaves_no_folder(how: signal.Signals, tmp_path: Path) -> None:
    """After a killed run the next one cleans up."""
    (tmp_path / "spec.yaml").write_text(TINY.format(seeds=2, steps=2000))
    (tmp_path / "short.yaml").write_text(TINY.format(seeds=1, steps=1))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def start(spec_file: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "sim.cli", "sweep", spec_file, "--executor", "dask", "--workers", "1"]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **streams)

    process = start("spec.yaml")
    while process.poll() is None and not list(scratch.glob("collapse-dask-*/*/worker*")):
        time.sleep(0.05)
    process.send_signal(how)
    _, errors = process.communicate(timeout=280)
    if how == signal.SIGTERM:
        assert process.returncode == 143
        assert errors.strip() == "interrupted; what is finished is kept, and the same command goes on from there"
    else:
        assert list(scratch.glob("collapse-dask-*"))
        assert start("short.yaml").wait(timeout=280) == 0
    assert not list(scratch.glob("*dask*"))


def test_a_cluster_that_was_killed_at_its_end_leaves_no_folder_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its results are stored: the next command has nothing to train, and cleans up all the same."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    configs, place = tiny(1, 1), Store(tmp_path / "store")
    execute(configs, place)
    (tmp_path / "collapse-dask-left" / "dask-scratch-space").mkdir(parents=True)
    execute(configs, place, executor="dask")
    assert not list(tmp_path.glob("*dask*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_runs_survive_kill_9(tmp_path: Path) -> None:
    text = TINY.format(seeds=100, steps=60)
    _survives_kill_9(spec.read(text), text, tmp_path, kills=4, at_least=60)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    place = tmp_path / "spec.yaml"
    place.write_text(TINY.format(seeds=64, steps=900))
    command = [sys.executable, "-m", "sim.cli", "sweep", str(place), "--out", str(tmp_path)]
    command += ["--executor", "processes", "--workers", "2"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background of a shell Ctrl-C is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None:
        if (tmp_path / "store" / store.INDEX).exists() and len(store.load(tmp_path / "store")):
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
            break
        time.sleep(0.02)
    _, errors = process.communicate(timeout=280)
    assert process.returncode == 130
    assert errors.strip() == "interrupted; what is finished is kept, and the same command goes on from there"
    assert 0 < store.load(tmp_path / "store")["key"].nunique() < 640


def test_workers_that_keep_dying_end_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.sweeps.pool.Worker.work", _die)
    with pytest.raises(InvalidInput, match="workers died 3 times in a row"):
        execute(tiny(1), Store(tmp_path), executor="processes", resources=Resources(workers=1))


def test_a_worker_killed_as_it_starts_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool then fails in its own way: it writes to a process that has gone."""
    submit, failed = ProcessPoolExecutor.submit, []

    def fail_once(pool: ProcessPoolExecutor, *arguments: object) -> object:
        if not failed:
            failed.append(pool)
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        return submit(pool, *arguments)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", fail_once)
    configs = tiny(1)
    execute(configs, Store(tmp_path), executor="processes", resources=Resources(workers=1))
    assert failed
    assert_whole(tmp_path, configs)


def test_a_dask_cluster_without_workers_ends_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr("sim.sweeps.executors.dask.PATIENCE", 1.0)
    with LocalCluster(n_workers=0, dashboard_address=None, silence_logs="CRITICAL") as cluster:
        resources = Resources(scheduler=cluster.scheduler_address)
        with pytest.raises(InvalidInput, match="workers that stay alive"):
            execute(tiny(1), Store(tmp_path), executor="dask", resources=resources)


def _die(function: object, part: object) -> Done:
    os._exit(1)


def test_bad_resources_are_refused(tmp_path: Path) -> None:
    configs = tiny(1)
    with pytest.raises(InvalidInput, match="executor: got 'slurm'; allowed: one of local, processes, dask"):
        execute(configs, Store(tmp_path), executor="slurm")
    with pytest.raises(InvalidInput, match="workers: got 0; allowed: an integer >= 1"):
        execute(configs, Store(tmp_path), executor="processes", resources=Resources(workers=0))


def test_groups_leave_work_for_every_worker(tmp_path: Path) -> None:
    seen: list[int] = []

    def count(parts: Sequence[Group], resources: Resources, on_steps: OnSteps) -> Iterator[Done]:
        seen.extend(map(len, parts))
        return iter(())

    configs = tiny(4)
    with EXECUTORS.replaced("counting", count):
        execute(configs, Store(tmp_path), executor="counting", resources=Resources(workers=2))
    assert sum(seen) == 40
    assert max(seen) <= 10
    assert max(map(len, groups(configs))) == 20
