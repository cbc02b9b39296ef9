"""Results on disk: one folder with an SQLite index and one array file a run that keeps arrays.

A run is stored in one transaction after its arrays, each written beside its final place and renamed: a process killed at
any moment leaves either the whole run or none of it. SQLite's write-ahead log lets several processes use one store.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.columns import told
from sim.config import RunConfig
from sim.errors import InvalidInput
from sim.files import whole, writable_folder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sim.training import RunResult

INDEX = "index.sqlite"
TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY, config TEXT NOT NULL, status TEXT NOT NULL, diverged_at INTEGER, seconds REAL, finished TEXT
);
CREATE TABLE IF NOT EXISTS rows (
    key TEXT NOT NULL REFERENCES runs(key), step INTEGER NOT NULL, split TEXT NOT NULL, metrics TEXT NOT NULL,
    PRIMARY KEY (key, step, split)
);
"""


class Store:
    """A results folder.

    Parameters
    ----------
    folder : path
        Made if it doesn't exist.

    Examples
    --------
    >>> import tempfile
    >>> from sim.training import RunResult
    >>> store, config = Store(tempfile.mkdtemp()), RunConfig(seed=3)
    >>> store.add([RunResult(config, rows=[{"step": 0, "split": "test", "recall_at_1": 0.5}])], seconds=1.0)
    >>> store.finished([config.key(), RunConfig(seed=4).key()]) == {config.key()}
    True
    >>> store.load()[["seed", "noise.level", "step", "split", "recall_at_1"]].to_dict("records")
    [{'seed': 3, 'noise.level': 0.0, 'step': 0, 'split': 'test', 'recall_at_1': 0.5}]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = writable_folder(folder)
        with closing(self._connect()) as db, db:
            db.executescript(TABLES)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.folder / INDEX, timeout=60)
        db.execute("PRAGMA journal_mode=WAL")
        return db

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Which of the runs are in the store."""
        with closing(self._connect()) as db:
            return {key for key in keys if db.execute("SELECT 1 FROM runs WHERE key = ?", (key,)).fetchone()}

    def add(self, results: Sequence[RunResult], seconds: float) -> None:
        """Store runs that were trained together in ``seconds``; runs already there stay as they are."""
        for result in results:
            if result.arrays:
                self._write_arrays(result.config.key(), result.arrays)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        with closing(self._connect()) as db, db:
            for result in results:
                key = result.config.key()
                added = db.execute(
                    "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        key,
                        result.config.model_dump_json(),
                        result.status,
                        result.diverged_at,
                        seconds / len(results),
                        now,
                    ),
                )
                if added.rowcount:
                    db.executemany(
                        "INSERT INTO rows VALUES (?, ?, ?, ?)",
                        [(key, row["step"], row["split"], _metrics_json(row)) for row in result.rows],
                    )

    def _array_file(self, key: str) -> Path:
        return self.folder / "arrays" / key[:2] / f"{key}.npz"

    def _write_arrays(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        import numpy as np

        place = self._array_file(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole(place) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def arrays(self, config: RunConfig) -> dict[str, np.ndarray]:
        """The arrays of a stored run.

        Raises
        ------
        InvalidInput
            If the run isn't there or keeps none.

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

        place = self._array_file(config.key())
        if not place.exists():
            raise InvalidInput("run", config.key(), "a stored run with save_embeddings = true")
        with np.load(place) as file:
            return dict(file)

    def load(self, configs: Iterable[RunConfig] | None = None) -> pd.DataFrame:
        """Results as a tidy table: one row a run, checkpoint and split.

        Parameters
        ----------
        configs : iterable of RunConfig, optional
            Only these runs; all runs otherwise.

        Returns
        -------
        DataFrame
            ``key``, ``status``, ``diverged_at``, the config's fields by dotted name, ``step``, ``split``, and the metrics.
            A run that diverged before its first checkpoint has one row without metrics.
        """
        import pandas as pd

        with closing(self._connect()) as db:
            # One transaction, so that a run that another process adds between the two queries isn't seen by halves.
            db.execute("BEGIN")
            only = ""
            if configs is not None:
                db.execute("CREATE TEMP TABLE wanted (key TEXT PRIMARY KEY)")
                db.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", [(c.key(),) for c in configs])
                only = "JOIN wanted USING (key)"
            runs = db.execute(f"SELECT key, config, status, diverged_at, seconds FROM runs {only}").fetchall()
            rows = db.execute(f"SELECT key, step, split, metrics FROM rows {only} ORDER BY key, step, split").fetchall()
        fields = {key: flatten(json.loads(config)) for key, config, *_ in runs}
        by_key: dict[str, dict[str, Any]] = {
            key: {"key": key, "status": status, "diverged_at": at, "seconds": s, **fields[key]}
            for key, _, status, at, s in runs
        }
        tidy = [
            {**by_key[key], "step": step, "split": split, **json.loads(values)} for key, step, split, values in rows
        ]
        with_rows = {row["key"] for row in tidy}
        tidy += [run for key, run in by_key.items() if key not in with_rows]
        return told(pd.DataFrame(tidy), {name for of_run in fields.values() for name in of_run})


def load(folder: str | os.PathLike[str], query: str | None = None) -> pd.DataFrame:
    """All results of a folder as a tidy table.

    Parameters
    ----------
    folder : path
        A store's folder.
    query : str, optional
        Only the rows for which this is true, in the language of `pandas.DataFrame.query`; fields are written by their dotted
        names: ``loss.name == "triplet" and noise.level > 0.1``.

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
    if not (Path(folder) / INDEX).exists():
        raise InvalidInput("out", str(folder), f"a folder with results (it has no {INDEX})")
    import pandas as pd

    table = Store(folder).load()
    if query is None or table.empty:
        return table
    fields = sorted((c for c in table.columns if "." in c), key=len, reverse=True)
    quoted = re.sub(rf"(?<![\w.`'\"])({'|'.join(map(re.escape, fields))})(?![\w.`'\"])", r"`\1`", query)
    try:
        chosen = table.query(quoted)
    except Exception as error:  # pandas passes on whatever its expression raises
        raise InvalidInput("query", query, f"a condition on columns ({' '.join(str(error).split())})") from None
    if not isinstance(chosen, pd.DataFrame):
        raise InvalidInput("query", query, "a condition that is true or false for each row")
    return chosen.reset_index(drop=True)


def _metrics_json(row: dict[str, float | int | str]) -> str:
    return json.dumps({k: v for k, v in row.items() if k not in ("step", "split")})


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"noise": {"level": 0.2}}`` -> ``{"noise.level": 0.2}``; lists and empty mappings stay as JSON text.

    Examples
    --------
    >>> flatten({"noise": {"level": 0.2, "params": {}}, "evaluate": ["test"]})
    {'noise.level': 0.2, 'noise.params': '{}', 'evaluate': '["test"]'}
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, (dict, list)) else value
    return flat
