"""A few trials of the fault script; all of them with the slow tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trust import faults
from tests.trust.cases import Case


def trials(*arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(faults.ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "tests.trust.faults", *arguments]
    end = subprocess.run(command, cwd=faults.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr


def test_what_is_wrong_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("", (), lambda disk: [("same", "1"), ("other", "2"), ("twice", "3"), ("twice", "3")])
    trial = faults.Trial(case, tmp_path / "trial", f"{tmp_path}")
    trial.compare([("same", "1"), ("other", "2.0"), ("twice", "3"), ("gone", "4")])
    (tmp_path / "trial" / "errors1").write_text("Traceback (most recent call last):")
    (tmp_path / "trial" / "errors2").write_text("error: one line\nand another")
    (tmp_path / "trial" / "errors3").write_text("spec: 1,720 of 5,760 run-steps after 66 s\nerror: one line")
    trial.judge(1, 1, (2,))
    trial.judge(2, 2, (2,))
    trial.judge(2, 3, (2,))
    (tmp_path / "trial" / "disk" / "a.part").touch()
    trial.count_left_files()
    monkeypatch.setattr(faults, "GRACE", 0.0)
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, faults.TAG: f"{tmp_path}"})
    trial.count_left_processes()
    assert process.wait(timeout=60) < 0
    assert trial.counts == dict.fromkeys(faults.COUNTED, 1) | {"exits": 2}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", ["sweep-local/kill", "verify/terminate"])
def test_a_disturbed_command_comes_to_the_same_end(scenario: str) -> None:
    trials("--trials", "1", "--only", scenario)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_disturbed_commands_come_to_the_same_end() -> None:
    trials("--trials", "200")
