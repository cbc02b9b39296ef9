"""One boundary: what a user, or the user's machine, causes ends in one line and exit code 2; an error of ours keeps its traceback."""

from __future__ import annotations

import errno
import io
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console
from rich.table import Table

from sim import cli
from sim.catalogue import COMMANDS
from sim.cli import output, progress
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
        (["train", "--set=data.name=\tx"], r"error: data.name: got '\tx'; allowed: a value in YAML"),
        (["train", "--set=positive=[easy"], "error: positive: got '[easy'; allowed: a value in YAML"),
        (
            ["train", "--set=positive=k_easy:²"],
            "error: positive: got 'k_easy:²'; allowed: k_easy:K with an integer K >= 1",
        ),
        (["train", "--set=loss.params.alpha=1" + "0" * 400], "error: loss.params.alpha: got '1000"),
        (["train", "--set=steps=" + "9" * 5000], "error: steps: got '9999"),
        (["train", "--set=seed=3"], "error: seed: got 3; allowed: the option --seed"),
        (["train", "--seed=" + "9" * 5000], "error: Invalid value for '--seed': "),
        (["train", f"--seed={2**63 - 1}"], "error: seed: got 9223372036854775807; allowed: 0 to 9223372036854775806"),
        (["train", "--seeds=100000000"], "error: seeds: got 100000000; allowed: an integer, 1 to 10000"),
        (["train", "--out=a\nb\x1b[1m\0"], "error: Invalid value for '--out': Value error, embedded null byte"),
        (["train", "--\n[/x]"], r"error: No such option: --\x0a[/x]"),
        (["train", "x" * 10_000], "error: Got unexpected extra argument"),
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


def test_an_interruption_that_compiled_code_tells_as_an_error_is_130(
    capsys: pytest.CaptureFixture[str], replace
) -> None:
    """A signal that comes while compiled code is called or loaded: C gives back a value and leaves the exception set."""

    def stop(cause: type[BaseException]) -> None:
        try:
            raise SystemError("returned a result with an exception set") from cause()
        except SystemError as error:
            raise SystemError("returned a result with an exception set") from error

    replace(COMMANDS, "stop", lambda: stop(KeyboardInterrupt))
    assert cli.run(["stop"]) == 130
    assert capsys.readouterr().err == "interrupted; what is finished is kept, and the same command goes on from there\n"
    replace(COMMANDS, "fail", lambda: stop(ValueError))
    with pytest.raises(SystemError):
        cli.run(["fail"])


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


@pytest.mark.parametrize("folder", ["x/[/old]", "x/res[final]", "[red]x", "x/:smile:", "{0}%s"])
def test_paths_and_users_texts_are_no_markup(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / folder
    place.mkdir(parents=True)
    (place / "spec[bold].yaml").write_text(
        "base: {steps: 2, checkpoints: 1, batch.per_class: 3, data.params: {samples_per_mode: 4}}\n"
    )
    assert cli.run(["sweep", str(place / "spec[bold].yaml"), "--executor=local", f"--out={place}"]) == 0
    out, _ = capsys.readouterr()
    assert f"1 runs, 0 of them in {place}/store\n" in out and "spec[bold]: mean over seeds" in out


@pytest.mark.parametrize("text", ["[/old]", "a[final]", "[red]x[/red]", ":smile:"])
@pytest.mark.parametrize("terminal", [False, True])
def test_every_part_of_a_table_and_the_bar_show_texts_as_they_are(
    text: str, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()

    def console(width: int = 200) -> Console:
        return Console(file=written, force_terminal=terminal, color_system=None, width=width, **output.AS_IT_IS)

    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(progress, "console", console)
    table = Table(f"column {text}", title=f"title {text}", caption=f"caption {text}")
    table.add_row(f"cell {text}")
    output.show(table)
    output.say(f"said {text}", style="yellow")
    output.show_rows(f"rows {text}", pd.DataFrame({f"name {text}": [f"value {text}", "b"]}))
    with progress.progress(f"label {text}") as (on_start, on_steps):
        on_start(2)
        on_steps(1)
    shown = ["title", "column", "cell", "caption", "said", "rows", "name", "value", *(["label"] if terminal else [])]
    assert [part for part in shown if f"{part} {text}" not in written.getvalue()] == []


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    cli.show_warning("a\nb [/x]")
    assert capsys.readouterr().err == "warning: a b [/x]\n"
