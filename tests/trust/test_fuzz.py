"""A few hundred hostile inputs; ten thousand with the slow tests. The script runs by itself: it has its own clock and guards."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sim.errors import InvalidInput
from tests.trust import fuzz

ROOT = Path(__file__).parents[2]


def counted(inputs: int) -> list[int]:
    """Inputs, accepted, refused and faults of all layers."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.trust.fuzz", f"--inputs={inputs}", "--seed=0"]
    end = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout[-20_000:] + end.stderr[-2000:]
    return [int(x) for x in re.findall(r"^all +(\d+) +(\d+) +(\d+) +(\d+)$", end.stdout, re.MULTILINE)[0]]


def test_hostile_inputs_work_or_are_refused() -> None:
    inputs, accepted, refused, faults = counted(300)
    assert inputs == accepted + refused > 250 and accepted and refused and not faults


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_hostile_inputs() -> None:
    assert counted(10_000)[3] == 0


def test_faults_are_seen(tmp_path: Path) -> None:
    """In a process of its own, as an audit hook stays."""
    program = f"""
import pathlib, random, subprocess, sys
from sim.errors import InvalidInput
from tests.trust import fuzz

fuzz.SECONDS = 0.2
folder = pathlib.Path({str(tmp_path)!r})
(folder / "in").mkdir()
guard = fuzz.Guard(folder / "in")

def turns(draw, place):
    while True: pass

def refuses(draw, place):
    raise InvalidInput("a", 1, "b")

tried = {{
    "accepted": lambda draw, place: (place / "x").write_text("inside"),
    "refused": refuses,
    "ZeroDivisionError": lambda draw, place: 1 / 0,
    "more than 0.2 s": turns,
    "outside: open": lambda draw, place: (folder / "x").write_text("outside"),
    "outside: os.mkdir": lambda draw, place: (folder / "y").mkdir(),
    "outside: os.remove": lambda draw, place: (folder / "z").unlink(),
    "outside: subprocess.Popen": lambda draw, place: subprocess.run(["true"]),
}}
for expected, layer in tried.items():
    assert expected in fuzz.outcome(layer, random.Random(0), folder / "in" / "inputs", guard), expected
print("all seen")
"""
    (tmp_path / "z").write_text("kept")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    end = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert end.stdout == "all seen\n", end.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "z"]


def test_every_layer_has_its_share() -> None:
    from tests.trust.layers import LAYERS

    assert list(LAYERS) == list(fuzz.SHARES) and sum(fuzz.numbers_of(10_000).values()) > 9_900


def test_a_damaged_command_line_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback, and an exit code without its line, are told from a refusal."""
    from sim import cli
    from tests.trust import command_line

    monkeypatch.setattr(command_line, "arguments_of", lambda draw: ["data", "list", "--nothing"])
    with pytest.raises(InvalidInput, match="No such option"):
        command_line.command_line(random.Random(0), tmp_path)
    monkeypatch.setattr(cli, "run", lambda given: 2)
    with pytest.raises(AssertionError, match="exit code 2"):
        command_line.command_line(random.Random(0), tmp_path)
