"""Every size of a disk that fills while a store's index is made or mended: an error, and afterwards all runs; never a broken index."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.sweeps.store import INDEX, Store
from sim.training import RunResult
from tests.trust.faults import ROOT, own_mounts

RUNS = 12
PAGE = 4096
LARGEST = 64
"""Pages of the largest disk, on which everything has room."""


def stored(folder: Path) -> None:
    rows = [{"step": step, "split": "test", "recall_at_1": step / 8, "text": "x" * 500} for step in range(3)]
    Store(folder).add([RunResult(RunConfig(seed=seed), rows=rows) for seed in range(RUNS)], 1.0)


def sound(folder: Path) -> int:
    """The number of a store's runs, each of which is whole; one that opens without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Store(folder).load()
    with closing(sqlite3.connect(folder / INDEX)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert table.empty or table.groupby("seed").size().tolist() == [3] * table["seed"].nunique()
    return 0 if table.empty else int(table["seed"].nunique())


def on_every_disk(disk: Path, source: Path | None) -> dict[str, int]:
    """Open a store, new or a copy of one, on disks of 2 to `LARGEST` pages; how often that failed and didn't."""
    outcomes = {"refused": 0, "opened": 0, "in several lines": 0}
    expected = 0 if source is None else RUNS
    for pages in range(2, LARGEST + 1):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "none", disk], check=True)
        folder = disk / "store"
        try:
            if source is not None:
                shutil.copytree(source, folder)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                Store(folder)
            outcomes["opened"] += 1
        except InvalidInput as error:
            outcomes["refused" if "\n" not in str(error) else "in several lines"] += 1
        except OSError:  # the copy itself had no room
            subprocess.run(["umount", disk], check=True)
            continue
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Store(folder)
        assert sound(folder) == expected, f"{pages} pages"
        stored(folder)
        assert sound(folder) == RUNS, f"{pages} pages"
        subprocess.run(["umount", disk], check=True)
    return outcomes


@pytest.mark.parametrize("kind", ["new", "damaged"])
def test_a_disk_of_any_size_that_fills_costs_no_run(tmp_path: Path, kind: str) -> None:
    if (command := own_mounts()) is None:
        pytest.skip("needs unshare and mount")
    source = tmp_path / "source"
    if kind == "damaged":
        stored(source)
        content = bytearray((source / INDEX).read_bytes())
        content[:100] = bytes(100)
        (source / INDEX).write_bytes(content)
    (tmp_path / "disk").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    arguments = [sys.executable, "-m", "tests.sim.test_full_disk", str(tmp_path / "disk")]
    arguments += [str(source)] if kind == "damaged" else []
    end = subprocess.run([*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr
    refused, opened, unclear = map(int, end.stdout.split())
    assert refused > 1 and opened > 1 and not unclear


if __name__ == "__main__":
    print(*on_every_disk(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None).values())
