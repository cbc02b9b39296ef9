"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sim.errors import InvalidInput


@contextmanager
def whole(place: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Write a file beside its place and move it there when it is whole and on the disk.

    A process killed at any moment, or a full disk, leaves the file that was there before.

    Parameters
    ----------
    place : path
        In a folder that exists.

    Yields
    ------
    binary file

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole(folder / "a.txt") as file:
    ...     _ = file.write(b"all of it")
    >>> [p.name for p in folder.iterdir()], (folder / "a.txt").read_text()
    (['a.txt'], 'all of it')
    """
    path = Path(place)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def write_text(place: str | os.PathLike[str], text: str) -> None:
    """Write a text file (UTF-8) as `whole` does."""
    with whole(place) as file:
        file.write(text.encode())


def write_json(place: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file as `whole` does. Scalars of NumPy and PyTorch become numbers and truth values; what else JSON lacks, text.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> place = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(place, {"held": np.bool_(False), "where": Path("a")})
    >>> json.loads(place.read_text())
    {'held': False, 'where': 'a'}
    """
    write_text(place, json.dumps(value, indent=2, default=lambda v: v.item() if hasattr(v, "item") else str(v)) + "\n")


def writable_folder(folder: str | os.PathLike[str], field: str = "out") -> Path:
    """The folder as a path, made if need be.

    Raises
    ------
    InvalidInput
        If it can't be made or written to.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InvalidInput(field, str(folder), f"a folder that can be written ({error.strerror})") from None
    return path
