"""CONTRIBUTING.md does what it says: its recipes as a package outside the repository, run through every command and executor."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"```python\n# my_package/(\w+)\.py\n(.*?)```", TEXT, re.S))
COMMANDS = [shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]
GROUPS = {
    "loss": "losses", "positive": "positives", "negative": "negatives", "generator": "generators", "noise": "noise", "metric": "metrics",
    "net": "nets", "optimizer": "optimizers", "claim": "claims", "dataset": "datasets",
}  # fmt: skip

SMALL = ["--set=steps=4", "--set=checkpoints=1", "--set=batch.per_class=4", "--set=data.params.samples_per_mode=8"]

SPEC = """
base:
  data: {name: my_generator, params: {samples_per_mode: 8}}
  noise: {kind: my_noise, level: 0.2}
  loss.name: my_loss
  positive: my_positive
  negative: my_negative
  net.kind: my_net
  optimizer.name: my_optimizer
  batch.per_class: 4
  steps: 3
  checkpoints: 1
seeds: 3
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed as pip would leave it: its folder, and metadata with entry points."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "my_package").mkdir()
    (folder / "my_package" / "__init__.py").write_text("")
    for name, text in RECIPES.items():
        (folder / "my_package" / f"{name}.py").write_text(text)
    metadata = folder / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    points = [f"[class_collapse.{group}]\nx = my_package.{name}\n" for name, group in GROUPS.items()]
    points += ["[class_collapse.studies]\nx = my_package.figure\n", "[class_collapse.figures]\nx = my_package.figure\n"]
    (metadata / "entry_points.txt").write_text("".join(points))
    return folder


def collapse(site: Path, folder: Path, *arguments: str) -> str:
    code = "from sim.cli import main; main()"
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    end = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert end.returncode == 0, end.stderr
    return end.stdout


def test_there_is_a_recipe_and_a_command_for_each_thing() -> None:
    assert set(RECIPES) == {*GROUPS, "figure"}
    assert len(COMMANDS) == len(RECIPES) and all(c[0] == "collapse" for c in COMMANDS)
    for name in RECIPES:
        assert "Test: " in TEXT.split(f"# my_package/{name}.py")[1].split("\n###")[0]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c[1:4]))
def test_the_command_of_a_recipe(command: list[str], site: Path, tmp_path: Path) -> None:
    small = SMALL if command[1] == "train" else []
    out = collapse(site, tmp_path, *command[1:], *small)
    if command[1] == "train":
        assert "1 of 1 runs" in out and "my_metric" in out
    if command[1] == "verify":
        assert "holds" in out and "fails: p = 0.9" in out
    if command[1] == "figures":
        assert (tmp_path / "results" / "figures" / "my_figure.pdf").stat().st_size > 1000
    if command[1] == "bench":
        assert "Recall@1 on fine labels is greater with easy than with random positives" in out


@pytest.mark.parametrize("executor", ["local", "processes", "dask"])
def test_everything_together_in_a_sweep(executor: str, site: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    collapse(site, tmp_path, "sweep", "spec.yaml", f"--executor={executor}", "--workers=2", "--csv=rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv", comment="#")
    assert len(rows) == 3 and rows["my_metric"].gt(0).all() and rows["loss"].notna().all()
    assert set(rows["positive"]) == {"my_positive"}
