"""Registries fill themselves, from inside and outside, whatever is imported first; and name who is to blame."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sim import cli
from sim.catalogue import CLAIMS, COMMANDS, FIGURES, LOSSES, METRICS, NOISE_KINDS, POSITIVES
from sim.errors import InvalidInput
from sim.registry import Registry


def fresh(code: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process, which has imported nothing."""
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.parametrize(
    ("look_up", "found"),
    [
        ("from sim.problems import build; print(build('digits', 0, limit=5, test_limit=5).train.n)", "50"),
        ("from sim.catalogue import STUDIES; print('digits' in STUDIES)", "True"),
        ("from sim.catalogue import LOSSES; print(LOSSES['npair'].__module__)", "sim.losses.tuplet"),
        ("from sim.catalogue import RECORDED; print('mnist' in RECORDED)", "True"),
        ("from sim.catalogue import BACKBONES; print(BACKBONES['small_conv']().name)", "small_conv"),
    ],
)
def test_nothing_has_to_be_imported_first(look_up: str, found: str) -> None:
    end = fresh(look_up)
    assert end.stdout.strip() == found, end.stderr


def test_order_does_not_depend_on_what_is_imported_first() -> None:
    code = (
        "import {}; from sim.catalogue import CLAIMS, LOSSES, METRICS; print(list(CLAIMS), list(LOSSES), list(METRICS))"
    )
    ends = [
        fresh(code.format(first)).stdout
        for first in ("sim", "sim.theory.claims.c10, sim.losses.triplet, sim.metrics.spread")
    ]
    assert ends[0] == ends[1] == f"{list(CLAIMS)} {list(LOSSES)} {list(METRICS)}\n"


HEAVY = {"torch", "scipy", "pandas", "sklearn", "statsmodels", "numba"}


def loaded_by(commands: list[str]) -> set[str]:
    """The modules of a fresh process after these command lines."""
    code = (
        "import contextlib, io, sys; from sim.cli import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    codes = [run(command.split()) for command in {commands!r}]\n"
        "print(*codes, *sys.modules)"
    )
    found = fresh(code).stdout.split()
    assert set(found[: len(commands)]) <= {"0", "2"}
    return set(found[len(commands) :])


def test_lists_wait_for_nothing_heavy() -> None:
    assert not HEAVY & loaded_by(["figures --list", "sweep --list", "explore --preset=list"])


def test_help_and_bad_options_wait_for_none_of_the_libraries_that_results_need() -> None:
    asked = ["", "--help", "--version", "no-such-command", "train --no-such-option", "train --seed=x", "data"]
    helps = [f"{command} --help" for command in COMMANDS]
    forbidden = HEAVY | {"numpy", "matplotlib", "rich", "PIL", "filelock", "requests", "pooch"}
    assert not forbidden & loaded_by(asked + helps)


def test_late_entries_are_known_everywhere(replace) -> None:
    """A generator after `sim.config` was imported, a softmax loss for `bootstrap`, a metric for `evaluate`."""
    end = fresh(
        """
from sim.config import RunConfig, parse
from sim.catalogue import LOSSES
from sim.generators import generator
from sim.losses.softmax import Softmax
from sim.metrics import evaluate
from sim.metrics.base import metric
import numpy as np

@generator()
def late(layout):
    return layout.blur(np.stack([layout.cell, layout.classes], 1).astype(float))

@LOSSES.register("late_softmax")
class Late(Softmax):
    pass

@metric()
def late_metric(runs):
    return runs.x[:, 0, 0]

@metric(columns=lambda options: ["late_a", "late_b"])
def late_pair(runs):
    return runs.x[:, 0, :2]

parse(RunConfig, {"data": {"name": "late"}, "loss": {"name": "late_softmax"}, "robust": {"name": "bootstrap"},
                  "positive": "all", "negative": "all"}).check()
found = evaluate(np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), heavy=False)
print(list(found)[-3:], [found[k] for k in list(found)[-3:]])
print(late_metric(np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1])).item())
"""
    )
    assert end.stdout == "['late_metric', 'late_a', 'late_b'] [0.0, 0.0, 1.0]\n0.0\n", end.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'"),
        ("def (\n", "SyntaxError: "),
        ("raise SystemExit(0)\n", "SystemExit: 0"),
        (
            "from sim.catalogue import LOSSES\nLOSSES.register('triplet')(object)\n",
            "loss 'triplet'; allowed: a name that is free (sim.losses.triplet registers it, too)",
        ),
        (
            "from sim.catalogue import POSITIVES\nPOSITIVES.family('k_easy', 'K')(lambda f, n: None)\n",
            "positive 'k_easy:K'; allowed: a name that is free (sim.samplers.positives registers it, too)",
        ),
    ],
)
@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_bad_plugin_is_one_line(text: str, reason: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(text)
    call = ["train", "--set=steps=1"] + (["--plugin=bad.py"] if way == "option" else [])
    variable = {"COLLAPSE_PLUGINS": "bad.py"} if way == "variable" else {}
    end = fresh(f"import sys; from sim.cli import run; sys.exit(run({call!r}))", tmp_path, **variable)
    assert end.returncode == 2
    assert end.stderr.count("\n") == 1 and end.stderr.startswith("error: plugin") and "bad.py" in end.stderr
    assert reason.replace("'", "") in end.stderr.replace("'", "").replace('"', "").replace("\\", "")


def test_two_plugins_with_one_name_are_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            "from sim.catalogue import PRESETS\nPRESETS.register('my preset')({'noise': 0.1})\n"
        )
    end = fresh(
        "import sys; from sim.cli import run; sys.exit(run(['explore', '--preset=list', '--plugin=one.py', '--plugin=two.py']))",
        tmp_path,
    )
    assert end.returncode == 2
    assert "plugin: got 'two.py'" in end.stderr and "one.py registers it, too" in end.stderr
    fine = fresh(
        "import sys; from sim.cli import run; sys.exit(run(['explore', '--preset=list', '--plugin=one.py']))", tmp_path
    )
    assert fine.returncode == 0 and fine.stdout.splitlines()[-1] == "my preset"


