"""What ``collapse verify`` last found, kept for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.catalogue import CLAIMS
from sim.errors import InvalidInput
from sim.files import writable_folder, write_json

FILE = "claims.json"


def read(out: Path) -> list[dict[str, Any]]:
    """The claims' reports that a results folder holds; none where `verify` hasn't run.

    Raises
    ------
    InvalidInput
        If the file isn't what `keep` writes.
    """
    place = out / FILE
    if not place.exists():
        return []
    try:
        return [{**report, "id": report["id"]} for report in json.loads(place.read_text())]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput("out", str(place), f"claims as written by collapse verify ({error})") from None


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
    write_json(out / FILE, ordered)
