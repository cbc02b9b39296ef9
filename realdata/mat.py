"""MATLAB files, read in a process of their own: SciPy's reader ends the whole process on some that are damaged."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import numpy as np

CPU_SECONDS = 20
"""That reading may take: SciPy counts to billions on some damaged files, and the largest list of Cars196 takes less than one."""
PATIENCE = 300
"""Seconds on the clock, on a busy machine."""

Tables = dict[str, Any]
"""By name: a list of values, or for a table with columns a dictionary from their names to such lists."""


@functools.lru_cache(maxsize=8)
def read(content: bytes) -> Tables:
    """The tables of a MATLAB file.

    Raises
    ------
    ValueError
        If it can't be read.

    Examples
    --------
    >>> import io
    >>> from scipy.io import savemat
    >>> savemat(file := io.BytesIO(), {"class_names": np.array(["AM General Hummer", "Acura RL"], object)})
    >>> read(file.getvalue())
    {'class_names': ['AM General Hummer', 'Acura RL']}
    >>> read(file.getvalue()[:-9])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    """
    try:
        child = subprocess.run(
            [sys.executable, "-c", f"from realdata.mat import _child; _child({CPU_SECONDS})"],
            input=content,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"not read within {PATIENCE} s") from None
    if child.returncode:
        lines = child.stderr.decode(errors="replace").split("\n")
        raise ValueError(lines[-1].strip() or f"SciPy's reader ended with {child.returncode}")
    tables: Tables = json.loads(child.stdout)
    return tables


def _child(seconds: int) -> None:
    """In the other process: from standard input to JSON on standard output; or an error as the last line of standard error."""
    import io

    from scipy.io import loadmat

    if sys.platform != "win32":
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])  # importing isn't reading
        resource.setrlimit(resource.RLIMIT_CPU, (round(used) + seconds, resource.RLIM_INFINITY))
    try:
        tables = loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True)
        plain = {name: _plain(table) for name, table in tables.items() if not name.startswith("__")}
        sys.stdout.write(json.dumps(plain))
    # SciPy raises nearly anything on a broken file.
    except Exception as error:
        sys.stderr.write("\n" + " ".join(f"{type(error).__name__}: {error}".split())[:300])
        sys.exit(1)


def _plain(table: Any) -> Any:
    rows = np.atleast_1d(table)
    if rows.dtype.names:
        return {name: [_value(v) for v in rows[name]] for name in rows.dtype.names}
    return [_value(v) for v in rows]


def _value(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray) and value.size == 1:
        value = value.item()
    return value if isinstance(value, int | float | str) else str(value)
