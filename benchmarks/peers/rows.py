"""What was measured, as rows of one table: written to a commented CSV and read from it."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from benchmarks.peers.cases import OURS, Case
from benchmarks.peers.turns import CORES, Rates

WALL, CPU = "run-steps a second", "run-steps a CPU second"
MEMORY, COLD, WARM, COST = "MiB", "seconds, cold", "seconds, warm", "CPU microseconds of a run-step"
"""Measures."""

VERSIONS = ("torch", "numpy", "numba", "pytorch-metric-learning", "jax")


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes
    ----------
    section : str
        ``speed``, ``scaling``, ``memory``, ``study``, ``cost`` or ``easy``.
    case : str
        Title of the case.
    batch, runs : int
    side, setting : str
        Who did it, and how.
    measure : str
    value : float
    ratio, least, most : float or None
        How many times as good this package is: the median over the turns, and the extremes.
    aim : float or None
        For the ratio.
    """

    section: str
    case: str
    batch: int
    runs: int
    side: str
    setting: str
    measure: str
    value: float
    ratio: float | None = None
    least: float | None = None
    most: float | None = None
    aim: float | None = None


def of_rates(section: str, case: Case, rates: dict[str, Rates], measure: str) -> list[Row]:
    """A row a side; ratios are taken turn by turn."""
    rows, ours, aims = [], rates[OURS], dict(case.aims) if section == "speed" and measure == WALL else {}
    for name, found in rates.items():
        row = Row(section, case.title, case.batch, found.team.setup.runs, name, str(found.team), measure, found.median)
        if name != OURS:
            turns = [a / b for a, b in zip(ours.values, found.values, strict=True)]
            compared = {
                "ratio": statistics.median(turns),
                "least": min(turns),
                "most": max(turns),
                "aim": aims.get(name),
            }
            row = replace(row, **compared)
        rows.append(row)
    return rows


def _processor() -> str:
    """The model's name, as the kernel tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} not installed"


def header(command: str) -> dict[str, str]:
    """By what command, when, on what and with which versions."""
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {len(CORES)} cores",
        "versions": ", ".join([f"Python {platform.python_version()}", *map(_version, VERSIONS)]),
    }


def as_table(rows: list[Row]) -> pd.DataFrame:
    """A line a row."""
    return pd.DataFrame([asdict(row) for row in rows])


def write(file: Path, rows: list[Row], about: dict[str, str]) -> None:
    """The rows under comment lines."""
    comments = "".join(f"# {name}: {text}\n" for name, text in about.items())
    file.write_text(comments + as_table(rows).to_csv(index=False, float_format="%.4g", lineterminator="\n"))


def read(file: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """What `write` has written: rows, and what the comments say."""
    comments = [line[2:].split(": ", 1) for line in file.read_text().splitlines() if line.startswith("# ")]
    return pd.read_csv(file, comment="#"), dict(comments)
