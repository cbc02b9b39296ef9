"""Results on disk: one folder with an SQLite index and one array file a run that keeps arrays.

A run is named by its configuration's key and by what it read (`sim.sweeps.inputs`): numbers that belong to other data, or to other
code of a plugin, are never given. It is stored in one transaction after its arrays, each written beside its final place and
renamed: a process killed at any moment leaves either the whole run or none of it. Records and array files have checksums: what is
damaged is named, and trained again when it is asked for. What can't be stored is kept in a side file (`sim.sweeps.unsaved`).
SQLite's write-ahead log lets several processes use one store.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.config import SCHEMA, RunConfig, parse
from sim.errors import InvalidInput
from sim.files import digest, remove_parts, whole, writable_folder
from sim.sweeps import index, inputs, rows, unsaved
from sim.sweeps.index import INDEX as INDEX
from sim.sweeps.index import Record
from sim.sweeps.query import named, select

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sim.training import RunResult


class Store:
    """A results folder.

    Parameters
    ----------
    folder : path
        Made if it doesn't exist.

    Raises
    ------
    InvalidInput
        If the folder can't be written, its index is lost, damaged beyond use or of a later version, or runs that wait in a side
        file can't be added.

    Examples
    --------
    >>> import tempfile
    >>> from sim.training import RunResult
    >>> store, config = Store(tempfile.mkdtemp()), RunConfig(seed=3)
    >>> store.add([RunResult(config, rows=[{"step": 0, "split": "test", "recall_at_1": 0.5}])], seconds=1.0)
    >>> store.finished([config, RunConfig(seed=4)]) == {config.key()}
    True
    >>> store.load()[["seed", "noise.level", "step", "split", "recall_at_1"]].to_dict("records")
    [{'seed': 3, 'noise.level': 0.0, 'step': 0, 'split': 'test', 'recall_at_1': 0.5}]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = writable_folder(folder)
        remove_parts(self.folder)
        try:
            with index.lock(self.folder):
                index.prepare(self.folder, self._upgraded)
        except (OSError, sqlite3.Error) as error:
            raise InvalidInput("out", str(self.folder), f"a store that can be written ({_reason(error)})") from None
        for place, saved in unsaved.found(self.folder):
            try:
                self._write(saved)
            except (OSError, sqlite3.Error) as error:
                waiting = f"a store that can be written ({_reason(error)}): {len(saved)} trained runs wait in {place}"
                raise InvalidInput("out", str(self.folder), waiting) from None
            place.unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        return index.connect(self.folder / INDEX)

    def finished(self, configs: Iterable[RunConfig], read: Mapping[str, str] | None = None) -> set[str]:
        """The keys of those runs that are in the store, whole, and on what they would read today.

        Parameters
        ----------
        configs : iterable of RunConfig
        read : mapping from keys to inputs, optional
            What `sim.sweeps.inputs.of` says of them, if it has been asked.

        Raises
        ------
        InvalidInput
            If their data aren't there.
        """
        wanted = inputs.of(configs) if read is None else read
        with closing(self._connect()) as db:
            stored = [record for record in self._whole(db, wanted.items()) if self._has_arrays(record)]
        return {record.key for record in stored}

    def _whole(self, db: sqlite3.Connection, wanted: Iterable[tuple[str, str]] | None) -> Iterator[Record]:
        """The records of wanted runs, or all; those that are damaged are named and left out."""
        only = ""
        if wanted is not None:
            db.execute("CREATE TEMP TABLE wanted (key TEXT, inputs TEXT, PRIMARY KEY (key, inputs))")
            db.executemany("INSERT INTO wanted VALUES (?, ?)", wanted)
            only = "JOIN wanted USING (key, inputs)"
        for record, whole_one in index.read(db, f"{only} ORDER BY key, inputs"):
            if whole_one:
                yield record
            else:
                self._name_damage(record.key, "its record")

    def _name_damage(self, key: str, what: str) -> None:
        text = f"run {key} in {self.folder}: {what} is damaged or missing; it is trained again when asked for"
        warnings.warn(text, stacklevel=3)

    def _has_arrays(self, record: Record) -> bool:
        if not record.arrays or self._content(record) is not None:
            return True
        self._name_damage(record.key, f"the file {self._array_file(record)}")
        return False

    def add(self, results: Sequence[RunResult], seconds: float, read: Mapping[str, str] | None = None) -> None:
        """Store runs that were trained together in ``seconds``; runs already there, and whole, stay as they are.

        Parameters
        ----------
        results : sequence of RunResult
        seconds : float
        read : mapping from keys to inputs, optional
            What the runs read, if `sim.sweeps.inputs.of` has been asked.

        Raises
        ------
        InvalidInput
            If they can't be stored; it says where they are kept until the store is next opened.
        """
        known = inputs.of(r.config for r in results) if read is None else read
        saved = [_saved(result, known[result.config.key()], seconds / len(results)) for result in results]
        try:
            self._write(saved)
        except (OSError, sqlite3.Error) as error:
            try:
                kept = f"the {len(saved)} runs just trained are kept in {unsaved.keep(self.folder, saved)}"
                kept += ", and added when this store is next opened"
            except OSError as other:
                kept = f"the {len(saved)} runs just trained are lost ({_reason(other)})"
            raise InvalidInput(
                "out", str(self.folder), f"a store that can be written ({_reason(error)}); {kept}"
            ) from None

    def _write(self, saved: Sequence[unsaved.Saved]) -> None:
        with index.lock(self.folder), closing(self._connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            for record, arrays in saved:
                there = list(index.read(db, "WHERE key = ? AND inputs = ?", (record.key, record.inputs)))
                if any(sound and (not old.arrays or self._content(old) is not None) for old, sound in there):
                    continue
                if record.arrays:
                    place = self._array_file(record)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with whole(place) as file:
                        file.write(arrays)
                index.write(db, record)
            db.execute("COMMIT")

    def _array_file(self, record: Record) -> Path:
        name = "-".join(filter(None, (record.key, record.inputs)))
        return self.folder / "arrays" / record.key[:2] / f"{name}.npz"

    def _content(self, record: Record) -> bytes | None:
        """A run's array file; None if it isn't there as it was written."""
        try:
            content = self._array_file(record).read_bytes()
        except OSError:
            return None
        return content if digest(content) == record.arrays else None

    def _stored(self, db: sqlite3.Connection, configs: Iterable[RunConfig]) -> dict[str, str]:
        """The inputs of runs to be looked at, here or where their data are not: then those that are stored, if there is no doubt."""
        reading, wanted = inputs.Reading(), {}
        for config in configs:
            key = config.key()
            try:
                wanted[key] = reading.of(config)
            except InvalidInput as error:
                found = db.execute(
                    "SELECT inputs FROM runs WHERE key = ? AND inputs != ?", (key, inputs.UNKNOWN)
                ).fetchall()
                if len(found) > 1:
                    doubt = f"run {key} is stored for {len(found)} versions of what it read, and which is meant can't be told"
                    raise InvalidInput(
                        "data.name", config.data.name, f"data that are here: {doubt} ({error})"
                    ) from None
                if found:
                    wanted[key] = found[0][0]
        return wanted

    def arrays(self, config: RunConfig) -> dict[str, np.ndarray]:
        """The arrays of a stored run.

        Raises
        ------
        InvalidInput
            If the run isn't there, keeps none, or its file is damaged.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from sim.training import RunResult
        >>> store, config = Store(tempfile.mkdtemp()), RunConfig(save_embeddings=True)
        >>> store.add([RunResult(config, arrays={"embeddings_test": np.zeros((5, 2))})], seconds=1.0)
        >>> store.arrays(config)["embeddings_test"].shape
        (5, 2)
        """
        import numpy as np

        with closing(self._connect()) as db:
            record = next(self._whole(db, self._stored(db, [config]).items()), None)
        if record is None or not record.arrays:
            raise InvalidInput("run", config.key(), "a stored run with save_embeddings = true")
        content = self._content(record)
        if content is None:
            place = self._array_file(record)
            raise InvalidInput("run", config.key(), f"a run whose arrays are whole, and {place} isn't: train it again")
        with np.load(io.BytesIO(content)) as file:
            return dict(file)

    def load(self, configs: Iterable[RunConfig] | None = None) -> pd.DataFrame:
        """Results as a tidy table: one row a run, checkpoint and split.

        Parameters
        ----------
        configs : iterable of RunConfig, optional
            Only these runs, on what they would read today; where the data aren't there, on what they did read. All runs of the
            folder otherwise, of other data and earlier schemas, too.

        Returns
        -------
        DataFrame
            ``key``, ``inputs`` (see `sim.sweeps.inputs`), ``schema``, ``status``, ``diverged_at``, ``seconds``, the config's
            fields by dotted name, ``step``, ``split``, and the metrics. A run that diverged before its first checkpoint has
            one row without metrics; `sim.columns` tells fields and metrics apart.

        Raises
        ------
        InvalidInput
            If the data aren't there and a run is stored for several versions of them.
        """
        with closing(self._connect()) as db:
            wanted = None if configs is None else self._stored(db, configs).items()
            return rows.table(self._whole(db, wanted))

    def select(self, query: str) -> pd.DataFrame:
        """The rows of `load` for which a condition is true (`sim.sweeps.query.select`); of runs that it leaves out by their
        configuration no rows are read.

        Raises
        ------
        InvalidInput
            If the query can't be evaluated.
        """
        with closing(self._connect()) as db:
            wanted = rows.possible_runs(index.configs(db), query)
            found = rows.table(self._whole(db, wanted))
        if len(found) and not named(query) <= set(found.columns):
            found = self.load()  # a column of other runs only
        return found if found.empty else select(found, query)

    def _upgraded(self, run: dict[str, Any], own: list[dict[str, Any]]) -> Record | None:
        """A record of a run from before inputs were stored; None if rows of it, or its arrays, are missing."""
        try:
            form = json.loads(run["config"])
            read = _inputs_of_old(form)
            found = [{"step": r["step"], "split": r["split"], **json.loads(r["metrics"])} for r in own]
            steps = {round(k * form["steps"] / form["checkpoints"]) for k in range(form["checkpoints"] + 1)}
            expected = {(step, split) for step in steps for split in form["evaluate"]}
            record = Record(
                run["key"], read, 1, run["config"], run["status"], run["diverged_at"], run["seconds"], run["finished"],
                json.dumps(found), "",
            )  # fmt: skip
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        if record.status == "done" and {(row["step"], row["split"]) for row in found} != expected:
            return None
        place, before = self._array_file(record), self.folder / "arrays" / record.key[:2] / f"{record.key}.npz"
        if before.exists() and not place.exists():
            os.replace(before, place)
        if place.exists():
            return Record(**{**vars(record), "arrays": digest(place.read_bytes())})
        return None if form.get("save_embeddings") and record.status == "done" else record


def _inputs_of_old(form: dict[str, Any]) -> str:
    """What a run of the first release read: nothing, or a bundled data set; of others nobody knows."""
    if "backbone" in form:
        return inputs.UNKNOWN
    try:
        config = parse(RunConfig, form)
        name = config.data.name
        foreign = any(registry.source(entry) for _, registry, entry in inputs.named(config))
        if foreign or not inputs.bundled(name):
            return inputs.UNKNOWN
        return inputs.Reading().of(config)
    except InvalidInput:
        return inputs.UNKNOWN


def _saved(result: RunResult, read: str, seconds: float) -> unsaved.Saved:
    import numpy as np

    content = io.BytesIO()
    if result.arrays:
        np.savez(content, **result.arrays)  # type: ignore[arg-type]
    arrays = content.getvalue()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    config = result.config
    record = Record(
        config.key(), read, SCHEMA, config.model_dump_json(), result.status, result.diverged_at, float(seconds), now,
        json.dumps(result.rows), digest(arrays) if arrays else "",
    )  # fmt: skip
    return record, arrays


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split())


def load(folder: str | os.PathLike[str], query: str | None = None) -> pd.DataFrame:
    """All results of a folder as a tidy table.

    Parameters
    ----------
    folder : path
        A store's folder.
    query : str, optional
        Only the rows for which this is true, see `sim.sweeps.query.select`:
        ``loss.name == "triplet" and noise.level > 0.1``.

    Returns
    -------
    DataFrame
        See `Store.load`.

    Raises
    ------
    InvalidInput
        If there is no store, or the query can't be evaluated.

    Examples
    --------
    >>> import tempfile
    >>> from sim.training import RunResult
    >>> folder = tempfile.mkdtemp()
    >>> results = [RunResult(RunConfig(seed=s), rows=[{"step": 0, "split": "test"}]) for s in range(4)]
    >>> Store(folder).add(results, seconds=1.0)
    >>> sorted(load(folder, 'loss.name == "triplet" and seed > 1')["seed"])
    [2, 3]
    """
    if not (Path(folder) / INDEX).exists() and not any(Path(folder).glob("arrays/*/*.npz")):
        raise InvalidInput("out", str(folder), f"a folder with results (it has no {INDEX})")
    store = Store(folder)
    return store.load() if query is None else store.select(query)
