"""Trained runs that couldn't be stored (a full disk, a locked index): kept in a side file until the store is opened again."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sim.files import digest, whole
from sim.sweeps.index import Record

Saved = tuple[Record, bytes]
"""A record and the content of the file of its arrays."""


def folders(store: Path) -> tuple[Path, Path]:
    """Where side files of a store go: in it, else in the system's folder for temporary files."""
    own = f"collapse-unsaved-{digest(str(store.resolve()).encode())[:16]}"
    return store / "unsaved", Path(tempfile.gettempdir()) / own


def keep(store: Path, saved: Sequence[Saved]) -> Path:
    """Write a side file and give its place.

    Raises
    ------
    OSError
        If it can't be written anywhere.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("records.json", json.dumps([dataclasses.astuple(record) for record, _ in saved]))
        for number, (_, arrays) in enumerate(saved):
            file.writestr(f"{number}.npz", arrays)
    content = packed.getvalue()
    in_store, elsewhere = folders(store)
    try:
        return _write(in_store, content)
    except OSError:
        return _write(elsewhere, content)


def _write(folder: Path, content: bytes) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    place = folder / f"{digest(content)}.zip"
    with whole(place) as file:
        file.write(content)
    return place


def found(store: Path) -> Iterator[tuple[Path, list[Saved]]]:
    """The side files of a store with what they hold. A damaged one is named, and gets another name."""
    for folder in folders(store):
        # Anybody may make a folder among temporary files.
        if not folder.is_dir() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
            continue
        for place in sorted(folder.glob("*.zip")):
            try:
                content = place.read_bytes()
            except FileNotFoundError:
                continue  # another process has added it
            if digest(content) != place.stem:
                aside = place.with_suffix(".damaged")
                os.replace(place, aside)
                warnings.warn(f"{aside} is damaged: the runs in it are trained again when asked for", stacklevel=2)
                continue
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                records = [Record(*fields) for fields in json.loads(file.read("records.json"))]
                yield place, [(record, file.read(f"{number}.npz")) for number, record in enumerate(records)]
