"""The index of a store: one SQLite file with one record a run, each with a checksum.

Whoever changes the file holds `lock`. An index of an earlier version, or a damaged one, is read as far as it can be and written
anew beside its place; the file that was there is kept under another name.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from sim.errors import InvalidInput
from sim.files import digest

INDEX = "index.sqlite"
SMALLEST = 512
"""Bytes of SQLite's smallest page: what is shorter it takes for a new file."""

VERSION = 2
"""``PRAGMA user_version`` of an index; 0: that of the first release, whose runs had their rows in a table of their own."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

BLOCKED = ("locked", "busy", "readonly", "read-only", "full", "unable to open", "i/o error", "out of memory")
"""What SQLite says where the machine is to blame, and the file is sound."""

TABLE = """
CREATE TABLE runs (
    key TEXT NOT NULL, inputs TEXT NOT NULL, schema INTEGER NOT NULL, config TEXT NOT NULL, status TEXT NOT NULL,
    diverged_at INTEGER, seconds REAL, finished TEXT, rows TEXT NOT NULL, arrays TEXT NOT NULL, checksum TEXT NOT NULL,
    PRIMARY KEY (key, inputs)
)
"""


@dataclass(frozen=True)
class Record:
    """A stored run.

    Attributes
    ----------
    key, inputs : str
        Its name: the configuration's key and what it read, see `sim.sweeps.inputs`.
    schema : int
        `sim.config.SCHEMA` when it was trained.
    config : str
        JSON.
    status, diverged_at
        See `sim.training.RunResult`.
    seconds : float
    finished : str
        When, ISO 8601, UTC.
    rows : str
        JSON: a list of mappings, one a checkpoint and split.
    arrays : str
        SHA-256 of the file of its arrays; ``""``: it has none.
    """

    key: str
    inputs: str
    schema: int
    config: str
    status: str
    diverged_at: int | None
    seconds: float
    finished: str
    rows: str
    arrays: str

    def checksum(self) -> str:
        """Over all of it."""
        return digest(json.dumps(dataclasses.astuple(self), default=repr).encode(errors="surrogatepass"))


COLUMNS = ", ".join(field.name for field in dataclasses.fields(Record))

ABOUT = ("key", "inputs", "schema", "status", "diverged_at", "seconds")
"""What results say of a run beside its configuration."""


def lock(folder: Path) -> FileLock:
    """What a process holds that changes a store."""
    return FileLock(folder / "index.lock", timeout=PATIENCE)


def connect(place: Path, journal: str = "WAL") -> sqlite3.Connection:
    """A connection without transactions of its own accord, for which a damaged text is a text."""
    db = sqlite3.connect(place, timeout=PATIENCE, isolation_level=None)
    db.text_factory = lambda content: content.decode(errors="replace")
    try:
        db.execute(f"PRAGMA journal_mode={journal}")
    except sqlite3.Error:
        db.close()
        raise
    return db


def read(db: sqlite3.Connection, where: str = "", values: Iterable[Any] = ()) -> Iterator[tuple[Record, bool]]:
    """Records, and whether each is as it was written."""
    for *fields, checksum in db.execute(f"SELECT {COLUMNS}, checksum FROM runs {where}", tuple(values)):
        record = Record(*fields)
        yield record, record.checksum() == checksum


def configs(db: sqlite3.Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """The configuration of every run and what is said of the run beside it; neither rows nor checksums are read."""
    for config, *about in db.execute(f"SELECT config, {', '.join(ABOUT)} FROM runs"):
        yield config, dict(zip(ABOUT, about, strict=True))


def write(db: sqlite3.Connection, record: Record) -> None:
    """Put a record in the place of one of the same name."""
    fields = (*dataclasses.astuple(record), record.checksum())
    db.execute(f"INSERT OR REPLACE INTO runs ({COLUMNS}, checksum) VALUES ({', '.join('?' * len(fields))})", fields)


Upgrade = Callable[[dict[str, Any], list[dict[str, Any]]], Record | None]
"""(a run of version 0, its rows) -> its record, or None if it isn't whole."""


def prepare(folder: Path, upgrade: Upgrade) -> None:
    """Make the index of a folder if there is none, and mend or upgrade it where need be. To be called with the `lock` held.

    Raises
    ------
    InvalidInput
        If the index was lost, nothing of it can be read, or it is of a later version.
    """
    place = folder / INDEX
    rest = Path(f"{place}-wal")
    if not place.exists() or place.stat().st_size < SMALLEST:
        if place.exists() or any(folder.glob("arrays/*/*.npz")) or (rest.exists() and rest.stat().st_size):
            what = "it is empty" if place.exists() else "it isn't there, and arrays of its runs are"
            raise _refusal(place, what)
        _create(place, [])
        return
    version, damage = _state(place)
    if version > VERSION:
        raise InvalidInput("out", str(place), f"an index of version {VERSION} or earlier: a later release wrote it")
    if damage is None and version == VERSION:
        return
    if damage is None:
        records, lost = _salvage(place, upgrade)
    else:
        copy = place.with_name(f"{place.name}.mended")
        try:
            _mend_header(place, copy)
            records, lost = _salvage(copy, upgrade)
        finally:
            for file in (copy, *_beside(copy)):
                file.unlink(missing_ok=True)
        if not records:
            raise _refusal(place, damage)
    kept = _set_aside(place, f"version-{version}" if damage is None else "damaged")
    _create(place, records)
    if damage is not None or lost:
        missing = f", {lost} of them can't be read and are trained again when asked for" if lost else ""
        found = "was damaged" if damage is not None else "is of an earlier version"
        warnings.warn(f"{place} {found}: {len(records)} runs are kept{missing}; the old file is {kept}", stacklevel=2)


