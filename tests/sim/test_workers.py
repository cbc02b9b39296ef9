"""Workers know what their parent knows: plugins, what a script or a notebook registered, and real data sets."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest

PLUGIN = '''
import torch
from sim.catalogue import GENERATORS, LOSSES, NETS, OPTIMIZERS, POSITIVES, NEGATIVES
from sim.generators import generator
from sim.losses.base import TupleLoss
from sim.losses.triplet import Triplet
from sim.metrics.base import metric
from sim.nets.mlp import MLP
from sim.noise import class_conditional, symmetric
from sim.optim import SGD
from sim.samplers.policies import Policy, nearest

@LOSSES.register("own_loss")
class Own(Triplet):
    """Triplet under another name."""

POSITIVES.register("own_positive")(Policy(lambda batch, _: nearest(batch.distances, batch.same)))
NEGATIVES.register("own_negative")(Policy(lambda batch, _: NEGATIVES["hard"].choose(batch, None)))

@generator()
def own_generator(layout):
    """Everything on a line."""
    return layout.embed(layout.blur(torch.stack([torch.from_numpy(layout.cell), torch.from_numpy(layout.classes)], 1).double().numpy()))

@class_conditional("own_noise")
def own_noise(t, level):
    return symmetric(t, 1 - level)

@metric()
def own_metric(runs):
    return runs.x.flatten(1).abs().amax(1)

NETS.register("own_net")(MLP)

@OPTIMIZERS.register("own_optimizer")
class Slow(SGD):
    momentum = 0.5
'''

SPEC = """
base:
  data: {name: own_generator, params: {samples_per_mode: 8, modes_per_class: 2}}
  noise: {kind: own_noise}
  loss.name: own_loss
  positive: own_positive
  negative: own_negative
  net: {kind: own_net, params: {width: 8, depth: 1}}
  optimizer.name: own_optimizer
  batch.per_class: 4
  steps: 4
  checkpoints: 1
grid:
  noise.level: [0, 0.2]
seeds: 2
"""

MAIN = "from sim.cli import main; main()"


def python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def rows(place: Path) -> pd.DataFrame:
    return pd.read_csv(place, comment="#")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    place = tmp_path / "own.py"
    place.write_text(PLUGIN)
    return place


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_plugin_reaches_the_workers(executor: str, plugin: Path) -> None:
    """Named by an option here and by the variable there; the same rows, the user's metric among them."""
    folder = plugin.parent
    sweep = ("sweep", "spec.yaml", "--workers=2")
    here = python(folder, "-c", MAIN, *sweep, "--executor=local", "--csv=here.csv", "--out=a", "--plugin=own.py")
    assert here.returncode == 0, here.stderr
    there = python(
        folder, "-c", MAIN, *sweep, f"--executor={executor}", "--csv=there.csv", "--out=b", COLLAPSE_PLUGINS=str(plugin)
    )
    assert there.returncode == 0, there.stderr
    a, b = rows(folder / "here.csv"), rows(folder / "there.csv")
    assert len(a) == 4 and list(a.columns) == list(b.columns) and a["own_metric"].notna().all()
    pd.testing.assert_frame_equal(a, b, rtol=1e-3)


RUN = """
    import tempfile
    from sim.sweeps import spec
    from sim.sweeps.execute import execute
    from sim.sweeps.executors import Resources
    from sim.sweeps.store import Store

    def run(executor):
        store = Store(tempfile.mkdtemp())
        execute(spec.load("spec.yaml"), store, executor=executor, resources=Resources(workers=2))
        print(sorted(store.load()["own_metric"].dropna().round(3).tolist()))
"""


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_what_a_script_registers_reaches_the_workers(executor: str, plugin: Path) -> None:
    """From a file, which workers don't run again, so that it needs no guard, and from text."""
    folder, body = plugin.parent, PLUGIN + textwrap.dedent(RUN)
    (folder / "script.py").write_text(f'{body}\nrun("{executor}")\n')
    from_file = python(folder, "script.py")
    from_text = python(folder, "-c", f'{body}\nrun("{executor}")')
    local = python(folder, "-c", f'{body}\nrun("local")')
    for end in (from_file, from_text, local):
        assert end.returncode == 0, end.stderr
    assert from_file.stdout == from_text.stdout
    assert len(local.stdout.split(",")) == 8
    assert [float(v) for v in local.stdout.strip("[]\n").split(",")] == pytest.approx(
        [float(v) for v in from_text.stdout.strip("[]\n").split(",")], abs=2e-3
    )


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_real_data_reach_the_workers_of_text_without_a_file(executor: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        "base: {data.name: digits, data.params: {limit: 12, test_limit: 6}, steps: 2, checkpoints: 1, batch.per_class: 4}\nseeds: 2\n"
    )
    end = python(tmp_path, "-c", MAIN, "sweep", "spec.yaml", f"--executor={executor}", "--workers=2")
    assert end.returncode == 0, end.stderr
    assert "2 runs, 0 of them" in end.stdout


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_plugin_that_workers_cannot_load_is_named(executor: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("base: {steps: 2, checkpoints: 1, batch.per_class: 4}\n")
    (tmp_path / "here_only.py").write_text(
        "import multiprocessing, os\nif multiprocessing.parent_process() is not None or 'DASK_PARENT' in os.environ:\n"
        "    raise OSError('not here')\n"
    )
    end = python(
        tmp_path, "-c", MAIN, "sweep", "spec.yaml", f"--executor={executor}", "--workers=1", "--plugin=here_only.py"
    )
    assert end.returncode == 2
    assert end.stderr == (
        "error: plugin: got 'here_only.py'; allowed: a module or file that can be imported (OSError: not here)\n"
    )


def test_a_dask_worker_without_the_package_is_named(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    (tmp_path / "spec.yaml").write_text("base: {steps: 2, checkpoints: 1, batch.per_class: 4}\n")
    # What a worker's environment lacks: looked for in vain, as where nothing is installed.
    (tmp_path / "lacking.py").write_text(
        "import sys\n\n\nclass Lacking:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('sim', 'realdata', 'figures'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n\n\n"
        "sys.meta_path.insert(0, Lacking())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    file = tmp_path / "scheduler.json"
    quiet = {"cwd": tmp_path, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--port=0",
            "--no-dashboard",
            "--host=127.0.0.1",
            f"--scheduler-file={file}",
        ],
        **quiet,
    )
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_worker",
            f"--scheduler-file={file}",
            "--no-nanny",
            "--no-dashboard",
            "--preload=lacking",
            "--nthreads=1",
        ],
        **quiet,
    )
    try:
        address = python(tmp_path, "-c", WAIT, str(file)).stdout.strip()
        end = python(tmp_path, "-c", MAIN, "sweep", "spec.yaml", "--executor=dask", f"--scheduler={address}")
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()
    assert end.returncode == 2
    assert end.stderr.count("\n") == 1
    assert "workers in whose environment class-collapse" in end.stderr and "No module named 'sim'" in end.stderr


WAIT = """
import json, sys, time
from distributed import Client
for _ in range(2000):
    try:
        address = json.load(open(sys.argv[1]))["address"]
        break
    except (OSError, ValueError):
        time.sleep(0.1)
with Client(address) as client:
    client.wait_for_workers(1)
print(address)
"""
