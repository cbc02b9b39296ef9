"""Command lines for `tests.trust.fuzz`: every command with its own options, sound and hostile values, run in this process."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from sim import cli
from sim.catalogue import COMMANDS
from sim.cli import progress
from sim.errors import InvalidInput
from tests.trust import hostile
from tests.trust.hostile import NAMES

MOST_STEPS = 50
"""Of work that is done; longer work ends as by Ctrl-C."""

SOUND: dict[str, tuple[str, ...]] = {
    "--seed": ("0", "3"), "--seeds": ("1", "2"), "--device": ("cpu",), "--out": ("out",), "--json": ("a.json", "in/a.json"),
    "--csv": ("a.csv",), "--set": ("steps=2", "checkpoints=1", "batch.per_class=3", "noise.level=0.2", "data.name=rings"),
    "--profile": ("tiny", "quick"), "--claims": ("C99",), "--executor": ("local",), "--query": ("seed > 0",), "--state": ("v=1&noise=0.2",),
    "--noise": ("0,0.1",), "--losses": ("triplet",), "--dataset": ("digits", "rings"), "--workers": ("1", "0"), "--size": ("quick",),
}  # fmt: skip

SPEC = "base: {steps: 2, checkpoints: 1}\nseeds: 2\n"

FLAGS = ("--list", "--no-browser", "--part", "--help", "--nothing")


def options_of(command: Any) -> list[str]:
    """Names of a command's options, as in its signature."""
    found = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        for detail in getattr(parameter.annotation, "__metadata__", ()):
            found += [d for d in getattr(detail, "param_decls", None) or () if d.startswith("--")]
    return found


def arguments_of(draw: Random) -> list[str]:
    """A command line."""
    name = draw.choice([*COMMANDS, "train", "train", "train", "sweep", "results", "bench"])
    options = [o.split("/")[0] for o in options_of(COMMANDS[name])]
    given = [*name.split()]
    if name == "train":
        given += ["--set=steps=2", "--set=checkpoints=1", "--set=data.params.samples_per_mode=8"]
    if name == "sweep":
        given += [draw.choice(("spec.yaml", hostile.text(draw))), "--executor=local"]
    if name.startswith("data ") and name not in ("data list", "data results"):
        given += [draw.choice((*NAMES, hostile.text(draw)))]
    for _ in range(draw.randrange(1, 4)):
        option = draw.choice(options) if options and draw.random() < 0.9 else draw.choice(FLAGS)
        if option in FLAGS:
            given.append(option)
            continue
        sound = SOUND.get(option)
        value = draw.choice(sound) if sound and draw.random() < 0.6 else written(draw)
        if option == "--set" and "=" not in value:
            value = f"{draw.choice(FIELDS)}={value if draw.random() < 0.6 else hostile.mild(draw)}"
        given += [f"{option}={value}"] if draw.random() < 0.8 else [option, value]
    if draw.random() < 0.1:
        given.insert(draw.randrange(len(given) + 1), hostile.text(draw))
    # A thousand characters are as good as a million; a shell hands over no null.
    return [text[:6000] if draw.random() < 0.02 else text.replace("\0", "0")[:6000] for text in given]


FIELDS = ("steps", "seed", "net.dim", "net.params.width", "loss.params.alpha", "data.params.classes", "data.params.dim", "positive", "noise.kind",
          "batch.per_class", "batch.classes", "memory.size", "evaluate", "data.name", "loss.name", "optimizer.lr", "checkpoints", "dtype")  # fmt: skip


def written(draw: Random) -> str:
    """A value as it is written after an option."""
    kind = draw.random()
    if kind < 0.5:
        return hostile.text(draw)
    if kind < 0.7:
        return hostile.written(hostile.number(draw))
    return hostile.yaml_text(draw)


@contextmanager
def impatient(label: str, unit: str) -> Iterator[tuple[progress.OnNumber, progress.OnNumber]]:
    """In the place of a progress bar: Ctrl-C at the beginning of long work."""

    def on_start(total: int) -> None:
        if total > MOST_STEPS or unit == "claims":
            raise KeyboardInterrupt

    yield on_start, lambda done: None


def command_line(draw: Random, folder: Path) -> None:
    """A command, run; `InvalidInput` stands for a refusal that was said in one line."""
    (folder / "spec.yaml").write_text(SPEC)
    given = arguments_of(draw)
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
        mock.patch.object(progress, "_lines", impatient),
        mock.patch("sim.explore.page.serve"),
        mock.patch("realdata.fetch._retrieve", refuse_to_fetch),
    ):
        warnings.showwarning = cli.show_warning  # type: ignore[assignment]
        warnings.simplefilter("always")
        try:
            code = cli.run(given)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception as error:
            raise AssertionError(f"{given!r:.1500}") from error
    said = [line for line in err.getvalue().split("\n") if line and not line.startswith("warning: ")]
    if code == 2 and len(said) == 1 and said[0].startswith("error: "):
        raise InvalidInput("command line", given, said[0])
    helped = code == 2 and "Usage:" in out.getvalue() + err.getvalue()
    interrupted = code == 130 and len(said) == 1
    if not (code == 0 or helped or interrupted):
        raise AssertionError(f"exit code {code} of {given!r:.1500}: {said!r:.1000}")


def refuse_to_fetch(*_: Any) -> None:
    """No test goes out into the network."""
    raise InvalidInput("fetch", "network", "nothing here")
