"""A few trials of the fault script; all of them with the slow tests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.trust.faults import ROOT


def trials(*arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "tests.trust.faults", *arguments]
    end = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert end.returncode == 0, end.stdout + end.stderr


@pytest.mark.parametrize("scenario", ["sweep-processes/kill", "verify/terminate"])
def test_a_disturbed_command_comes_to_the_same_end(scenario: str) -> None:
    trials("--trials", "1", "--only", scenario)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_disturbed_commands_come_to_the_same_end() -> None:
    trials("--trials", "200")
