"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.errors import LARGEST, InvalidInput, integer
from sim.files import writable_place

Out = Annotated[Path, typer.Option("--out", help="Folder for results; finished runs in it are not repeated.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, or cuda:N.")]

Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Worker processes, where there is work for several; one a core if not given."),
]


def written(option: typer.CallbackParam, place: Path | None) -> Path | None:
    """For options that name a file to write: refuses what can't be written when the command line is read, before any work."""
    return place if place is None else writable_place(place, str(option.name))


Json = Annotated[
    Path | None, typer.Option("--json", callback=written, help="Also write the figures printed to this JSON file.")
]
Csv = Annotated[Path | None, typer.Option("--csv", callback=written, help="Also write the rows to this CSV file.")]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        help="quick (4 minutes), full (more losses, levels, seeds and steps; about 45), or tiny (does all work? verdicts mean nothing).",
    ),
]
FirstSeed = Annotated[int, typer.Option("--seed", help="First seed.")]
Seeds = Annotated[int, typer.Option("--seeds", help="Number of seeds.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say whether compiled code trains, or tensor programs and why.")
]
Config = Annotated[Path | None, typer.Option("--config", help="YAML file with a run's fields.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A field by dotted name, e.g. noise.level=0.2; repeatable.")
]

DEFAULT_OUT = Path("results")

MOST_SEEDS = 10_000
"""Of one command; a sweep's specification takes more."""


def checked_device(device: str) -> str:
    """A device of this machine.

    Raises
    ------
    InvalidInput
    """
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise InvalidInput(
            "device", device, "cpu" + (", cuda" if torch.cuda.is_available() else " (no CUDA device is here)")
        )
    return device


def checked_seeds(first: int, number: int) -> range:
    """``number`` seeds from ``first`` on.

    Examples
    --------
    >>> checked_seeds(3, 2)
    range(3, 5)
    """
    number = integer("seeds", number, 1, MOST_SEEDS)
    last = integer("seed", first, 0) + number
    if last > LARGEST:
        raise InvalidInput("seed", first, f"0 to {LARGEST - number}, for {number} seeds")
    return range(first, last)


def parts(text: str) -> list[str]:
    """What stands between commas.

    Examples
    --------
    >>> parts("triplet, margin,")
    ['triplet', 'margin']
    """
    return [part.strip() for part in text.split(",") if part.strip()]


def levels(text: str) -> list[float]:
    """Noise levels between commas.

    Examples
    --------
    >>> levels("0,0.2")
    [0.0, 0.2]
    """
    try:
        return [float(part) for part in parts(text)]
    except ValueError:
        raise InvalidInput("noise", text, "numbers separated by commas, each 0 <= noise < 1") from None


def assignment(text: str) -> tuple[str, Any]:
    """A field and its value, read as YAML.

    Examples
    --------
    >>> assignment("noise.level=0.2")
    ('noise.level', 0.2)
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput("--set", text, "field=value")
    from sim import yaml12

    return name, yaml12.read(name, value)


def fields(config: Path | None, assignments: Sequence[str] | None) -> dict[str, Any]:
    """What a YAML file and assignments on top of it say, but for the seed: that of a file gives way to the option ``--seed``.

    Raises
    ------
    InvalidInput
    """
    given: dict[str, Any] = {} if config is None else _read_file(config)
    given.pop("seed", None)
    given.update(assignment(text) for text in assignments or [])
    if "seed" in given:
        raise InvalidInput("seed", given["seed"], "the option --seed")
    return given


def _read_file(place: Path) -> dict[str, Any]:
    from sim import yaml12

    values = yaml12.read("config", yaml12.text_of("config", place), str(place))
    if not isinstance(values, dict):
        raise InvalidInput("config", str(place), "a mapping from fields to values")
    return values