def test_an_absent_plugin_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sweep", "--list", "--plugin=not/here.py"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: plugin: got 'not/here.py'; allowed: a Python file that can be read"
    )
    # Said once: the session goes on without it.
    assert cli.run(["sweep", "--list"]) == 0 and "triplet" in LOSSES


def test_entry_points_of_installed_packages(tmp_path: Path) -> None:
    """A distribution on the path whose metadata name a module: found without being imported, and named if it is broken."""
    site = tmp_path / "site"
    (site / "other-1.0.dist-info").mkdir(parents=True)
    (site / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    points = "[class_collapse.noise]\nquiet = other_noise\n[class_collapse.figures]\nbroken = other_figure\n"
    (site / "other-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "other_noise.py").write_text(
        "from sim.noise import class_conditional, symmetric\n\n\n@class_conditional('quiet')\n"
        "def quiet(t, level):\n    return symmetric(t, 1 - level / 2)\n"
    )
    import os

    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    code = "from sim.catalogue import {0}; print(list({0})[-1])"
    assert fresh(code.format("NOISE_KINDS"), PYTHONPATH=path).stdout == "quiet\n"
    end = fresh("import sys; from sim.cli import run; sys.exit(run(['figures', '--list']))", PYTHONPATH=path)
    assert end.returncode == 2
    assert end.stderr == (
        "error: plugin: got 'other_figure (figures)'; allowed: a module or file that can be imported "
        "(ModuleNotFoundError: No module named 'other_figure')\n"
    )


def test_a_cell_that_runs_again_replaces_its_own() -> None:
    end = fresh(
        "from sim.catalogue import PRESETS\nfor k in (1, 2):\n    PRESETS.register('mine')({'seed': k})\nprint(PRESETS['mine'])"
    )
    assert end.stdout == "{'seed': 2}\n", end.stderr


def test_replaced_entries_come_back() -> None:
    before = NOISE_KINDS["symmetric"]
    with NOISE_KINDS.replaced("symmetric", NOISE_KINDS["pair_flip"]), NOISE_KINDS.replaced("new", before):
        assert NOISE_KINDS["symmetric"] is not before and "new" in NOISE_KINDS
    assert NOISE_KINDS["symmetric"] is before and "new" not in NOISE_KINDS


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(
        InvalidInput, match=r"positive: got 'far'; allowed: one of all, random, .*k_easy:K, easy_within:D"
    ):
        POSITIVES["far"]
    assert "k_easy:2" in POSITIVES and "k_easy" not in POSITIVES


def test_every_registry_has_a_group_of_its_own() -> None:
    groups = [r.group for r in Registry.every if r.homes]
    assert len(groups) == len(set(groups))
    wanted = {
        "losses",
        "positives",
        "negatives",
        "generators",
        "noise",
        "nets",
        "optimizers",
        "metrics",
        "claims",
        "studies",
    }
    wanted |= {"figures", "datasets", "backbones", "presets", "executors", "commands"}
    assert wanted <= set(groups)
    assert all(len(list(r)) for r in Registry.every if r.homes) and len(FIGURES) > 10