def _refusal(place: Path, what: str) -> InvalidInput:
    return InvalidInput(
        "out",
        str(place),
        f"an index that can be read ({what}): put a copy of it back, or remove {place.parent} to begin anew",
    )


def _state(place: Path) -> tuple[int, str | None]:
    """An index's version, and what is wrong with it."""
    try:
        with closing(connect(place)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            found = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
            own = {column[1] for column in db.execute("PRAGMA table_info(runs)")}
            pages = int(db.execute("PRAGMA page_count").fetchone()[0])
    except sqlite3.Error as error:
        if any(word in str(error).lower() for word in BLOCKED):
            raise
        return 0, " ".join(str(error).split())
    if found != "ok":
        return min(version, VERSION), " ".join(found.split())
    if version > VERSION and "checksum" not in own:
        return version, None
    # A version that doesn't fit its own table is a damaged one; without tables, the first release was stopped at its first step.
    expected = {VERSION: "checksum" in own, 0: (bool(own) and "checksum" not in own) or (not own and pages <= 1)}
    if version <= VERSION and not expected.get(version, False):
        return VERSION if "checksum" in own else 0, "its version is not that of its tables"
    return version, None


def _create(place: Path, records: Iterable[Record]) -> None:
    """An index with these records, in its place at once."""
    new = place.with_name(f"{place.name}.new")
    for leftover in (new, *_beside(new)):
        leftover.unlink(missing_ok=True)
    # Not with a log: what a full disk keeps from the file at the end would stay in the log, unsaid, and that isn't moved with it.
    with closing(connect(new, "DELETE")) as db:
        db.execute("BEGIN")
        db.execute(TABLE)
        db.execute(f"PRAGMA user_version = {VERSION}")
        for record in records:
            write(db, record)
        db.execute("COMMIT")
    # What another file's log holds must never be played back into this one.
    for leftover in _beside(place):
        leftover.unlink(missing_ok=True)
    os.replace(new, place)


def _beside(place: Path) -> list[Path]:
    return [Path(f"{place}-wal"), Path(f"{place}-shm")]


def _set_aside(place: Path, why: str) -> Path:
    """Keep a copy of an index, with its log, under another name."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S")
    kept = place.with_name(f"index.{why}-{now}.sqlite")
    for file, copy in ((place, kept), (Path(f"{place}-wal"), Path(f"{kept}-wal"))):
        if file.exists():
            shutil.copy2(file, copy)
    return kept


def _mend_header(place: Path, copy: Path) -> None:
    """A copy of an index with the first 100 bytes that every index has, so that what stands after them can be read."""
    _create(copy, [])
    header = bytearray(copy.read_bytes()[:100])
    for file, to in zip((place, *_beside(place)), (copy, *_beside(copy)), strict=True):
        if file.exists():
            shutil.copy2(file, to)
    size = int.from_bytes(header[16:18], "big")
    pages = -(-copy.stat().st_size // size)
    header[28:32] = pages.to_bytes(4, "big")  # valid where these two agree: https://www.sqlite.org/fileformat2.html
    header[92:96] = header[24:28]
    os.truncate(copy, pages * size)
    with copy.open("r+b") as file_of_copy:
        file_of_copy.write(header)


def _salvage(place: Path, upgrade: Upgrade) -> tuple[list[Record], int]:
    """The records of an index that are as they were written, of whatever version; and how many others were seen."""
    try:
        with closing(connect(place)) as db:
            runs = _scan(db, "runs")
            rows = _scan(db, "rows") if runs and "checksum" not in runs[0] else None
    except sqlite3.DatabaseError:
        return [], 0
    if rows is not None:
        return _upgraded(runs, rows, upgrade)
    records, lost = {}, 0
    for run in runs:
        checksum = run.pop("checksum")
        try:
            record = Record(**run)
        except TypeError:  # the table's own description is damaged
            return [], len(runs)
        if record.checksum() == checksum:
            records[record.key, record.inputs] = record
        else:
            lost += 1
    return list(records.values()), lost


def _upgraded(runs: list[dict[str, Any]], rows: list[dict[str, Any]], upgrade: Upgrade) -> tuple[list[Record], int]:
    of: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of.setdefault(row["key"], []).append(row)
    found = [upgrade(run, of.get(run["key"], [])) for run in runs]
    return [record for record in found if record is not None], found.count(None)


def _scan(db: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """A table's rows as far as they can be read: from its beginning, and where that ends early, from its end."""
    found: dict[int, dict[str, Any]] = {}
    for direction in ("ASC", "DESC"):
        try:
            cursor = db.execute(f"SELECT rowid, * FROM {table} NOT INDEXED ORDER BY rowid {direction}")
            names = [column[0] for column in cursor.description][1:]
            for rowid, *values in cursor:
                found[rowid] = dict(zip(names, values, strict=True))
            break
        except sqlite3.Error:
            continue
    return [found[rowid] for rowid in sorted(found)]
