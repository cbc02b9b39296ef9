"""One boundary: what a user, or the user's machine, causes ends in one line and exit code 2; an error of ours keeps its traceback."""

from __future__ import annotations

import errno
import sqlite3
import sys
from pathlib import Path

import pytest
import yaml

from sim import cli
from sim.catalogue import COMMANDS
from sim.errors import InvalidInput


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidInput("noise", 2, "0 <= noise < 1"), "noise: got 2; allowed: 0 <= noise < 1"),
        (OSError(errno.ENOSPC, "No space left on device", "x/y.csv"), "x/y.csv: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (sqlite3.OperationalError("database is locked"), "the results' index can't be used: database is locked"),
        (yaml.YAMLError("bad\nindent"), "a file can't be read: bad indent"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "a file can't be read: 'utf-8' codec"),
        (MemoryError(), "out of memory: fewer runs"),
        (RuntimeError("CUDA out of memory. Tried to allocate 1 GiB"), "out of memory: fewer runs"),
    ],
)
def test_a_failure_anywhere_is_one_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str], replace
) -> None:
    def fail() -> None:
        raise error

    replace(COMMANDS, "fail", fail)
    assert cli.run(["fail"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {line}") and err.count("\n") == 1


def test_an_error_of_ours_keeps_its_traceback(replace) -> None:
    def fail() -> None:
        raise ZeroDivisionError("ours")

    replace(COMMANDS, "fail", fail)
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli.run(["fail"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing"], "error: No such command 'nothing'"),
        (["train", "--sede=1"], "error: No such option: --sede"),
        (["train", "--seed=x"], "error: Invalid value for '--seed': "),
        (["data", "fetch"], "error: Missing argument 'NAME'"),
        (["train", "--set=data.params={a: 1"], "error: data.params: got '{a: 1'; allowed: a value in YAML"),
        (["train", "--set=data.name=@x"], "error: data.name: got '@x'; allowed: a value in YAML"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(line) and err.count("\n") == 1


def test_interruption_is_130(capsys: pytest.CaptureFixture[str], replace) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    replace(COMMANDS, "stop", stop)
    assert cli.run(["stop"]) == 130
    assert capsys.readouterr().err == "interrupted; what is finished is kept, and the same command goes on from there\n"


def test_a_command_of_a_plugin_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], replace) -> None:
    def greet(name: str = "world") -> None:
        """Say hello."""
        print(f"hello {name}")

    replace(COMMANDS, "greet", greet)
    assert cli.run(["greet", "--name=you"]) == 0
    assert capsys.readouterr().out == "hello you\n"
    assert cli.run([]) == 2
    assert cli.run(["--help"]) == 0
    assert "Say hello." in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"{version('class-collapse')}\n"


def test_main_takes_the_arguments_and_ends_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["collapse", "nothing"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
