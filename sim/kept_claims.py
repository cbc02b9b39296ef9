"""What ``collapse verify`` last found, kept for the report.

The file is JSON with one claim a line, each with its checksum: of a damaged file the lines that are whole are still read.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.catalogue import CLAIMS
from sim.errors import InvalidInput
from sim.files import digest, sealed, unsealed, writable_folder, write_text

FILE = "claims.json"
DAMAGED = "claims.damaged.json"


def read(out: Path) -> list[dict[str, Any]]:
    """The claims' reports that a results folder holds; none where `verify` hasn't run.

    Of a damaged file what is whole is given, the rest is said in a warning, and the file is kept under another name.

    Raises
    ------
    InvalidInput
        If the file isn't what `keep` writes, and nothing in it is.
    """
    place = out / FILE
    try:
        text = place.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidInput("out", str(place), f"claims that can be read ({error.strerror})") from None
    lines = text.splitlines()
    found = [report for line in lines if (report := _report(line)) is not None]
    if text == _text(found):
        return found
    if not found:
        return _without_checksums(place, text)
    shutil.copy2(place, out / DAMAGED)
    held = ", ".join(str(report["id"]) for report in found)
    warnings.warn(
        f"{place} is damaged: {held} are whole, what else it held is to be verified again; a copy of it is {out / DAMAGED}",
        stacklevel=2,
    )
    return found


def _without_checksums(place: Path, text: str) -> list[dict[str, Any]]:
    """The list of reports that earlier releases wrote."""
    try:
        return [{**report, "id": report["id"]} for report in json.loads(text)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(
            "out", str(place), f"claims as written by collapse verify ({reason}); remove it to verify them anew"
        ) from None


def _report(line: str) -> dict[str, Any] | None:
    """The report of a line that is whole."""
    try:
        report = unsealed("report", line.removesuffix(","))
        return report if isinstance(report["id"], str) else None
    except (ValueError, TypeError, KeyError):
        return None


def _text(reports: Sequence[dict[str, Any]]) -> str:
    """All lines, with a checksum over all of them at the end: a line that is missing is missed."""
    lines = ",\n".join(sealed("report", report) for report in reports)
    return f'{{"claims": [\n{lines}\n], "sha256": "{digest(lines.encode())}"}}\n'


def keep(out: Path, reports: Sequence[dict[str, Any]]) -> None:
    """Put reports beside those of other claims, in the place of older ones of the same claims.

    Raises
    ------
    InvalidInput
    """
    kept = {r["id"]: r for r in read(out)} | {r["id"]: r for r in reports}
    # Claims of plugins that aren't here today keep their verdicts, after the others.
    ordered = [kept.pop(name) for name in CLAIMS if name in kept] + list(kept.values())
    writable_folder(out)
    write_text(out / FILE, _text(ordered))
